//! The clock of last uses.
//!
//! It counts seconds on a scale of its own. While the process runs, the monotonic clock drives it; of a
//! pause, as the wall clock shows it, `policy::elapsed` says how much counts. So a wall clock that is set
//! ahead or back, at the start or later, neither makes anything look unused nor changes the order of uses.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use policy::elapsed::{Course, Noted, age_of_file};
use tokio::time::Instant;

/// A time in seconds on the scale of one clock; 0 stands for a time that is not known.
pub(crate) type Seconds = u32;

/// The time on the scale when a process starts: in the middle, so that 68 years fit before and after.
const ORIGIN: Seconds = 1 << 31;

/// The wall clock.
pub type WallClock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// The clock of one inventory.
pub(crate) struct Clock {
    wall: WallClock,
    started_at: Instant,
    /// Seconds that passed while the machine slept.
    paused: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The moment of the last agreement between the clocks.
    agreed: Moment,
    /// The moment from which the ages of an earlier process count back.
    base: Moment,
    noted: Option<Noted>,
    /// How far the wall clock is behind the furthest time that it has shown.
    behind: Duration,
    /// Until then, nothing goes because it was not used.
    rests_until: Option<Instant>,
}

/// The state of a clock that the next process takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handover {
    /// The wall clock's time.
    pub(crate) at: SystemTime,
    /// How far the wall clock is behind the furthest time that it has shown.
    pub(crate) behind: Duration,
    /// For so long, nothing goes because it was not used.
    pub(crate) rest: Duration,
}

/// A moment on all three clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    wall: SystemTime,
    scale: Seconds,
}

impl Clock {
    /// Starts a clock.
    pub(crate) fn starting(wall: WallClock) -> Self {
        let start = Moment { at: Instant::now(), wall: wall(), scale: ORIGIN };
        let state =
            State { agreed: start, base: start, noted: None, behind: Duration::ZERO, rests_until: None };
        Self { wall, started_at: start.at, paused: AtomicU32::new(0), state: Mutex::new(state) }
    }

    /// The time.
    pub(crate) fn now(&self) -> Seconds {
        let passed = to_seconds(self.started_at.elapsed());
        ORIGIN.saturating_add(passed).saturating_add(self.paused.load(Ordering::Relaxed))
    }

    /// The wall clock's time.
    pub(crate) fn wall_now(&self) -> SystemTime {
        (self.wall)()
    }

    /// Takes over from an earlier process, which left `noted`, the first time that it is called.
    pub(crate) fn continue_from(&self, noted: Handover) -> Course {
        let mut state = self.state.lock();
        if state.noted.is_some() {
            return Course::Steady;
        }
        let base = self.moment();
        let (course, behind) = Course::of(noted.at, base.wall, Duration::ZERO).beyond(noted.behind);
        state.base = base;
        state.behind = behind;
        state.noted = Some(Noted { at: noted.at, counted: course.counted() });
        state.rest(course.rest().max(noted.rest));
        course
    }

    /// The state for the next process.
    pub(crate) fn handover(&self) -> Handover {
        let state = self.state.lock();
        let rest = state.rests_until.map_or(Duration::ZERO, |until| until - Instant::now());
        Handover { at: self.wall_now(), behind: state.behind, rest }
    }

    /// Compares the wall clock with the monotonic one, and counts a pause.
    pub(crate) fn follow(&self) -> Course {
        let mut state = self.state.lock();
        let now = self.moment();
        let course = Course::of(state.agreed.wall, now.wall, now.at - state.agreed.at);
        if course == Course::Steady {
            return course;
        }
        let (course, behind) = course.beyond(state.behind);
        // The lock is held, so nothing else writes it.
        let paused = self.paused.load(Ordering::Relaxed).saturating_add(to_seconds(course.counted()));
        self.paused.store(paused, Ordering::Relaxed);
        state.agreed = Moment { scale: self.now(), ..now };
        state.behind = behind;
        state.rest(course.rest());
        course
    }

    /// Whether a pause was so lately that nothing goes because it was not used.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.state.lock().rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// A use so long before the last noted moment of an earlier process.
    pub(crate) fn before_note(&self, age: Duration) -> Seconds {
        let state = self.state.lock();
        let counted = state.noted.map_or(Duration::ZERO, |noted| noted.counted);
        before(state.base.scale, age.saturating_add(counted))
    }

    /// The time of a file. One that lies ahead counts as the moment of the start.
    pub(crate) fn of_file(&self, modified: SystemTime) -> Seconds {
        let state = self.state.lock();
        before(state.base.scale, age_of_file(modified, state.base.wall, state.noted))
    }

    fn moment(&self) -> Moment {
        Moment { at: Instant::now(), wall: self.wall_now(), scale: self.now() }
    }

    /// The time as the wall clock shows it. A time that is not known lies before all others.
    pub(crate) fn to_wall(&self, seconds: Seconds) -> SystemTime {
        let Moment { at, wall, scale } = self.state.lock().agreed;
        // The wall clock's time when that second began.
        let wall = wall - Duration::from_nanos((at - self.started_at).subsec_nanos().into());
        let (before, after) = (scale.saturating_sub(seconds), seconds.saturating_sub(scale));
        let shown = wall + Duration::from_secs(after.into());
        match seconds {
            0 => SystemTime::UNIX_EPOCH,
            _ => shown.checked_sub(Duration::from_secs(before.into())).unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

impl State {
    fn rest(&mut self, rest: Duration) {
        let until = Instant::now() + rest;
        self.rests_until = Some(self.rests_until.map_or(until, |before| before.max(until)));
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish_non_exhaustive()
    }
}

fn before(scale: Seconds, age: Duration) -> Seconds {
    scale.saturating_sub(to_seconds(age)).max(1)
}

fn to_seconds(time: Duration) -> Seconds {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
