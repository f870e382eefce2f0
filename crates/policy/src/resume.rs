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

/// How often the request for the whole is repeated while the upstream's breaker refuses it.
pub const REST_COUNT_MAX: u32 = 3;

/// The pause before that, if the upstream names none.
pub const REST_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause that an upstream may ask for before a retry, because a client waits for it.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// The pause before a resumption, before jitter; it doubles with each one that comes too slowly.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// How the first transfer requests the missing bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By a range, unless it is the whole blob.
    Ranges,
    /// The whole blob, skipping the stored bytes: ranges fail, or were wrong.
    Whole,
    /// The bytes behind a body that ended before the digest matched. The blob's size is unknown.
    Rest,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its body came to a clean end.
    Clean,
    /// Other connections have what it had yet to fetch.
    TakenOver,
    /// It broke off, or never began.
    Failed(Failure),
}

/// The facts about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// Whether the upstream gave an answer with a status.
    pub is_answered: bool,
    /// Whether it answered a range with 416, with another range, or without saying which.
    pub is_range_refused: bool,
    /// The time for which it wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// The kinds of [`Failure`], told apart by what may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The registry said no: it does not have it, or refuses us.
    Refused,
    /// A deadline passed.
    TimedOut,
    /// A status that is the answer to this request, and not a gateway's passing trouble.
    Answered,
    /// The request was not sent, because the upstream is left alone.
    Resting,
    /// An answer that cannot be used.
    Invalid,
    /// Any other failure of the upstream.
    Troubled,
    /// The body was cut, too slow, or shorter than announced.
    Cut,
    /// It failed on our side, and no request will help.
    Ours,
}

/// A transfer that has ended, and how the blob stands.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How it was asked for.
    pub mode: Mode,
    /// The offset of the first byte that was asked for.
    pub start: u64,
    /// How it ended.
    pub ending: Ending,
    /// Whether the blob's size is known.
    pub has_size: bool,
    /// Whether bytes came while it was under way.
    pub has_grown: bool,
    /// Whether the upstream has answered any request for this blob. Before that, the request itself was tried
    /// again already.
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
    /// Operation at once for what is missing by now.
    GoOn(Mode),
    /// Resume after a pause.
    Again(Mode, Duration),
    /// Find out whether the registry is there at all, and hand that to [`Resume::probed`] with this pause.
    Probe(Option<Duration>),
    /// Take what is there for all of the blob. Its size is unknown, and there is no more; the digest tells.
    EndHere,
    /// Nothing. What is there stays for another time.
    GiveUp,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// What to do now.
    pub next: Next,
    /// Whether the next fill of this blob is to ask for the whole from the beginning.
    pub asks_plainly_next_time: bool,
}

/// How one blob has come so far. What counts is how much comes in a while, whatever single bytes each
/// transfer brings.
#[derive(Clone, Debug)]
pub struct Resume {
    /// How long the blob may come below [`FLOOR_RATE`].
    stall_max: Duration,
    /// When the present while began, and what had come by then.
    since: Progress,
    /// The same of the last failure.
    last: Progress,
    /// Transfers in a row that brought nothing.
    fruitless_count: u32,
    /// Transfers in a row that came below the floor.
    slow_count: u32,
    /// Whether the whole was asked for because ranges did not come.
    has_asked_whole: bool,
    /// Whether that was all that was left to try.
    is_last: bool,
    /// Whether a pause was made that the upstream had asked for, since the last byte came.
    has_waited: bool,
    /// How often the whole could not be asked for, because the upstream is left alone.
    rest_count: u32,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    at: Instant,
    received_bytes: u64,
}

/// When the whole is asked for because a range failed in some way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// It would be no better.
    Never,
    /// When a range has failed so.
    Soon,
    /// The same, if the registry shows that it is there: silence costs the client more than any other
    /// failure.
    SoonIfThere,
    /// When no range is asked for any more.
    Late,
}

impl Failure {
    /// A failure without any answer.
    pub fn of(kind: FailureKind) -> Self {
        Self { kind, is_answered: false, is_range_refused: false, retry_after: None }
    }

    /// Whether the upstream could not be asked, as opposed to having nothing further to give.
    fn is_outage(&self) -> bool {
        !matches!(self.kind, FailureKind::Invalid | FailureKind::Cut | FailureKind::Ours)
            && !self.is_range_refused
    }

