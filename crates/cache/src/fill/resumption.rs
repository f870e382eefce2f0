//! After a transfer that broke off: it is resumed from the last byte that is there, and where that cannot be had, the
//! whole is asked for once, past what is there.
//!
//! Some upstreams answer a plain request well and a range with an error, with a connection that closes, with a redirect
//! that leads nowhere, or not at all. A blob that broke off there must not stay broken.

use std::sync::Arc;
use std::time::Duration;

use policy::head_trust::Stakes;
use tokio::time::Instant;
use upstream::ErrorKind;

use super::Fill;
use super::fetch::Role;
use super::pump::{FLOOR_RATE, Stop};
use super::transfer::Transfer;

/// Resumptions in a row that may bring no new byte.
const RESUME_COUNT_MAX: u32 = 5;

/// How long a registry whose range did not come has to show with a HEAD that it is there.
const SIGN_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often the whole is asked for again where the upstream was left alone just then, and after which pause.
const REST_COUNT_MAX: u32 = 3;
const REST_PAUSE: Duration = Duration::from_secs(2);

/// The longest time that an upstream may ask for before the same is asked again: a client waits for it.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// What the front does after its transfer broke off.
#[derive(Debug)]
pub(super) enum Next {
    /// Goes on in that role, after a pause.
    Again(Role, Duration),
    /// Nothing.
    GiveUp,
}

/// When the whole is asked for because a range failed in some way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// It would be no better.
    Never,
    /// When a range has failed so.
    Soon,
    /// The same, if the registry shows that it is there: silence costs the client more than any other failure.
    SoonIfThere,
    /// When no range is asked for any more.
    Late,
}

impl Transfer {
    /// What comes after a transfer in that role from `start` on that ended with `stop`.
    pub(super) async fn after_stop(
        &self,
        fill: &Arc<Fill>,
        stop: &Stop,
        patience: &mut Patience,
        role: Role,
        start: u64,
    ) -> Next {
        let has_answered = fill.has_answered();
        let pause = patience.after(stop, fill.received_bytes(), has_answered);
        let (ranged, whole) = (Role::Front { ranges_work: true }, Role::Front { ranges_work: false });
        if role == whole && patience.asked_whole && patience.fruitless_count > 1 {
            if is_resting(stop) {
                if patience.rest_again() {
                    return Next::Again(whole, retry_after(stop).unwrap_or(REST_PAUSE));
                }
                // Nobody knows yet. The next fill does not spend the one request that is let through on a range.
                self.blobs.lanes.ask_plainly(&self.digest);
            }
            // It was no better.
            return match pause {
                Some(pause) if !patience.is_last => Next::Again(ranged, pause),
                _ => Next::GiveUp,
            };
        }
        if role == ranged && start > 0 && !patience.asked_whole {
            if is_told_to_wait(stop) {
                // That may be about ranges only.
                if let Some(pause) = retry_after(stop).filter(|_| patience.wait_once()) {
                    return Next::Again(ranged, pause);
                }
                patience.ask_whole();
                patience.is_last = pause.is_none();
                return Next::Again(whole, Duration::ZERO);
            }
            let is_repeated = patience.fruitless_count > 1 || !has_answered;
            let is_due = match whole_after(stop) {
                Whole::Never => false,
                Whole::Soon => is_repeated,
                Whole::SoonIfThere => is_repeated && self.registry_is_there().await,
                Whole::Late => is_repeated && pause.is_none(),
            };
            if is_due && patience.ask_whole() {
                patience.is_last = pause.is_none();
                return Next::Again(whole, Duration::ZERO);
            }
            if pause.is_none() && !is_repeated && whole_after(stop) == Whole::Late {
                // It comes, and too slowly to be waited for. That may be the way of ranges only.
                self.blobs.lanes.ask_plainly(&self.digest);
            }
        }
        pause.map_or(Next::GiveUp, |pause| Next::Again(role, pause))
    }

    /// Whether the registry answers a HEAD of the blob.
    async fn registry_is_there(&self) -> bool {
        let asking = self.asking();
        let head = asking.head_blob(&self.repository, &self.digest, Stakes::Nothing);
        tokio::time::timeout(SIGN_WAIT_MAX, head).await.is_ok_and(|head| head.is_ok())
    }
}

fn whole_after(stop: &Stop) -> Whole {
    let error = match stop {
        Stop::Upstream(error) => error,
        Stop::Cut(_) => return Whole::Late,
        Stop::Store(_) | Stop::TakenOver | Stop::Abandoned => return Whole::Never,
    };
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Denied => Whole::Never,
        ErrorKind::TimedOut => Whole::SoonIfThere,
        // A gateway's 502 to 504 pass; another one is the answer to this request.
        ErrorKind::Unreachable if error.status().is_some_and(|status| !(502..=504).contains(&status)) => {
            Whole::Soon
        }
        // What is left alone, or throttled, may be so for what ranges did.
        ErrorKind::Throttled | ErrorKind::Overloaded | ErrorKind::Resting => Whole::Late,
        ErrorKind::Unreachable | ErrorKind::Interrupted | ErrorKind::Unconfirmed | ErrorKind::Invalid => {
            Whole::Late
        }
    }
}

