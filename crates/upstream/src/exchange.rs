//! Runs one operation on the registry: authorize, send, follow redirects, check the answer, and retry if that
//! may help.

use std::sync::Arc;

use budget::Budget;
use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use oci::Repository;
use policy::retry::{ATTEMPT_COUNT_MAX, backoff};
use tokio::time::Instant;

use crate::auth::login::Login;
use crate::error::{Error, ErrorKind};
use crate::operation::{Operation, Reply};
use crate::registry::Registry;
use crate::response_headers::is_web_page;
use crate::transport::{Allowance, Transport};
use crate::whole_body::read_body;
use crate::{redirect, status};

/// A whole document.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) headers: HeaderMap,
    /// The host that gave it.
    pub(crate) host: String,
    pub(crate) bytes: Bytes,
}

/// The memory limits for a whole document: for one, and for all together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit<'a> {
    pub(crate) bytes_max: usize,
    pub(crate) budget: &'a Budget,
}

/// Counts the attempts of one operation.
struct Attempts<'a> {
    transport: &'a Transport,
    has_stand_ins: bool,
    is_further: bool,
    made: u32,
    /// The error of the attempt before.
    before: Option<Error>,
}

/// Sends until an answer has a success status, and leaves the body to the caller. A HEAD that fails with a
/// status is returned at once.
///
/// # Errors
/// [`Error`].
pub(crate) async fn open(
    registry: &Registry,
    repository: &Repository,
    operation: &Operation,
    deadline: Instant,
) -> Result<Reply, Error> {
    let mut attempts = Attempts::new(registry, operation);
    let mut allowance = Allowance::until(deadline);
    loop {
        match attempt(registry, repository, operation, &mut allowance).await {
            Ok(reply) => return Ok(reply),
            // A HEAD that was answered is not retried: a GET may get another answer.
            Err(error) if operation.method == Method::HEAD && error.status().is_some() => return Err(error),
            Err(error) => attempts.wait_after(error, &mut allowance).await?,
        }
    }
}

/// Like [`open`], and reads a body within `bound`. One that breaks off is requested again.
///
/// # Errors
/// [`Error`]; [`ErrorKind::Invalid`] for a larger body and for a web page; [`ErrorKind::Overloaded`] if the
/// memory budget is used up.
pub(crate) async fn read(
    registry: &Registry,
    repository: &Repository,
    operation: &Operation,
    limit: BodyLimit<'_>,
    deadline: Instant,
) -> Result<Document, Error> {
    let mut attempts = Attempts::new(registry, operation);
    let mut allowance = Allowance::until(deadline);
    loop {
        let read = match attempt(registry, repository, operation, &mut allowance).await {
            Ok(reply) => collect(registry, operation, reply, limit, &allowance).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(document) => return Ok(document),
            Err(error) => attempts.wait_after(error, &mut allowance).await?,
        }
    }
}

async fn attempt(
    registry: &Registry,
    repository: &Repository,
    operation: &Operation,
    allowance: &mut Allowance,
) -> Result<Reply, Error> {
    let login = registry.auth.login(repository, allowance.deadline).await?;
    let answered = attempt_as(registry, repository, operation, login.as_ref(), allowance).await;
    if registry.auth.is_for_client() {
        return answered.map_err(Error::of_client_login);
    }
    match (answered, login) {
        // A login can end before its time. Its source may have another, which is worth one more request.
        (Err(error), Some(login)) if error.is_login_refused() => {
            if !registry.auth.is_replaced(&login, allowance.deadline).await {
                return Err(error);
            }
            let login = registry.auth.login(repository, allowance.deadline).await?;
            attempt_as(registry, repository, operation, login.as_ref(), allowance).await
        }
        (answered, _) => answered,
    }
}

async fn attempt_as(
    registry: &Registry,
    repository: &Repository,
    operation: &Operation,
    login: Option<&Arc<Login>>,
    allowance: &mut Allowance,
) -> Result<Reply, Error> {
    let (reply, credential) = redirect::follow(registry, repository, operation, login, allowance).await?;
    status::check(registry, operation, reply, &credential, allowance.deadline).await
}

/// Reads a whole body. One that breaks off, or does not end in time, counts as a failure of its target only.
async fn collect(
    registry: &Registry,
    operation: &Operation,
    reply: Reply,
    limit: BodyLimit<'_>,
    allowance: &Allowance,
) -> Result<Document, Error> {
    let host = reply.host.clone();
    let read = collect_body(reply, limit, allowance).await;
    let is_lost = |error: &&Error| matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::TimedOut);
    registry.gates.conclude(&host, &operation.target, read.as_ref().err().filter(is_lost));
    read
}

impl<'a> Attempts<'a> {
    fn new(registry: &'a Registry, operation: &Operation) -> Self {
        let transport = &registry.transport;
        if !operation.is_further {
            transport.deposit();
        }
        let has_stand_ins = registry.has_stand_ins;
        Self { transport, has_stand_ins, is_further: operation.is_further, made: 1, before: None }
    }

    /// Waits for the next attempt.
    ///
    /// # Errors
    /// `error` if another attempt cannot help, is not allowed, or would come too late. If `error` only says
    /// that the breaker is open by now, the error before it.
    async fn wait_after(&mut self, error: Error, allowance: &mut Allowance) -> Result<(), Error> {
        if error.kind() == ErrorKind::Resting {
            return Err(self.before.take().unwrap_or(error));
        }
        let is_for_stand_in = self.has_stand_ins && error.is_unconnected();
        if !error.retryable() || self.made == ATTEMPT_COUNT_MAX || self.is_further || is_for_stand_in {
            return Err(error);
        }
        let pause = backoff(self.made + 1, fastrand::u64(..));
        if Instant::now() + pause >= allowance.deadline || !self.transport.may_ask_again(allowance) {
            return Err(error);
        }
        self.made += 1;
        allowance.repeat();
        self.before = Some(error);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Reads a body whole, within the deadline and a bound that is checked as it streams. All documents here are
/// JSON, so a page of HTML is none; one that is only called so is for the caller to judge.
async fn collect_body(reply: Reply, limit: BodyLimit<'_>, allowance: &Allowance) -> Result<Document, Error> {
    let Reply { response, host, .. } = reply;
    let headers = response.headers().clone();
    let body = read_body(response, limit.bytes_max, limit.budget, &host);
    let read = tokio::time::timeout_at(allowance.deadline, body).await;
    let Ok(bytes) = read else {
        return Err(Error::new(ErrorKind::TimedOut, host, "did not finish its answer in time"));
    };
    let bytes = bytes?;
    if is_web_page(&headers) && bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::new(ErrorKind::Invalid, host, "answered with a web page"));
    }
    Ok(Document { headers, host, bytes })
}
