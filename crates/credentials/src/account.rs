//! The last login of one source: kept, renewed in the background, and asked for once by all requests.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use policy::renewal::{Advice, RenewalState};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::failure::Failure;
use crate::login::Login;
use crate::source::{Grant, Question, Source};

/// The longest time that requests wait for one question to a source, whatever the source does.
const ASK_MAX: Duration = Duration::from_secs(60);

/// Learns of the questions to sources, for metrics.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// A source answered, or failed.
    fn asked(&self, succeeded: bool);
    /// A source began to fail (`true`), or gives logins again.
    fn failing(&self, is_failing: bool);
}

/// A source and its last login. Cheap to clone; all clones are one account.
#[derive(Clone, Debug)]
pub struct Account(Arc<Inner>);

/// A login as an account held it.
#[derive(Debug)]
pub struct HeldLogin {
    /// The login.
    pub login: Login,
    /// Differs from all other logins of the same account.
    pub generation: u64,
}

/// An account as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The repositories that it is for; `None`: all others.
    pub pattern: Option<String>,
    /// The source, in words.
    pub source: String,
    /// Its state.
    pub state: State,
    /// The end of the login, if its source states one.
    pub expires_at: Option<SystemTime>,
    /// The reason for which the source gave no login last time.
    pub failure: Option<Failure>,
}

/// The state of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No request has needed it yet.
    Unused,
    /// It has a login.
    Held,
    /// The source has no login for this registry.
    None,
    /// The source fails. The account may still have a login.
    Failing,
}

#[derive(Debug)]
struct Inner {
    registry: String,
    /// The source, in words.
    name: String,
    pattern: Option<String>,
    source: Box<dyn Source>,
    observer: Arc<dyn Observer>,
    state: Mutex<AccountState>,
    /// Counts the questions that requests need not wait for any more.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct AccountState {
    renewal: RenewalState,
    held: Option<Arc<HeldLogin>>,
    has_answered: bool,
    expires_at: Option<SystemTime>,
    failure: Option<Failure>,
    asking: Asking,
    generation: u64,
}

/// The question to the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asking {
    /// None is under way.
    #[default]
    Idle,
    /// Requests may wait for its end.
    UnderWay,
    /// It has taken too long, and still holds what it uses, such as a thread that reads from a dead network
    /// file system. So there is no further question before its end, and no request waits for that.
    Overdue,
}

impl Account {
    /// An account that asks `source`, which messages call `name`.
    pub(crate) fn new(
        registry: &str,
        pattern: Option<String>,
        name: String,
        source: Box<dyn Source>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self(Arc::new(Inner {
            registry: registry.to_owned(),
            name,
            pattern,
            source,
            observer,
            state: Mutex::default(),
            ended: watch::Sender::new(0),
        }))
    }

    /// The source, in words.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the login; `None` if the source has none for this registry. It waits for the source only if no
    /// login can be used meanwhile. All requests that wait share one question.
    ///
    /// # Errors
    /// The source's last [`Failure`], if there is no login that has not ended.
    pub async fn login(&self) -> Result<Option<Arc<HeldLogin>>, Failure> {
        let mut ended = self.0.ended.subscribe();
        {
            let mut state = self.0.state.lock();
            match state.renewal.advise(Instant::now().into_std()) {
                Advice::Use => return Ok(state.held.clone()),
                Advice::UseAndRenew => {
                    self.ask(&mut state, Question::Due);
                    return Ok(state.held.clone());
                }
                Advice::Fail => return Err(state.last_failure()),
                Advice::Ask if state.asking == Asking::Overdue => return Err(state.last_failure()),
                Advice::Ask => self.ask(&mut state, Question::Due),
            }
        }
        // The sender lives as long as `self`.
        let _ = ended.changed().await;
        let state = self.0.state.lock();
        match state.renewal.advise(Instant::now().into_std()) {
            Advice::Use | Advice::UseAndRenew => Ok(state.held.clone()),
            Advice::Ask | Advice::Fail => Err(state.last_failure()),
        }
    }

    /// Notes that a registry refused `refused`, and asks the source again, unless it was asked for that
    /// reason a moment ago. Returns true if there is another login now.
    pub async fn refused(&self, refused: &HeldLogin) -> bool {
        let mut ended = self.0.ended.subscribe();
        let is_other = |state: &AccountState| {
            state.held.as_ref().is_some_and(|held| held.generation != refused.generation)
        };
        {
            let mut state = self.0.state.lock();
            if is_other(&state) {
                return true;
            }
            if state.renewal.refuse(Instant::now().into_std()) {
                self.ask(&mut state, Question::Refused);
            }
            if state.asking != Asking::UnderWay {
                return false;
            }
        }
        let _ = ended.changed().await;
        is_other(&self.0.state.lock())
    }

