//! When to order again after a failure.

use std::collections::BTreeMap;
use std::time::Duration;

/// The pauses after one, two, three, ... failures, in seconds. Let's Encrypt allows five failed validations
/// of a name in an hour.
const PAUSES_SECONDS: [u64; 7] = [60, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600];

/// The longest pause, also for an authority that asks for more.
pub const PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The least time between two orders of which one failed, in seconds: each failure may show another faulty
/// name.
const GAP_SECONDS: u64 = 5;

/// The failures since the last success, of names and of the authority.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    names: BTreeMap<String, Trouble>,
    authority: Trouble,
    gap_until: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    count: usize,
    ready_at: u64,
}

impl Trouble {
    fn fail(&mut self, now: u64, asked: Option<Duration>, draw: u64) {
        let pause = PAUSES_SECONDS[self.count.min(PAUSES_SECONDS.len() - 1)];
        let pause = pause + pause * (draw % 26) / 100;
        let asked = asked.unwrap_or_default().min(PAUSE_MAX).as_secs();
        self.ready_at = now + pause.max(asked);
        self.count += 1;
    }
}

impl Failures {
    /// Notes at `now` that an order failed because of `culprits`; without any, because of the authority or
    /// the way to it. `asked`: the pause that the authority asked for. `draw` is a random number.
    pub fn fail(&mut self, culprits: &[String], now: u64, asked: Option<Duration>, draw: u64) {
        self.gap_until = now + GAP_SECONDS;
        if culprits.is_empty() {
            self.authority.fail(now, asked, draw);
            return;
        }
        for name in culprits {
            self.names.entry(name.clone()).or_default().fail(now, asked, draw);
        }
    }

    /// Notes that an order for `names` succeeded.
    pub fn succeed(&mut self, names: &[String]) {
        self.authority = Trouble::default();
        self.names.retain(|name, _| !names.contains(name));
    }

    /// Forgets names that are not wanted any more.
    pub fn retain(&mut self, wanted: &[String]) {
        self.names.retain(|name, _| wanted.contains(name));
    }

    /// Forgets the pauses of all names but not their number of failures, because the operator changed
    /// something. The authority's pause stays.
    pub fn retry_names(&mut self) {
        for trouble in self.names.values_mut() {
            trouble.ready_at = 0;
        }
    }

    /// How many names failed last time.
    pub fn name_count(&self) -> usize {
        self.names.len()
    }

    /// How many orders in a row the authority failed.
    pub fn authority_count(&self) -> usize {
        self.authority.count
    }

    /// Whether the last order for this name failed because of it.
    pub(super) fn is_troubled(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// When the name can be ordered.
    pub fn ready_at(&self, name: &str) -> u64 {
        let own = self.names.get(name).map_or(0, |trouble| trouble.ready_at);
        own.max(self.authority.ready_at).max(self.gap_until)
    }

    pub(super) fn is_ready(&self, name: &str, now: u64) -> bool {
        self.ready_at(name) <= now
    }
}
