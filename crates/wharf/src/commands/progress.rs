//! The progress of long work, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use archive::Progress;

use super::table::amount;

/// A terminal shows the progress so often, a file or a pipe less often.
const TERMINAL_EVERY: Duration = Duration::from_millis(500);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// One line that moves on a terminal, and a line now and then elsewhere.
#[derive(Debug)]
pub(super) struct ProgressLine {
    is_terminal: bool,
    began: Instant,
    shown: Instant,
    is_shown: bool,
}

impl ProgressLine {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { is_terminal: io::stderr().is_terminal(), began: now, shown: now, is_shown: false }
    }

    /// Shows the progress, if that is due.
    pub(super) fn show(&mut self, progress: Progress) {
        let every = if self.is_terminal { TERMINAL_EVERY } else { LINE_EVERY };
        if self.shown.elapsed() < every {
            return;
        }
        (self.shown, self.is_shown) = (Instant::now(), true);
        let text = describe(progress, self.began.elapsed());
        // Nothing depends on these lines.
        let _ = if self.is_terminal {
            write!(io::stderr(), "\r\x1b[K{text}")
        } else {
            writeln!(io::stderr(), "{text}")
        };
    }

    /// Takes the line away.
    pub(super) fn end(&mut self) {
        if self.is_terminal && self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Says which image comes next.
pub(super) fn announce(image: &str) {
    // The report at the end matters, not this.
    let _ = writeln!(io::stderr(), "importing {image}");
}

fn describe(progress: Progress, since: Duration) -> String {
    let Progress { done, total } = progress;
    let shown = |bytes: u64| amount(&bytes.into());
    let rate = done.saturating_mul(1000) / u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1);
    if total <= done || rate == 0 {
        return format!("{}, {}/s", shown(done), shown(rate));
    }
    let left = (total - done) / rate;
    format!("{} of {}, {}/s, {}:{:02} left", shown(done), shown(total), shown(rate), left / 60, left % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_bytes_rate_and_the_time_left() {
        let second = Duration::from_secs(1);
        for (done, total, text) in [
            (0, 0, "0 B, 0 B/s"),
            (1024, 0, "1.0 KiB, 1.0 KiB/s"),
            (1024, 91 * 1024, "1.0 KiB of 91.0 KiB, 1.0 KiB/s, 1:30 left"),
        ] {
            assert_eq!(describe(Progress { done, total }, second), text);
        }
    }
}