    /// Whether the same request may succeed later.
    fn may_pass(&self) -> bool {
        !matches!(self.kind, FailureKind::Refused | FailureKind::Ours)
    }

    /// Whether the upstream answered that this is to be asked for after a while.
    fn is_told_to_wait(&self) -> bool {
        self.is_answered && self.retry_after.is_some()
    }

    /// How long that is, if a client waits for it.
    fn bearable_wait(&self) -> Option<Duration> {
        self.retry_after.filter(|pause| *pause <= RETRY_AFTER_MAX)
    }

    fn whole(&self) -> Whole {
        match self.kind {
            FailureKind::Refused | FailureKind::Ours => Whole::Never,
            FailureKind::TimedOut => Whole::SoonIfThere,
            FailureKind::Answered => Whole::Soon,
            // What is left alone, or throttled, may be so for what ranges did.
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
    /// A blob of which `received_bytes` have come by `now`. It may come below [`FLOOR_RATE`] for `stall_max`.
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

    /// Whether the whole may be asked for because ranges do not come: that is so once.
    pub fn ask_whole(&mut self) -> bool {
        !std::mem::replace(&mut self.has_asked_whole, true)
    }

    /// What to do after a transfer has ended.
    pub fn next(&mut self, ended: &Ended) -> Verdict {
        let failure = match ended.ending {
            Ending::Clean if ended.has_size => return Next::GoOn(ended.mode).into(),
            // It goes on with what is missing by now.
            Ending::TakenOver => return Next::GoOn(ended.mode).into(),
            Ending::Failed(failure)
                if ended.has_size || ended.has_grown || ended.mode != Mode::Rest || failure.is_outage() =>
            {
                failure
            }
            // The digest says that this was not all. The rest is asked for once, and if there is none, this
            // was all.
            Ending::Clean | Ending::Failed(_) if ended.mode == Mode::Rest => return Next::EndHere.into(),
            Ending::Clean | Ending::Failed(_) => return Next::GoOn(Mode::Rest).into(),
        };
        if failure.kind == FailureKind::Invalid && ended.start > 0 && ended.mode == Mode::Ranges {
            // An upstream that cannot resume gives the whole again; what is there is skipped.
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

    /// What to do once it is known whether the registry answers. `mode` and `pause` are those of
    /// [`Next::Probe`].
    pub fn probed(&mut self, is_there: bool, mode: Mode, pause: Option<Duration>) -> Next {
        if is_there { self.turn_to_whole(pause) } else { again_or_give_up(mode, pause) }
    }

    /// The whole was asked for, and was no better.
    fn after_whole(&mut self, failure: &Failure, pause: Option<Duration>) -> Verdict {
        let is_resting = failure.kind == FailureKind::Resting;
        if is_resting {
            self.rest_count += 1;
            if self.rest_count <= REST_COUNT_MAX {
                return Next::Again(Mode::Whole, failure.bearable_wait().unwrap_or(REST_PAUSE)).into();
            }
        }
        let next = again_or_give_up(Mode::Ranges, pause.filter(|_| !self.is_last));
        // It was never sent, so it is not known yet whether the whole comes. The next fill does not spend the
        // one request that is let through on a range.
        Verdict { next, asks_plainly_next_time: is_resting }
    }

    /// A range failed, and the whole was not asked for yet.
    fn after_range(&mut self, failure: &Failure, ended: &Ended, pause: Option<Duration>) -> Verdict {
        if failure.is_told_to_wait() {
            // That may be about ranges only. So it is waited for once, until something comes.
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
                // It comes, and too slowly to be waited for. That may be the way of ranges only.
                asks_plainly_next_time: whole == Whole::Late && !is_repeated && pause.is_none(),
            },
        }
    }

    /// `pause` is what a further range would have had; `None`: there would be none.
    fn turn_to_whole(&mut self, pause: Option<Duration>) -> Next {
        self.has_asked_whole = true;
        self.is_last = pause.is_none();
        Next::Again(Mode::Whole, Duration::ZERO)
    }

    /// Takes note of a failure; the pause after it. `None`: the same is not asked for again.
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

/// What the slowest body that is waited for brings in that time.
fn floor_bytes(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_mul(FLOOR_RATE) / 1000
}

#[cfg(test)]
mod tests;
