//! Pairs of files that cannot be used yet: when to tell the operator.
//!
//! A pair that waits for its other half is told once. If it still waits after some minutes, the agent that
//! renews it has probably failed, and that is told louder, and again each hour.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::pair::PairFiles;

/// The time after which a waiting pair is told louder.
const LOUD_AFTER: Duration = Duration::from_secs(5 * 60);

/// The time between two loud messages about one pair.
const LOUD_EVERY: Duration = Duration::from_secs(3600);

/// The pairs that wait now, each with when it began and when it is told next.
#[derive(Clone, Debug, Default)]
pub struct Waiting(BTreeMap<PairFiles, Times>);

#[derive(Clone, Copy, Debug)]
struct Times {
    since: Instant,
    told_next: Instant,
}

impl Waiting {
    /// Takes the pairs that cannot be used at `now`. Returns those that could be used before.
    pub fn observe(&mut self, waiting: &[PairFiles], now: Instant) -> Vec<PairFiles> {
        self.0.retain(|files, _| waiting.contains(files));
        let mut new = Vec::new();
        for files in waiting {
            self.0.entry(files.clone()).or_insert_with(|| {
                new.push(files.clone());
                Times { since: now, told_next: now + LOUD_AFTER }
            });
        }
        new
    }

    /// The pairs to tell loudly at `now`, each with the time that it has waited.
    pub fn overdue(&mut self, now: Instant) -> Vec<(PairFiles, Duration)> {
        let mut overdue = Vec::new();
        for (files, times) in &mut self.0 {
            if times.told_next <= now {
                times.told_next = now + LOUD_EVERY;
                overdue.push((files.clone(), now.duration_since(times.since)));
            }
        }
        overdue
    }

    /// The time of the next question for [`overdue`](Self::overdue) pairs; `None` while no pair waits.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().map(|times| times.told_next).min()
    }
}

#[cfg(test)]
mod tests;
