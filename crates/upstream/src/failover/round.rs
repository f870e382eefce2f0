//! One operation on its way through the addresses of an upstream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::address::Address;
use crate::error::{Error, ErrorKind};
use crate::registry::Registry;

/// An answer, and the position of the address that gave it.
#[derive(Debug)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) from: usize,
}

impl<T> Given<T> {
    /// Tells whether another than the first address gave it.
    pub(crate) fn is_stand_in(&self) -> bool {
        self.from > 0
    }
}

/// One operation under way.
pub(super) struct Round<'a, T> {
    addresses: &'a [Arc<Address>],
    silence: Duration,
    /// The addresses that have not got it yet.
    waiting: VecDeque<usize>,
    running: FuturesUnordered<BoxFuture<'a, (usize, Result<T, Error>)>>,
    /// The addresses that have it, and stayed silent for too long.
    silent: Vec<usize>,
    /// The last address that got it.
    latest: usize,
    failed: Vec<(usize, Error)>,
}

/// The meaning of an error.
enum Meaning {
    /// The address answered, and the answer is definite.
    Answer,
    /// The address failed, throttles or rests, or its answer cannot be used.
    Failure,
    /// It is about wharf itself, or about this one request.
    Own,
}

impl<'a, T: 'a> Round<'a, T> {
    pub(super) fn new(addresses: &'a [Arc<Address>], order: Vec<usize>, silence: Duration) -> Self {
        Self {
            addresses,
            silence,
            waiting: order.into(),
            running: FuturesUnordered::new(),
            silent: Vec::new(),
            latest: 0,
            failed: Vec::new(),
        }
    }

    pub(super) async fn run(
        mut self,
        operation: impl Fn(&'a Registry) -> BoxFuture<'a, Result<T, Error>> + Send,
    ) -> Result<Given<T>, Error> {
        loop {
            if self.running.is_empty() && !self.begin_next(&operation) {
                return Err(self.failure());
            }
            let silence = tokio::time::sleep(self.silence);
            tokio::select! {
                biased;
                Some((at, result)) = self.running.next() => {
                    if let Some(end) = self.settle(at, result) {
                        return end;
                    }
                    self.begin_next(&operation);
                }
                () = silence, if !self.waiting.is_empty() => {
                    self.silent.push(self.latest);
                    self.begin_next(&operation);
                }
            }
        }
    }

    /// Returns false if no address is left.
    fn begin_next(&mut self, operation: &impl Fn(&'a Registry) -> BoxFuture<'a, Result<T, Error>>) -> bool {
        let Some(at) = self.waiting.pop_front() else { return false };
        self.latest = at;
        let asked = operation(&self.addresses[at].registry);
        self.running.push(Box::pin(async move { (at, asked.await) }));
        true
    }

    /// Returns the end of the operation, if this result is one.
    fn settle(&mut self, at: usize, result: Result<T, Error>) -> Option<Result<Given<T>, Error>> {
        let address = &self.addresses[at];
        self.silent.retain(|silent| *silent != at);
        let error = match result {
            Ok(value) => {
                address.note_answer();
                self.silent.iter().for_each(|silent| self.addresses[*silent].note_silence());
                return Some(Ok(Given { value, from: at }));
            }
            Err(error) => error,
        };
        match meaning_of(&error) {
            Meaning::Own => return Some(Err(error)),
            Meaning::Answer if at == 0 => {
                address.note_answer();
                return Some(Err(error));
            }
            // Only the first healthy address's word counts, so no further stand-in gets the request. The
            // first address may still be healthy: it comes last if a transfer broke off there.
            Meaning::Answer => {
                address.note_answer();
                self.waiting.retain(|waiting| *waiting == 0 && !self.addresses[0].is_resting());
            }
            Meaning::Failure => address.note_failure(&error),
        }
        self.failed.push((at, error));
        None
    }

    /// Returns the first address's failure, beside those of the others.
    fn failure(&mut self) -> Error {
        if self.failed.iter().all(|(at, _)| *at != 0) {
            self.failed.push((0, self.addresses[0].resting_error()));
        }
        self.failed.sort_by_key(|(at, _)| *at);
        let others = self.failed.iter().skip(1).map(|(_, error)| error);
        self.failed[0].1.clone().beside(others)
    }
}

fn meaning_of(error: &Error) -> Meaning {
    match error.kind() {
        // The blob must be requested whole, at the same address.
        _ if error.is_range_refused() => Meaning::Own,
        ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Unconfirmed => Meaning::Answer,
        ErrorKind::Overloaded | ErrorKind::Offline => Meaning::Own,
        ErrorKind::Throttled
        | ErrorKind::Unreachable
        | ErrorKind::TimedOut
        | ErrorKind::Resting
        | ErrorKind::Invalid
        | ErrorKind::Interrupted => Meaning::Failure,
    }
}
