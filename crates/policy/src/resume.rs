//! Decides what a fill does after its first transfer has ended: go on, retry, accept the end, or give up.
//!
//! A transfer that broke off resumes after the last stored byte. Some upstreams answer a plain request well
//! but fail a range request: with an error, a closed connection, a dead redirect, or silence. Such a blob
//! must still complete. So if the range fails, the whole blob is requested once, and the stored bytes are
//! skipped.

use std::time::{Duration, Instant};

/// The slowest accepted body, in bytes per second.
pub const FLOOR_RATE: u64 = 1024;

/// The most resumptions in a row without a new byte.
pub const FRUITLESS_COUNT_MAX: u32 = 5;

/// The most repetitions of the request for the whole while the upstream's breaker refuses it.
pub const REST_COUNT_MAX: u32 = 3;

/// The pause before that, if the upstream names none.
pub const REST_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause that an upstream may ask for before a retry, because a client waits for it.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// The pause before a resumption, before jitter; it doubles with each one that comes too slowly.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The way in which the first transfer requests the missing bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By a range, unless it is the whole blob.
    Ranges,
    /// The whole blob, skipping the stored bytes: ranges fail, or were wrong.
    Whole,
    /// The bytes behind a body that ended before the digest matched. The blob's size is unknown.
    Rest,
}

/// The end of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The body ended cleanly.
    Clean,
    /// Other connections took over the rest of its span.
    TakenOver,
    /// The transfer broke off, or never started.
    Failed(Failure),
}

/// The facts about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// Whether the upstream answered with a status.
    pub is_answered: bool,
    /// Whether it answered a range with 416, with another range, or without `Content-Range`.
    pub is_range_refused: bool,
    /// The pause that it asked for.
    pub retry_after: Option<Duration>,
}

/// The kinds of [`Failure`], by the step that may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The registry gave a negative answer.
    Refused,
    /// A deadline passed.
    TimedOut,
    /// A status that is about this request, and not a gateway's transient error.
    Answered,
    /// The request was not sent, because the upstream's breaker is open.
    Resting,
    /// An answer that cannot be used.
    Invalid,
    /// Any other failure of the upstream.
    Troubled,
    /// The body broke off, was too slow, or was shorter than announced.
    Cut,
    /// The failure is on our side, and no request will help.
    Ours,
}

/// A transfer that has ended, and the state of the blob.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The mode of its request.
    pub mode: Mode,
    /// The offset of the first requested byte.
    pub start: u64,
    /// Its end.
    pub ending: Ending,
    /// Whether the blob's size is known.
    pub has_size: bool,
    /// Whether bytes arrived during the transfer.
    pub has_grown: bool,
    /// Whether the upstream has answered any request for this blob. Until then, `upstream` has retried the
    /// request itself.
    pub has_answered: bool,
    /// Bytes that all transfers of the blob have received so far.
    pub received_bytes: u64,
    /// The time at which it ended.
    pub now: Instant,
    /// A random number from 0 to 1, which spreads the pauses.
    pub jitter: f64,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Request the missing bytes at once.
    GoOn(Mode),
    /// Resume after a pause.
    Again(Mode, Duration),
    /// Probe whether the registry is up, and pass the result to [`Resume::probed`] with this pause.
    Probe(Option<Duration>),
    /// Accept the stored bytes as the whole blob. Its size is unknown and no more bytes come; the digest
    /// decides.
    EndHere,
    /// Give up. The stored bytes stay for the next fill.
    GiveUp,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The next step.
    pub next: Next,
    /// Whether the next fill of this blob starts with a request for the whole.
    pub asks_plainly_next_time: bool,
}

/// The progress of one fill. It measures the bytes per period, so that a transfer that brings single bytes
/// does not count as progress.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The longest time for which the rate may stay below [`FLOOR_RATE`].
    stall_max: Duration,
    /// The start of the present period, and the bytes received until then.
    since: Progress,
    /// The same for the last failure.
    last: Progress,
    /// Transfers in a row without a new byte.
    fruitless_count: u32,
    /// Transfers in a row below the floor rate.
    slow_count: u32,
    /// Whether the whole was requested because ranges failed.
    has_asked_whole: bool,
    /// Whether that was the last resort.
    is_last: bool,
    /// Whether a pause that the upstream asked for was made since the last byte.
    has_waited: bool,
    /// The number of times that the request for the whole was not sent, because the breaker is open.
    rest_count: u32,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    at: Instant,
    received_bytes: u64,
}

