//! The contract of a source of logins.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use policy::renewal::Validity;

use crate::failure::Failure;
use crate::login::Login;

/// A place that gives a login: a file, a program, a service.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Asks for a login. It ends within a bounded time, unless the system itself holds up a thread, as a dead
    /// network file system does.
    ///
    /// # Errors
    /// [`Failure`]: there is no answer, or none that can be used.
    async fn ask(&self, question: Question) -> Result<Grant, Failure>;
}

/// The reason of a question to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// There is no login, or it is due to be looked at again.
    Due,
    /// A registry refused the last login, so a kept answer is no use.
    Refused,
}

/// A source's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The login; `None` if the source has none for this registry.
    pub login: Option<Login>,
    /// Its lifetime.
    pub validity: Validity,
}

/// The shortest lifetime of a login that can be used. Each login that is shorter would cost a question, and
/// be gone before a request has used it.
const LIFETIME_MIN: Duration = Duration::from_secs(5);

impl Grant {
    /// A login that ends after `lifetime`.
    ///
    /// # Errors
    /// A [`Failure`] if it has ended already, or is about to.
    pub fn lasting(login: Login, lifetime: Duration) -> Result<Self, Failure> {
        if lifetime < LIFETIME_MIN {
            let text =
                "gave a login that has already ended, or ends within seconds; check this machine's clock";
            return Err(Failure::new(text));
        }
        let validity = Validity { expires_in: Some(lifetime), recheck_after: lifetime };
        Ok(Self { login: Some(login), validity })
    }

    /// A login without a stated end, to be looked at again after this time.
    pub fn until_next_look(login: Option<Login>, recheck_after: Duration) -> Self {
        Self { login, validity: Validity { expires_in: None, recheck_after } }
    }
}
