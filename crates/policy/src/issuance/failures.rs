//! Decides at which time to order again after a failure.

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

/// The most failures of one name in an hour across restarts, which begin with the shortest pause again.
const RESTARTED_COUNT_MAX: usize = 4;

const HOUR_SECONDS: u64 = 3600;

/// Stands for the authority among names.
const AUTHORITY: &str = "*";

/// The failures since the last success, of names and of the authority.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    names: BTreeMap<String, Trouble>,
    authority: Trouble,
    gap_until: u64,
    /// The last failures, each with its time and the name, the oldest first.
    recent: Vec<(u64, String)>,
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
        self.remember(culprits, now);
        if culprits.is_empty() {
            self.authority.fail(now, asked, draw);
            return;
        }
        for name in culprits {
            self.names.entry(name.clone()).or_default().fail(now, asked, draw);
        }
    }

    fn remember(&mut self, culprits: &[String], now: u64) {
        self.recent.retain(|(at, _)| at + HOUR_SECONDS > now);
        let authority = [AUTHORITY.to_owned()];
        for name in if culprits.is_empty() { &authority[..] } else { culprits } {
            let of_name = |(_, own): &(u64, String)| own == name;
            if self.recent.iter().filter(|it| of_name(it)).count() == RESTARTED_COUNT_MAX
                && let Some(oldest) = self.recent.iter().position(of_name)
            {
                self.recent.remove(oldest);
            }
            self.recent.push((now, name.clone()));
        }
    }

    /// The last failures as lines of text, for the next process.
    pub fn to_text(&self) -> String {
        self.recent.iter().map(|(at, name)| format!("{at} {name}\n")).collect()
    }

    /// The failures of an earlier process, from [`to_text`](Self::to_text), for one that starts at `now`. It
    /// may order at once, except for what failed four times within the last hour. Lines that are no failures
    /// are skipped, and so are times in the future.
    pub fn from_text(text: &str, now: u64) -> Self {
        let parse = |line: &str| {
            let (at, name) = line.split_once(' ')?;
            let at =
                at.parse::<u64>().ok().filter(|at| (now.saturating_sub(HOUR_SECONDS)..=now).contains(at))?;
            Some((at, name.to_owned()))
        };
        let recent: Vec<(u64, String)> = text.lines().filter_map(parse).collect();
        let mut failures = Self { recent, ..Self::default() };
        for (_, name) in &failures.recent {
            let times: Vec<u64> =
                failures.recent.iter().filter(|(_, own)| own == name).map(|(at, _)| *at).collect();
            let [.., oldest, _, _, _] = times[..] else { continue };
            let trouble = Trouble { count: RESTARTED_COUNT_MAX, ready_at: oldest + HOUR_SECONDS };
            if name == AUTHORITY {
                failures.authority = trouble;
            } else {
                failures.names.insert(name.clone(), trouble);
            }
        }
        failures
    }

    /// Notes that an order for `names` succeeded.
    pub fn succeed(&mut self, names: &[String]) {
        self.authority = Trouble::default();
        self.names.retain(|name, _| !names.contains(name));
        self.recent.retain(|(_, name)| name != AUTHORITY && !names.contains(name));
    }

    /// Forgets names that are not wanted any more.
    pub fn retain(&mut self, wanted: &[String]) {
        self.names.retain(|name, _| wanted.contains(name));
    }

    /// Returns the number of names that failed last time.
    pub fn name_count(&self) -> usize {
        self.names.len()
    }

    /// Returns the number of orders in a row that the authority failed.
    pub fn authority_count(&self) -> usize {
        self.authority.count
    }

    /// Whether the last order for this name failed because of it.
    pub(super) fn is_troubled(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Returns the time from which the name can be ordered.
    pub fn ready_at(&self, name: &str) -> u64 {
        let own = self.names.get(name).map_or(0, |trouble| trouble.ready_at);
        own.max(self.authority.ready_at).max(self.gap_until)
    }

    pub(super) fn is_ready(&self, name: &str, now: u64) -> bool {
        self.ready_at(name) <= now
    }
}