/// The moment to request the whole after a kind of range failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// Never: it would fail too.
    Never,
    /// After the first such failure.
    Soon,
    /// The same, if a probe shows that the registry is up: silence costs the client more than any other
    /// failure.
    SoonIfThere,
    /// When no further range is requested.
    Late,
}

impl Failure {
    /// A failure without any answer.
    pub fn of(kind: FailureKind) -> Self {
        Self { kind, is_answered: false, is_range_refused: false, retry_after: None }
    }

    /// Tells whether the upstream was unreachable, as opposed to having no further bytes.
    fn is_outage(&self) -> bool {
        !matches!(self.kind, FailureKind::Invalid | FailureKind::Cut | FailureKind::Ours)
            && !self.is_range_refused
    }

    /// Tells whether the same request may succeed later.
    fn may_pass(&self) -> bool {
        !matches!(self.kind, FailureKind::Refused | FailureKind::Ours)
    }

    /// Tells whether the upstream answered and asked for a pause.
    fn is_told_to_wait(&self) -> bool {
        self.is_answered && self.retry_after.is_some()
    }

    /// Returns that pause, unless it is too long for a waiting client.
    fn bearable_wait(&self) -> Option<Duration> {
        self.retry_after.filter(|pause| *pause <= RETRY_AFTER_MAX)
    }

    fn whole(&self) -> Whole {
        match self.kind {
            FailureKind::Refused | FailureKind::Ours => Whole::Never,
            FailureKind::TimedOut => Whole::SoonIfThere,
            FailureKind::Answered => Whole::Soon,
            // An open breaker or a 429 may be the result of range requests.
            FailureKind::Resting | FailureKind::Troubled | FailureKind::Invalid | FailureKind::Cut => {
                Whole::Late
            }
        }
    }
}

impl From<Next> for Verdict {
    fn from(next: Next) -> Self {
        Self { next, asks_plainly_next_time: false }
    }
}

impl Resume {
    /// Starts for a blob with `received_bytes` at `now`. Its rate may stay below [`FLOOR_RATE`] for
    /// `stall_max`.
    pub fn new(stall_max: Duration, received_bytes: u64, now: Instant) -> Self {
        let begun = Progress { at: now, received_bytes };
        Self {
            stall_max,
            since: begun,
            last: begun,
            fruitless_count: 0,
            slow_count: 0,
            has_asked_whole: false,
            is_last: false,
            has_waited: false,
            rest_count: 0,
        }
    }

    /// Returns true once: the whole may be requested because ranges fail.
    pub fn ask_whole(&mut self) -> bool {
        !std::mem::replace(&mut self.has_asked_whole, true)
    }

    /// Decides the next step after a transfer has ended.
    pub fn next(&mut self, ended: &Ended) -> Verdict {
        let failure = match ended.ending {
            Ending::Clean if ended.has_size => return Next::GoOn(ended.mode).into(),
            // Go on with the bytes that are missing now.
            Ending::TakenOver => return Next::GoOn(ended.mode).into(),
            Ending::Failed(failure)
                if ended.has_size || ended.has_grown || ended.mode != Mode::Rest || failure.is_outage() =>
            {
                failure
            }
            // The digest does not match yet. Request the rest once; if there is none, accept the end.
            Ending::Clean | Ending::Failed(_) if ended.mode == Mode::Rest => return Next::EndHere.into(),
            Ending::Clean | Ending::Failed(_) => return Next::GoOn(Mode::Rest).into(),
        };
        if failure.kind == FailureKind::Invalid && ended.start > 0 && ended.mode == Mode::Ranges {
            // An upstream that cannot resume sends the whole again; skip the stored bytes.
            return Next::GoOn(Mode::Whole).into();
        }
        let pause = self.pause(&failure, ended);
        match ended.mode {
            Mode::Whole if self.has_asked_whole && self.fruitless_count > 1 => {
                self.after_whole(&failure, pause)
            }
            Mode::Ranges if ended.start > 0 && !self.has_asked_whole => {
                self.after_range(&failure, ended, pause)
            }
            mode => again_or_give_up(mode, pause).into(),
        }
    }

