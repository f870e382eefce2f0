//! Seconds in 32 bits. The wall clock is read once, when the process starts; from then on the time is what
//! has passed since. So a clock that is set back or ahead while wharf runs makes nothing look unused.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// 2020-01-01 00:00:00 UTC, in seconds since the Unix epoch. The last second is in the year 2156.
const EPOCH_SECONDS: u64 = 1_577_836_800;

/// A time in seconds since 2020; 0 stands for a time that is not known.
pub(crate) type Seconds = u32;

/// The clock of one inventory.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    started_at: Instant,
    started: Seconds,
}

impl Clock {
    /// Starts a clock at the wall clock's time `now`.
    pub(crate) fn starting(now: SystemTime) -> Self {
        Self { started_at: Instant::now(), started: to_seconds(now).max(1) }
    }

    /// The time.
    pub(crate) fn now(&self) -> Seconds {
        let passed = u32::try_from(self.started_at.elapsed().as_secs()).unwrap_or(u32::MAX);
        self.started.saturating_add(passed)
    }

    /// A time that an earlier process or a file system noted. One that lies ahead counts as now.
    pub(crate) fn past(&self, time: SystemTime) -> Seconds {
        to_seconds(time).min(self.now())
    }
}

/// The time as the wall clock shows it.
pub(crate) fn to_system_time(seconds: Seconds) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS + u64::from(seconds))
}

fn to_seconds(time: SystemTime) -> Seconds {
    let since_unix = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(since_unix.saturating_sub(EPOCH_SECONDS)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_goes_on_from_its_start_and_takes_no_time_from_the_future() {
        let start = UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS + 100);
        let clock = Clock::starting(start);
        assert_eq!(clock.now(), 100);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(clock.now(), 150);
        assert_eq!(clock.past(start + Duration::from_secs(10)), 110);
        assert_eq!(clock.past(start + Duration::from_secs(1000)), 150);
        assert_eq!(clock.past(UNIX_EPOCH), 0);
        assert_eq!(to_system_time(100), start);
    }
}
