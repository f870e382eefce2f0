//! One operation on the registry: authorize, ask, follow, judge the answer, and try again where that helps.

use std::time::{Duration, SystemTime};

use budget::Budget;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, RETRY_AFTER};
use http::{Method, StatusCode};
use oci::Repository;
use policy::retry::{ATTEMPT_COUNT_MAX, RETRY_AFTER_DEFAULT, backoff, parse_retry_after};
use reqwest::Response;
use tokio::time::Instant;

use crate::auth::{Auth, Ticket};
use crate::error::{Error, ErrorKind, causes};
use crate::gate::Gate;
use crate::redirect::{Ask, Reply, follow};
use crate::transport::{Patience, Transport};

/// Times that one attempt may answer a challenge: to one that came without a token, and to one that an old
/// token or one for another scope earned.
const CHALLENGE_COUNT_MAX: usize = 2;

/// Everything that asking one registry takes.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) transport: Transport,
    pub(crate) gate: Gate,
    pub(crate) auth: Auth,
}

/// A whole document.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) headers: HeaderMap,
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
    gate: &'a Gate,
    deadline: Instant,
    made: u32,
    /// Why the attempt before failed.
    before: Option<Error>,
}

impl Exchange {
    /// Asks until there is an answer with a success status, whose body is left to the caller.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) async fn open(
        &self,
        repository: &Repository,
        ask: &Ask,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let mut attempts = Attempts::new(&self.gate, deadline);
        let mut patience = Patience::until(deadline);
        loop {
            match self.attempt(repository, ask, &mut patience).await {
                Ok(reply) => return Ok(reply),
                Err(error) => attempts.wait_after(error).await?,
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
        let mut attempts = Attempts::new(&self.gate, deadline);
        let mut patience = Patience::until(deadline);
        loop {
            let read = match self.attempt(repository, ask, &mut patience).await {
                Ok(reply) => collect(reply, bound, &patience).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(document) => return Ok(document),
                Err(error) => attempts.wait_after(error).await?,
            }
        }
    }

    async fn attempt(
        &self,
        repository: &Repository,
        ask: &Ask,
        patience: &mut Patience,
    ) -> Result<Reply, Error> {
        let mut ticket = self.auth.prepare(&self.transport, repository, patience).await?;
        for answered in 0.. {
            let reply = follow(&self.transport, &self.gate, ask, ticket.header(), patience).await?;
            if reply.response.status() != StatusCode::UNAUTHORIZED || !reply.is_home {
                return self.judge(ask, reply, &ticket);
            }
            if answered == CHALLENGE_COUNT_MAX {
                break;
            }
            let challenges = reply.response.headers();
            ticket = self.auth.answer(&self.transport, repository, challenges, ticket, patience).await?;
        }
        Err(self.auth.refusal(&ticket, 401))
    }

    /// What the status means. Only the registry itself, or whom it redirected to, can say that something does
    /// not exist; a refusal by whom it redirected to is about a signature that went stale, not about us.
    fn judge(&self, ask: &Ask, reply: Reply, ticket: &Ticket) -> Result<Reply, Error> {
        let status = reply.response.status().as_u16();
        if reply.is_home {
            self.note_rate_limit(reply.response.headers());
        }
        let answered = |kind| Error::new(kind, &reply.host, format!("answered {status}")).with_status(status);
        match status {
            200 => refuse_encoding(reply),
            206 if ask.range.is_some() => refuse_encoding(reply),
            404 | 410 => Err(answered(ErrorKind::NotFound)),
            401 | 403 | 451 if reply.is_home => Err(self.auth.refusal(ticket, status)),
            429 => Err(self.throttled(ask, &reply)),
            416 => Err(answered(ErrorKind::Invalid).with_range_refused()),
            503 => Err(self.unavailable(ask, &reply)),
            408 | 500 | 502.. => Err(answered(ErrorKind::Unreachable)),
            401 | 403 if ask.method == Method::GET => Err(answered(ErrorKind::Unreachable)),
            _ => Err(answered(ErrorKind::Invalid)),
        }
    }

    fn throttled(&self, ask: &Ask, reply: &Reply) -> Error {
        self.transport.metrics.throttled();
        let pause = retry_after(reply.response.headers()).unwrap_or(RETRY_AFTER_DEFAULT);
        if reply.is_home {
            self.gate.rest(ask.kind, &reply.host, 429, pause);
        }
        Error::new(ErrorKind::Throttled, &reply.host, "answered 429").with_status(429).with_retry_after(pause)
    }

    /// A 503 that says for how long is a request to be left alone; one that does not is an outage.
    fn unavailable(&self, ask: &Ask, reply: &Reply) -> Error {
        let error = Error::new(ErrorKind::Unreachable, &reply.host, "answered 503").with_status(503);
        match retry_after(reply.response.headers()) {
            Some(pause) if reply.is_home && !pause.is_zero() => {
                self.gate.rest(ask.kind, &reply.host, 503, pause);
                error.with_retry_after(pause).without_retry()
            }
            _ => error,
        }
    }

    /// Docker Hub's `ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 76;w=21600`.
    fn note_rate_limit(&self, headers: &HeaderMap) {
        let number = |name| {
            let value = headers.get(name)?.to_str().ok()?;
            value.split(';').next()?.trim().parse().ok()
        };
        if let (Some(limit), Some(remaining)) = (number("ratelimit-limit"), number("ratelimit-remaining")) {
            self.transport.metrics.rate_limit(limit, remaining);
        }
    }
}

impl<'a> Attempts<'a> {
    fn new(gate: &'a Gate, deadline: Instant) -> Self {
        gate.deposit();
        Self { gate, deadline, made: 1, before: None }
    }

    /// Waits for the next attempt.
    ///
    /// # Errors
    /// When another attempt cannot help, is not allowed, or would come too late: `error` itself, or if that
    /// only says that the upstream is left alone by now, what led to it.
    async fn wait_after(&mut self, error: Error) -> Result<(), Error> {
        if error.kind() == ErrorKind::Resting {
            return Err(self.before.take().unwrap_or(error));
        }
        if !error.retryable() || self.made == ATTEMPT_COUNT_MAX {
            return Err(error);
        }
        let pause = backoff(self.made + 1, fastrand::u64(..));
        if Instant::now() + pause >= self.deadline || !self.gate.withdraw() {
            return Err(error);
        }
        self.made += 1;
        self.before = Some(error);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    parse_retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
}

/// Only `identity` was accepted. Whatever else comes is not the content that the digest names.
fn refuse_encoding(reply: Reply) -> Result<Reply, Error> {
    let encodings = reply.response.headers().get_all(CONTENT_ENCODING);
    if encodings.iter().all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(reply);
    }
    let status = reply.response.status().as_u16();
    let detail = "answered with an encoded body, which was not asked for";
    Err(Error::new(ErrorKind::Invalid, reply.host, detail).with_status(status))
}

/// Reads a body whole, within the deadline and a bound that is checked as it streams.
async fn collect(reply: Reply, bound: Bound<'_>, patience: &Patience) -> Result<Document, Error> {
    let Reply { response, host, .. } = reply;
    if is_web_page(response.headers()) {
        return Err(Error::new(ErrorKind::Invalid, host, "answered with a web page"));
    }
    let headers = response.headers().clone();
    let body = read_body(response, bound.bytes_max, bound.budget, &host);
    match tokio::time::timeout_at(patience.deadline, body).await {
        Ok(bytes) => Ok(Document { headers, bytes: bytes? }),
        Err(_) => Err(Error::new(ErrorKind::TimedOut, host, "did not finish its answer in time")),
    }
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
