//! Decides how much time counts as passed, for contents that go when no client used them for a long time.
//!
//! While a process runs, the monotonic clock counts. Across a pause (the process did not run, or the machine
//! slept) only the wall clock tells how long it was, and it may have been set meanwhile. So a pause counts up
//! to a maximum, and time never runs backwards.

use std::time::{Duration, SystemTime};

/// The most of one pause that counts as passed. A wall clock that was set ahead by years looks like a pause
/// of years.
pub const PAUSE_COUNTED_MAX: Duration = Duration::from_secs(86_400);

/// Below this difference from the monotonic clock, the wall clock was only adjusted.
pub const ADJUSTMENT_MAX: Duration = Duration::from_secs(60);

/// The wall clock compared with the time that passed for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Both agree, up to [`ADJUSTMENT_MAX`].
    Steady,
    /// The wall clock says that more time passed, up to [`PAUSE_COUNTED_MAX`]: a pause.
    Pause(Duration),
    /// The wall clock says that even more time passed: a long pause, or a clock that was set ahead.
    Ahead(Duration),
    /// The wall clock says that less time passed, or none: it was set back.
    Back(Duration),
}

impl Course {
    /// Compares the wall clock at two moments, between which `passed` went by for certain.
    pub fn of(before: SystemTime, now: SystemTime, passed: Duration) -> Self {
        let shown = now.duration_since(before);
        let (ahead, back) = match shown {
            Ok(shown) => (shown.saturating_sub(passed), passed.saturating_sub(shown)),
            Err(error) => (Duration::ZERO, error.duration().saturating_add(passed)),
        };
        if back > ADJUSTMENT_MAX { Self::Back(back) } else { Self::ahead_by(ahead) }
    }

    fn ahead_by(ahead: Duration) -> Self {
        if ahead > PAUSE_COUNTED_MAX {
            Self::Ahead(ahead)
        } else if ahead > ADJUSTMENT_MAX {
            Self::Pause(ahead)
        } else {
            Self::Steady
        }
    }

    /// Returns the part of the course that goes beyond the furthest time that the wall clock has shown, where
    /// it was `behind` that time, and how far it is behind it now. Only that part is new: a clock that is set
    /// back and ahead again makes nothing older, however often that happens.
    #[must_use]
    pub fn beyond(self, behind: Duration) -> (Self, Duration) {
        match self {
            Self::Steady => (self, behind),
            Self::Back(by) => (self, behind.saturating_add(by)),
            Self::Pause(by) | Self::Ahead(by) => {
                (Self::ahead_by(by.saturating_sub(behind)), behind.saturating_sub(by))
            }
        }
    }

    /// Returns the time that counts as passed beside the certain one.
    pub fn counted(self) -> Duration {
        match self {
            Self::Steady | Self::Back(_) => Duration::ZERO,
            Self::Pause(by) | Self::Ahead(by) => by.min(PAUSE_COUNTED_MAX),
        }
    }

    /// Returns the time for which nothing goes because it was not used: as long as what was counted, so that
    /// clients can use again what only a pause made old.
    pub fn rest(self) -> Duration {
        self.counted()
    }
}

/// The last moment of an earlier process, as it noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The wall clock then.
    pub at: SystemTime,
    /// The time that counts as passed since.
    pub counted: Duration,
}

/// Returns the age of a file with this time of change, by the wall clock's time `now`. A time that lies ahead
/// counts as now. Where an earlier process noted its last moment, a clock that was set since changes nothing.
pub fn age_of_file(modified: SystemTime, now: SystemTime, noted: Option<Noted>) -> Duration {
    let before = |end: SystemTime| end.duration_since(modified).ok();
    match noted {
        None => before(now).unwrap_or_default(),
        Some(noted) => match before(noted.at) {
            Some(before) => before.saturating_add(noted.counted),
            None => before(now).unwrap_or_default().min(noted.counted),
        },
    }
}

#[cfg(test)]
mod tests;
