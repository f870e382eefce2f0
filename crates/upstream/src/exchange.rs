//! One operation on the registry: authorize, ask, follow, judge the answer, and try again where that helps.

use budget::Budget;
use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap};
use oci::Repository;
use policy::retry::{ATTEMPT_COUNT_MAX, backoff};
use reqwest::Response;
use tokio::time::Instant;

use crate::auth::Auth;
use crate::base::Whereabouts;
use crate::error::{Error, ErrorKind, causes};
use crate::gates::Gates;
use crate::redirect::{Ask, Reply};
use crate::transport::{Patience, Transport};

/// Everything that asking one registry takes.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) transport: Transport,
    pub(crate) gates: Gates,
    pub(crate) auth: Auth,
    pub(crate) whereabouts: Whereabouts,
}

/// A whole document.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) headers: HeaderMap,
    /// Who gave it.
    pub(crate) host: String,
    pub(crate) bytes: Bytes,
}

/// What the body of a whole document may take of memory: one, and all together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<'a> {
    pub(crate) bytes_max: usize,
    pub(crate) budget: &'a Budget,
}

/// Counts the attempts of one operation.
struct Attempts<'a> {
    transport: &'a Transport,
    is_further: bool,
    made: u32,
    /// Why the attempt before failed.
    before: Option<Error>,
}

impl Exchange {
    /// Asks until there is an answer with a success status, whose body is left to the caller. A HEAD that failed with
    /// a status is left to the caller too.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) async fn open(
        &self,
        repository: &Repository,
        ask: &Ask,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let mut attempts = Attempts::new(&self.transport, ask);
        let mut patience = Patience::until(deadline);
        loop {
            match self.attempt(repository, ask, &mut patience).await {
                Ok(reply) => return Ok(reply),
                // A HEAD that was answered is not sent again: a GET may be answered otherwise.
                Err(error) if ask.method == Method::HEAD && error.status().is_some() => return Err(error),
                Err(error) => attempts.wait_after(error, &mut patience).await?,
            }
        }
    }

    /// Like [`open`](Self::open), and reads a body within `bound`. One that breaks off is asked for again.
    ///
    /// # Errors
    /// [`Error`]; [`ErrorKind::Invalid`] for a larger body and for a web page; [`ErrorKind::Overloaded`] when there is
    /// no memory left for it.
    pub(crate) async fn read(
        &self,
        repository: &Repository,
        ask: &Ask,
        bound: Bound<'_>,
        deadline: Instant,
    ) -> Result<Document, Error> {
        let mut attempts = Attempts::new(&self.transport, ask);
        let mut patience = Patience::until(deadline);
        loop {
            let read = match self.attempt(repository, ask, &mut patience).await {
                Ok(reply) => self.collect(ask, reply, bound, &patience).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(document) => return Ok(document),
                Err(error) => attempts.wait_after(error, &mut patience).await?,
            }
        }
    }

    async fn attempt(
        &self,
        repository: &Repository,
        ask: &Ask,
        patience: &mut Patience,
    ) -> Result<Reply, Error> {
        let (reply, ticket) = self.follow(repository, ask, patience).await?;
        self.judge(ask, reply, &ticket, patience.deadline).await
    }

    /// Reads a body whole. One that breaks off, or does not end in time, is a failure of its path, and of nothing else.
    async fn collect(
        &self,
        ask: &Ask,
        reply: Reply,
        bound: Bound<'_>,
        patience: &Patience,
    ) -> Result<Document, Error> {
        let host = reply.host.clone();
        let read = collect(reply, bound, patience).await;
        let is_lost = |error: &&Error| matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::TimedOut);
        self.gates.conclude(&host, &ask.path, read.as_ref().err().filter(is_lost));
        read
    }
}

impl<'a> Attempts<'a> {
    fn new(transport: &'a Transport, ask: &Ask) -> Self {
        if !ask.is_further {
            transport.deposit();
        }
        Self { transport, is_further: ask.is_further, made: 1, before: None }
    }