/// Whether the upstream answered that this is to be asked for after a while.
fn is_told_to_wait(stop: &Stop) -> bool {
    matches!(stop, Stop::Upstream(error) if error.status().is_some() && error.retry_after().is_some())
}

/// How long that is, if a client waits for it.
fn retry_after(stop: &Stop) -> Option<Duration> {
    let Stop::Upstream(error) = stop else { return None };
    error.retry_after().filter(|pause| *pause <= RETRY_AFTER_MAX)
}

fn is_resting(stop: &Stop) -> bool {
    matches!(stop, Stop::Upstream(error) if error.kind() == ErrorKind::Resting)
}

/// When a broken transfer is taken up again, and after which pause. What counts is how much comes in a while, whatever
/// single bytes each transfer brings.
pub(super) struct Patience {
    stall_max: Duration,
    /// When a while began, and what had come by then.
    since: Instant,
    bytes_before: u64,
    /// The same of the last stop.
    stopped_at: Instant,
    bytes_at_stop: u64,
    /// Transfers in a row that brought nothing.
    fruitless_count: u32,
    /// Transfers in a row that came below the floor.
    slow_count: u32,
    /// Whether the whole was asked for because a range did not come.
    asked_whole: bool,
    /// Whether that was all that was left to try.
    is_last: bool,
    /// Whether a range was waited for that the upstream wanted to be asked for later, since the last byte came.
    has_waited: bool,
    /// How often that was not sent on, because the upstream is left alone.
    rest_count: u32,
}

impl Patience {
    pub(super) fn new(stall_max: Duration, received_bytes: u64) -> Self {
        let now = Instant::now();
        Self {
            stall_max,
            since: now,
            bytes_before: received_bytes,
            stopped_at: now,
            bytes_at_stop: received_bytes,
            fruitless_count: 0,
            slow_count: 0,
            asked_whole: false,
            is_last: false,
            has_waited: false,
            rest_count: 0,
        }
    }

    /// `None`: give up. Before the first byte the upstream room has already tried again by itself, so
    /// `has_answered` must hold.
    fn after(&mut self, stop: &Stop, received_bytes: u64, has_answered: bool) -> Option<Duration> {
        let brought = received_bytes.saturating_sub(self.bytes_at_stop);
        let is_slow = brought < floor_bytes(self.stopped_at.elapsed());
        (self.stopped_at, self.bytes_at_stop) = (Instant::now(), received_bytes);
        self.fruitless_count = if brought > 0 { 1 } else { self.fruitless_count + 1 };
        self.has_waited &= brought == 0;
        self.slow_count = if is_slow { self.slow_count + 1 } else { 1 };
        let may_help = match stop {
            Stop::Upstream(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied),
            Stop::Cut(_) => true,
            Stop::Store(_) | Stop::TakenOver | Stop::Abandoned => false,
        };
        let is_patient = self.fruitless_count <= RESUME_COUNT_MAX && self.comes_fast_enough(received_bytes);
        if !(may_help && is_patient && has_answered) {
            return None;
        }
        let ceiling = Duration::from_millis(50) * 2u32.pow(self.slow_count.min(RESUME_COUNT_MAX));
        Some(ceiling.mul_f64(0.5 + fastrand::f64() / 2.0))
    }

    /// Whether the whole may be asked for because ranges do not come: that is so once.
    pub(super) fn ask_whole(&mut self) -> bool {
        !std::mem::replace(&mut self.asked_whole, true)
    }

    /// Whether the upstream may be given the time that it asks for: once, until something comes.
    fn wait_once(&mut self) -> bool {
        !std::mem::replace(&mut self.has_waited, true)
    }

    /// Whether the whole may be asked for again after it was not sent on.
    fn rest_again(&mut self) -> bool {
        self.rest_count += 1;
        self.rest_count <= REST_COUNT_MAX
    }

    /// Whether the last while brought as much as the slowest body that is waited for. Nothing is said before it is over.
    fn comes_fast_enough(&mut self, received_bytes: u64) -> bool {
        if self.since.elapsed() < self.stall_max {
            return true;
        }
        let brought = received_bytes.saturating_sub(self.bytes_before);
        (self.since, self.bytes_before) = (Instant::now(), received_bytes);
        brought >= floor_bytes(self.stall_max)
    }
}

/// What the slowest body that is waited for brings in that time.
fn floor_bytes(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_mul(FLOOR_RATE) / 1000
}
