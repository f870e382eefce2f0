//! Judges an answer by its status.

use std::time::{Duration, SystemTime};

use http::Method;
use http::header::{HeaderMap, RETRY_AFTER};
use policy::retry::{RETRY_AFTER_DEFAULT, parse_retry_after};
use tokio::time::Instant;

use crate::auth::Ticket;
use crate::error::{Error, ErrorKind};
use crate::exchange::Exchange;
use crate::redirect::{Ask, Reply};
use crate::word;

impl Exchange {
    /// Judges an answer by its status. A refusal by a host that the registry redirected to is about a signature that
    /// went stale, not about us. The caller judges the body, because it knows the digest that it must have.
    ///
    /// # Errors
    /// [`Error`]; [`ErrorKind::NotFound`] and [`ErrorKind::Denied`] only where that is a registry's own word.
    pub(crate) async fn judge(
        &self,
        ask: &Ask,
        reply: Reply,
        ticket: &Ticket,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let status = reply.response.status().as_u16();
        if reply.is_home {
            self.note_rate_limit(reply.response.headers());
        }
        let answered = |kind| Error::new(kind, &reply.host, format!("answered {status}")).with_status(status);
        let documents = &self.transport.memory.documents;
        match status {
            200 => Ok(reply),
            206 if ask.may_be_partial() => Ok(reply),
            404 | 410 => {
                let absence = answered(ErrorKind::NotFound);
                Err(word::weigh(absence, reply.response, &ask.method, deadline, documents).await)
            }
            401 | 403 | 451 if reply.is_registry => {
                let refusal = self.auth.refusal(&reply.host, ticket, status);
                Err(word::weigh(refusal, reply.response, &ask.method, deadline, documents).await)
            }
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
        if !ask.is_of_part() {
            self.gates.rest(&reply.host, &ask.path, pause);
        }
        Error::new(ErrorKind::Throttled, &reply.host, "answered 429").with_status(429).with_retry_after(pause)
    }

    /// A 503 that says for how long is a request to be left alone; one that does not is an outage.
    fn unavailable(&self, ask: &Ask, reply: &Reply) -> Error {
        let error = Error::new(ErrorKind::Unreachable, &reply.host, "answered 503").with_status(503);
        match retry_after(reply.response.headers()) {
            Some(pause) if !pause.is_zero() => {
                if !ask.is_of_part() {
                    self.gates.rest_path(&reply.host, &ask.path, pause);
                }
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

/// The time that an answer wants to be left alone for.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    parse_retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
}