    /// Waits for the next attempt.
    ///
    /// # Errors
    /// When another attempt cannot help, is not allowed, or would come too late: `error` itself, or if that
    /// only says that the upstream is left alone by now, what led to it.
    async fn wait_after(&mut self, error: Error, patience: &mut Patience) -> Result<(), Error> {
        if error.kind() == ErrorKind::Resting {
            return Err(self.before.take().unwrap_or(error));
        }
        if !error.retryable() || self.made == ATTEMPT_COUNT_MAX || self.is_further {
            return Err(error);
        }
        let pause = backoff(self.made + 1, fastrand::u64(..));
        if Instant::now() + pause >= patience.deadline || !self.transport.may_ask_again(patience) {
            return Err(error);
        }
        self.made += 1;
        patience.repeat();
        self.before = Some(error);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Reads a body whole, within the deadline and a bound that is checked as it streams. All documents here are JSON,
/// so a page of HTML is none; one that is only called so is for the caller to judge.
async fn collect(reply: Reply, bound: Bound<'_>, patience: &Patience) -> Result<Document, Error> {
    let Reply { response, host, .. } = reply;
    let headers = response.headers().clone();
    let body = read_body(response, bound.bytes_max, bound.budget, &host);
    let read = tokio::time::timeout_at(patience.deadline, body).await;
    let Ok(bytes) = read else {
        return Err(Error::new(ErrorKind::TimedOut, host, "did not finish its answer in time"));
    };
    let bytes = bytes?;
    if is_web_page(&headers) && bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::new(ErrorKind::Invalid, host, "answered with a web page"));
    }
    Ok(Document { headers, host, bytes })
}

/// Reads a body of at most `bytes_max`, which stays counted in `budget` for as long as anybody holds its bytes.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a larger one, [`ErrorKind::Interrupted`] when it breaks off, [`ErrorKind::Overloaded`]
/// when the budget has no room for it.
pub(crate) async fn read_body(
    mut response: Response,
    bytes_max: usize,
    budget: &Budget,
    host: &str,
) -> Result<Bytes, Error> {
    let too_large =
        || Error::new(ErrorKind::Invalid, host, format!("answered with more than {bytes_max} bytes"));
    let no_room =
        || Error::new(ErrorKind::Overloaded, host, "was not listened to: too much is in memory here already");
    let told =
        content_length(response.headers()).map_or(0, |told| usize::try_from(told).unwrap_or(usize::MAX));
    if told > bytes_max {
        return Err(too_large());
    }
    let mut share = budget.take(told as u64).ok_or_else(no_room)?;
    let mut bytes = Vec::with_capacity(told);
    while let Some(chunk) = response.chunk().await.map_err(|error| interrupted(host, error))? {
        if bytes.len() + chunk.len() > bytes_max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
        // Without a told length it grows in leaps.
        if !share.grow_to(bytes.capacity() as u64) {
            return Err(no_room());
        }
    }
    let bytes = Bytes::from(bytes.into_boxed_slice());
    share.shrink_to(bytes.len() as u64);
    Ok(share.attach(bytes))
}

/// The error of a body that broke off or fell silent.
pub(crate) fn interrupted(host: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let what = if error.is_timeout() { "fell silent" } else { "broke off its answer" };
    Error::new(ErrorKind::Interrupted, host, format!("{what}: {}", causes(&error)))
}

/// Whether the answer is a page for people: a portal that wants to be logged in to, not a registry.
pub(crate) fn is_web_page(headers: &HeaderMap) -> bool {
    let essence = headers.get(http::header::CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    essence.is_some_and(|value| value.starts_with(b"text/html") || value.starts_with(b"application/xhtml"))
}

/// `Content-Length`, which for the answer to a `HEAD` tells of a body that does not follow.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
