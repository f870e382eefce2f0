//! The front of a fill: claims the missing bytes, fetches them, and decides how to continue until none is
//! missing.

use std::sync::Arc;
use std::time::Duration;

use oci::ByteRange;
use policy::connections::INTERVAL;
use policy::head_trust::Stakes;
use policy::pace::Pace;
use policy::resume::{Ended, Ending, Failure, FailureKind, Mode, Next, Resume};
use tokio::time::Instant;
use tracing::debug;
use upstream::ErrorKind;

use super::Transfer;
use super::fetch::{Claimed, Role};
use super::pump::{Sink, Stop};
use crate::error::PullError;
use crate::fill::Fill;
use crate::fill::spans::Claim;

/// The deadline of a HEAD to a registry whose range failed.
const SIGN_WAIT_MAX: Duration = Duration::from_secs(5);

impl Transfer {
    /// Fetches until no byte is missing, resuming where a transfer broke off.
    ///
    /// # Errors
    /// The error of the last transfer, once `policy::resume` gives up.
    pub(super) async fn fetch_all(&self, fill: &Arc<Fill>, sink: &mut Sink) -> Result<(), PullError> {
        let claims = fill.claims();
        let now = Instant::now().into_std();
        let mut resume = Resume::new(self.settings().fill_stall_max, claims.received_bytes(), now);
        let mut mode = if claims.is_asked_plainly() { Mode::Whole } else { Mode::Ranges };
        let mut progress = fill.watch();
        let mut pace = None;
        loop {
            // Marked before the claim, so that a change after it ends the wait below.
            progress.mark_unchanged();
            if mode == Mode::Ranges && claims.are_ranges_in_doubt() && resume.ask_whole() {
                mode = self.turn_to(fill, Mode::Whole);
            }
            let (span, range) = match claim(fill, sink, mode, pace) {
                Claim::Complete => return Ok(()),
                Claim::Wait => {
                    // Other transfers have the rest. They publish each write and their end; but a slow one
                    // may publish nothing for long, and must be taken over.
                    let _ = tokio::time::timeout(INTERVAL, progress.changed()).await;
                    continue;
                }
                Claim::Fetch(span, range) => (span, range),
            };
            let received_before = claims.received_bytes();
            let claimed = Claimed::new(fill, span, self.blobs.connections.open());
            let fetched = self.fetch(fill, sink, (span, range), Role::Front(mode)).await;
            pace = claimed.give_back();
            let has_grown = claims.received_bytes() > received_before;
            // If the upstream told no size, the connection may have broken after the last byte: the digest
            // decides.
            if fill.size().is_none() && (has_grown || fetched.is_ok()) {
                let (hasher, length) = sink.front();
                if hasher.finish() == self.digest {
                    fill.set_size(length);
                    continue;
                }
            }
            if matches!(&fetched, Err(Stop::Upstream(error)) if error.kind() == ErrorKind::Offline) {
                return Err(PullError::Offline);
            }
            let ended = ended(fill, mode, range.start, &fetched, has_grown);
            match self.decide(&mut resume, &ended).await {
                Next::GoOn(next) if next == mode => {}
                Next::GoOn(next) => mode = self.turn_to(fill, next),
                Next::Again(next, pause) => {
                    debug!(digest = %self.digest, ?fetched, ?next, "resuming");
                    self.metrics().resumed();
                    mode = self.turn_to(fill, next);
                    tokio::time::sleep(pause).await;
                }
                Next::EndHere => fill.set_size(sink.front().1),
                // `decide` has answered a probe already.
                Next::GiveUp | Next::Probe(_) => return Err(self.give_up(fetched)),
            }
        }
    }

    /// Asks `policy::resume`, and runs the probe that it may request.
    async fn decide(&self, resume: &mut Resume, ended: &Ended) -> Next {
        let verdict = resume.next(ended);
        if verdict.asks_plainly_next_time {
            self.blobs.connections.ask_plainly(&self.digest);
        }
        match verdict.next {
            Next::Probe(pause) => resume.probed(self.registry_is_there().await, ended.mode, pause),
            next => next,
        }
    }

    /// Whether the registry answers a HEAD of the blob.
    async fn registry_is_there(&self) -> bool {
        let asking = self.asking();
        let head = asking.upstream().head_blob(&self.repository, &self.digest, Stakes::Nothing);
        tokio::time::timeout(SIGN_WAIT_MAX, head).await.is_ok_and(|head| head.is_ok())
    }