    /// Decides the next step after the probe. `mode` and `pause` are those of [`Next::Probe`].
    pub fn probed(&mut self, is_there: bool, mode: Mode, pause: Option<Duration>) -> Next {
        if is_there { self.turn_to_whole(pause) } else { again_or_give_up(mode, pause) }
    }

    /// The request for the whole failed too.
    fn after_whole(&mut self, failure: &Failure, pause: Option<Duration>) -> Verdict {
        let is_resting = failure.kind == FailureKind::Resting;
        if is_resting {
            self.rest_count += 1;
            if self.rest_count <= REST_COUNT_MAX {
                return Next::Again(Mode::Whole, failure.bearable_wait().unwrap_or(REST_PAUSE)).into();
            }
        }
        let next = again_or_give_up(Mode::Ranges, pause.filter(|_| !self.is_last));
        // The request was never sent, so the whole may still work. The next fill must not spend the one
        // request that the breaker admits on a range.
        Verdict { next, asks_plainly_next_time: is_resting }
    }

    /// A range failed, and the whole was not requested yet.
    fn after_range(&mut self, failure: &Failure, ended: &Ended, pause: Option<Duration>) -> Verdict {
        if failure.is_told_to_wait() {
            // The pause may be for ranges only, so it is made once until a byte arrives.
            return match failure.bearable_wait() {
                Some(wait) if !std::mem::replace(&mut self.has_waited, true) => {
                    Next::Again(Mode::Ranges, wait).into()
                }
                _ => self.turn_to_whole(pause).into(),
            };
        }
        let is_repeated = self.fruitless_count > 1 || !ended.has_answered;
        match failure.whole() {
            Whole::Soon if is_repeated => self.turn_to_whole(pause).into(),
            Whole::SoonIfThere if is_repeated => Next::Probe(pause).into(),
            Whole::Late if is_repeated && pause.is_none() => self.turn_to_whole(pause).into(),
            whole => Verdict {
                next: again_or_give_up(Mode::Ranges, pause),
                // The bytes come too slowly. That may be true of ranges only.
                asks_plainly_next_time: whole == Whole::Late && !is_repeated && pause.is_none(),
            },
        }
    }

    /// Requests the whole. `pause` is the pause before a further range, or `None` if there would be none.
    fn turn_to_whole(&mut self, pause: Option<Duration>) -> Next {
        self.has_asked_whole = true;
        self.is_last = pause.is_none();
        Next::Again(Mode::Whole, Duration::ZERO)
    }

    /// Notes a failure and returns the pause after it, or `None` if the same request is not retried.
    fn pause(&mut self, failure: &Failure, ended: &Ended) -> Option<Duration> {
        let brought = ended.received_bytes.saturating_sub(self.last.received_bytes);
        let is_slow = brought < floor_bytes(ended.now.saturating_duration_since(self.last.at));
        self.last = Progress { at: ended.now, received_bytes: ended.received_bytes };
        self.fruitless_count = if brought > 0 { 1 } else { self.fruitless_count + 1 };
        self.has_waited &= brought == 0;
        self.slow_count = if is_slow { self.slow_count + 1 } else { 1 };
        let is_patient = self.fruitless_count <= FRUITLESS_COUNT_MAX && self.comes_fast_enough();
        if !(failure.may_pass() && is_patient && ended.has_answered) {
            return None;
        }
        let ceiling = PAUSE_MIN * 2u32.pow(self.slow_count.min(FRUITLESS_COUNT_MAX));
        Some(ceiling.mul_f64(0.5 + ended.jitter.clamp(0.0, 1.0) / 2.0))
    }

    /// Whether the last while brought as much as the slowest body that is waited for. A while that is not
    /// over yet proves nothing.
    fn comes_fast_enough(&mut self) -> bool {
        if self.last.at.saturating_duration_since(self.since.at) < self.stall_max {
            return true;
        }
        let brought = self.last.received_bytes.saturating_sub(self.since.received_bytes);
        self.since = self.last;
        brought >= floor_bytes(self.stall_max)
    }
}

fn again_or_give_up(mode: Mode, pause: Option<Duration>) -> Next {
    pause.map_or(Next::GiveUp, |pause| Next::Again(mode, pause))
}

/// Returns the bytes that the slowest accepted body brings in that time.
fn floor_bytes(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_mul(FLOOR_RATE) / 1000
}

#[cfg(test)]
mod tests;