    /// The account as operators see it.
    pub fn status(&self) -> Status {
        let state = self.0.state.lock();
        let word = match () {
            () if state.renewal.is_failing() => State::Failing,
            () if !state.has_answered => State::Unused,
            () if state.held.is_some() => State::Held,
            () => State::None,
        };
        Status {
            pattern: self.0.pattern.clone(),
            source: self.0.name.clone(),
            state: word,
            expires_at: state.expires_at,
            failure: state.failure.clone(),
        }
    }

    /// Starts a question, unless one is under way. It does not end with the request that caused it.
    fn ask(&self, state: &mut AccountState, question: Question) {
        if state.asking != Asking::Idle {
            return;
        }
        state.asking = Asking::UnderWay;
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let end = QuestionEnd(&inner);
            let mut asked = inner.source.ask(question);
            let got = match tokio::time::timeout(ASK_MAX, &mut asked).await {
                Ok(got) => got,
                Err(_) => {
                    let seconds = ASK_MAX.as_secs();
                    inner.conclude(Err(Failure::new(format!("gave no answer within {seconds} s"))));
                    inner.set_asking(Asking::Overdue);
                    asked.await
                }
            };
            inner.conclude(got);
            drop(end);
        });
    }
}

/// Ends a question, even if the source panics.
struct QuestionEnd<'a>(&'a Inner);

impl Drop for QuestionEnd<'_> {
    fn drop(&mut self) {
        self.0.set_asking(Asking::Idle);
    }
}

impl Inner {
    /// Notes the state of the question, and wakes the requests that wait for it.
    fn set_asking(&self, asking: Asking) {
        self.state.lock().asking = asking;
        self.ended.send_modify(|count| *count += 1);
    }

    fn conclude(&self, got: Result<Grant, Failure>) {
        self.observer.asked(got.is_ok());
        match got {
            Ok(grant) => self.grant(grant),
            Err(failure) => self.fail(failure),
        }
    }

    fn grant(&self, grant: Grant) {
        let mut state = self.state.lock();
        let is_lost = grant.login.is_none() && state.held.is_some();
        if is_lost {
            drop(state);
            self.fail(Failure::new("no longer has a login for this registry"));
            return;
        }
        let (was_failing, is_first) = (state.renewal.is_failing(), !state.has_answered);
        state.renewal.grant(Instant::now().into_std(), grant.validity, fastrand::u64(..));
        state.has_answered = true;
        state.failure = None;
        state.expires_at =
            grant.validity.expires_in.and_then(|lifetime| SystemTime::now().checked_add(lifetime));
        let is_none = grant.login.is_none();
        if let Some(login) = grant.login
            && state.held.as_ref().is_none_or(|held| held.login != login)
        {
            state.generation += 1;
            state.held = Some(Arc::new(HeldLogin { login, generation: state.generation }));
        }
        drop(state);
        let (registry, source) = (&self.registry, &self.name);
        if was_failing {
            self.observer.failing(false);
            info!(%registry, source, "the credential source gives logins again");
        }
        if is_none && is_first {
            warn!(%registry, source, "the credential source has no login for this registry; requests go without one");
        }
    }

    fn fail(&self, failure: Failure) {
        let mut state = self.state.lock();
        let is_news = state.renewal.fail(Instant::now().into_std(), fastrand::u64(..));
        let has_login = state.held.is_some();
        state.failure = Some(failure.clone());
        drop(state);
        if is_news {
            self.observer.failing(true);
            let (registry, source) = (&self.registry, &self.name);
            let meanwhile = match has_login {
                true => "the last login counts until it ends",
                false => "content that is not stored cannot be pulled",
            };
            warn!(%registry, source, error = %failure, "the credential source gave no login; {meanwhile}");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.state.get_mut().renewal.is_failing() {
            self.observer.failing(false);
        }
    }
}

impl AccountState {
    fn last_failure(&self) -> Failure {
        self.failure.clone().unwrap_or_else(|| Failure::new("gave no login"))
    }
}

#[cfg(test)]
mod tests;
