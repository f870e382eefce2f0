//! The progress of a pull of many images: a line that a terminal overwrites.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::table::amount;

/// The width of the bar.
const BAR_WIDTH: usize = 20;

/// The widest line, in characters: terminals are seldom narrower.
const LINE_WIDTH: usize = 79;

/// The known state of the images.
#[derive(Debug, Default)]
pub(super) struct PullProgress {
    image_count: usize,
    done_count: usize,
    /// Bytes of images that are done.
    done_bytes: u64,
    /// Bytes that were here when an image was first seen, which say nothing about the rate.
    first_bytes: u64,
    active: BTreeMap<String, (u64, u64)>,
}

impl PullProgress {
    pub(super) fn new(image_count: usize) -> Self {
        Self { image_count, ..Self::default() }
    }

    /// Takes an event of the server.
    pub(super) fn take(&mut self, event: &Value) {
        let image = event["image"].as_str().unwrap_or_default();
        let bytes = |key: &str| event[key].as_u64().unwrap_or(0);
        match event["event"].as_str() {
            Some("progress") => {
                let (done, total) = (bytes("done_bytes"), bytes("total_bytes"));
                let before = self.active.insert(image.to_owned(), (done, total));
                if before.is_none_or(|(_, total)| total == 0) {
                    self.first_bytes += done;
                }
            }
            Some("image") => {
                let seen = self.active.remove(image);
                self.done_count += 1;
                let (total, fetched) = (bytes("total_bytes"), bytes("fetched_bytes"));
                self.done_bytes += total;
                if seen.is_none_or(|(_, total)| total == 0) {
                    self.first_bytes += total.saturating_sub(fetched);
                }
            }
            _ => {}
        }
    }

    /// The line after this time.
    pub(super) fn line(&self, elapsed: Duration) -> String {
        let done = self.active.values().fold(self.done_bytes, |sum, (done, _)| sum + done);
        let total = self.active.values().fold(self.done_bytes, |sum, (_, total)| sum + total);
        let rate = done.saturating_sub(self.first_bytes) as f64 / elapsed.as_secs_f64().max(0.1);
        let share = if total == 0 { 0.0 } else { done as f64 / total as f64 };
        let filled = ((share * BAR_WIDTH as f64) as usize).min(BAR_WIDTH);
        let bar: String = (0..BAR_WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
        let shown = |bytes: u64| amount(&Value::from(bytes));
        let mut line = format!(
            "[{bar}] {}/{} images  {} of {}  {}/s",
            self.done_count,
            self.image_count,
            shown(done),
            shown(total),
            shown(rate as u64)
        );
        // The sizes of images that have not begun are not known.
        let is_all = self.done_count + self.active.len() >= self.image_count;
        if is_all && rate >= 1.0 && total > done {
            let left = Duration::from_secs(((total - done) as f64 / rate) as u64);
            line.push_str(&format!("  {} left", span(left)));
        }
        line.chars().take(LINE_WIDTH).collect()
    }
}

/// A length of time for people: `48 s`, `3 min`, `2 h 5 min`.
fn span(length: Duration) -> String {
    match length.as_secs() {
        seconds @ 0..=99 => format!("{seconds} s"),
        seconds @ 100..=5999 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn progress(image: &str, done: u64, total: u64) -> Value {
        json!({ "event": "progress", "image": image, "done_bytes": done, "total_bytes": total })
    }

    #[test]
    fn the_line_has_bytes_rate_and_time_left() {
        const MIB: u64 = 1 << 20;
        let mut all = PullProgress::new(3);
        all.take(&progress("a", 0, 0));
        all.take(&progress("a", 10 * MIB, 40 * MIB));
        let line = all.line(Duration::from_secs(10));
        assert_eq!(line, "[#####...............] 0/3 images  10.0 MiB of 40.0 MiB  0 B/s");
        all.take(&json!({ "event": "image", "image": "b", "total_bytes": 10 * MIB, "fetched_bytes": 0 }));
        all.take(&progress("a", 30 * MIB, 40 * MIB));
        all.take(&progress("c", 0, 0));
        let line = all.line(Duration::from_secs(10));
        assert_eq!(line, "[################....] 1/3 images  40.0 MiB of 50.0 MiB  2.0 MiB/s  5 s left");
        assert!(line.chars().count() <= LINE_WIDTH);
    }

    #[test]
    fn lengths_of_time_are_short() {
        for (seconds, text) in [(0, "0 s"), (99, "99 s"), (100, "2 min"), (7500, "2 h 5 min")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
