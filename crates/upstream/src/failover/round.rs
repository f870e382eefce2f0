//! One operation on its way through the addresses of an upstream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use policy::failover::Doubts;

use super::address::Address;
use crate::contract::AddressPosition;
use crate::error::{Error, ErrorKind};
use crate::registry::Registry;

/// An answer, and the position of the address that gave it.
#[derive(Debug)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) from: usize,
}

impl<T> Given<T> {
    /// Returns the value, and the address that gave it.
    pub(crate) fn apart(self) -> (T, AddressPosition) {
        (self.value, AddressPosition::new(self.from))
    }
}

/// One operation under way.
pub(super) struct Round<'a, T> {
    addresses: &'a [Arc<Address>],
    silence: Duration,
    /// The addresses that have not got it yet.
    waiting: VecDeque<usize>,
    /// The doubts about them for the digest of the operation, if it has one.
    doubts: Doubts,
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
    pub(super) fn new(
        addresses: &'a [Arc<Address>],
        (order, doubts): (Vec<usize>, Doubts),
        silence: Duration,
    ) -> Self {
        Self {
            addresses,
            silence,
            waiting: order.into(),
            doubts,
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
                    if self.is_next_trusted() {
                        self.begin_next(&operation);
                    }
                }
                () = silence, if self.is_next_trusted() => {
                    self.silent.push(self.latest);
                    self.begin_next(&operation);
                }
            }
        }
    }

    /// Tells whether the next address may get the operation beside others. One that sent wrong bytes may
    /// answer first, and gets it only once no other one can answer.
    fn is_next_trusted(&self) -> bool {
        self.waiting.front().is_some_and(|at| !self.doubts.is_proved(*at))
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
            // The first address sent wrong bytes, so a further stand-in may have the right ones.
            Meaning::Answer if self.doubts.is_proved(0) => address.note_answer(),
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