    /// Switches the front to this mode. While it requests the whole blob, no other transfer requests a range,
    /// and none keeps a span that makes no progress: for bytes missing before it, all of the blob would be
    /// fetched again.
    fn turn_to(&self, fill: &Fill, mode: Mode) -> Mode {
        let claims = fill.claims();
        match mode {
            Mode::Ranges => claims.ask_plainly(false),
            Mode::Whole => {
                claims.ask_plainly(true);
                claims.set_part_bytes(u64::MAX);
                claims.make_way();
            }
            // The rest is requested in the same way as the blob before.
            Mode::Rest => {}
        }
        mode
    }

    fn give_up(&self, fetched: Result<(), Stop>) -> PullError {
        match fetched {
            Err(Stop::Upstream(error)) => error.into(),
            Err(Stop::Cut(what)) => {
                PullError::unavailable(format!("the upstream's transfer broke off: {what}"))
            }
            Err(Stop::Store(error)) => {
                self.store_failed(&error);
                PullError::from(&error)
            }
            Err(Stop::TakenOver | Stop::Abandoned) | Ok(()) => {
                PullError::unavailable("all clients left, and the blob cannot be stored")
            }
        }
    }
}

/// Claims the front's next span. `pace` is that of its last span, if it received any bytes.
fn claim(fill: &Fill, sink: &Sink, mode: Mode, pace: Option<Pace>) -> Claim {
    let missing = || missing(fill, sink, mode == Mode::Whole);
    match sink {
        Sink::Spool(_) => fill.claims().claim_front(missing, pace),
        // Without the store, bytes are useful only in order.
        Sink::Relay { .. } => fill.claims().claim_in_order(missing),
    }
}

/// The gaps in the sink; the last one is open-ended while the size is unknown. `is_one_piece`: one range from
/// the first gap to the last, for an upstream that would send the bytes between again for each gap.
fn missing(fill: &Fill, sink: &Sink, is_one_piece: bool) -> Vec<ByteRange> {
    let size = fill.size();
    let gaps = match sink {
        Sink::Spool(spool) => spool.gaps(size.unwrap_or(u64::MAX)),
        Sink::Relay { front, .. } => {
            let rest = ByteRange { start: *front, end: size.unwrap_or(u64::MAX) };
            if rest.start < rest.end { vec![rest] } else { Vec::new() }
        }
    };
    match gaps[..] {
        [first, .., last] if is_one_piece => vec![ByteRange { start: first.start, end: last.end }],
        _ => gaps,
    }
}

fn ended(fill: &Fill, mode: Mode, start: u64, fetched: &Result<(), Stop>, has_grown: bool) -> Ended {
    Ended {
        mode,
        start,
        ending: ending(fetched),
        has_size: fill.size().is_some(),
        has_grown,
        has_answered: fill.has_answered(),
        received_bytes: fill.claims().received_bytes(),
        now: Instant::now().into_std(),
        jitter: fastrand::f64(),
    }
}

fn ending(fetched: &Result<(), Stop>) -> Ending {
    let error = match fetched {
        Ok(()) => return Ending::Clean,
        Err(Stop::TakenOver) => return Ending::TakenOver,
        Err(Stop::Cut(_)) => return Ending::Failed(Failure::of(FailureKind::Cut)),
        Err(Stop::Store(_) | Stop::Abandoned) => return Ending::Failed(Failure::of(FailureKind::Ours)),
        Err(Stop::Upstream(error)) => error,
    };
    let kind = match error.kind() {
        ErrorKind::NotFound | ErrorKind::Denied => FailureKind::Refused,
        ErrorKind::TimedOut => FailureKind::TimedOut,
        // A gateway's 502 to 504 are temporary; another status answers this request.
        ErrorKind::Unreachable if error.status().is_some_and(|status| !(502..=504).contains(&status)) => {
            FailureKind::Answered
        }
        ErrorKind::Resting => FailureKind::Resting,
        ErrorKind::Invalid => FailureKind::Invalid,
        ErrorKind::Offline => FailureKind::Ours,
        ErrorKind::Unreachable
        | ErrorKind::Interrupted
        | ErrorKind::Unconfirmed
        | ErrorKind::Throttled
        | ErrorKind::Overloaded => FailureKind::Troubled,
    };
    Ending::Failed(Failure {
        kind,
        is_answered: error.status().is_some(),
        is_range_refused: error.is_range_refused(),
        retry_after: error.retry_after(),
    })
}
