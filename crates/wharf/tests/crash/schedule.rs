//! The schedule of events, decided by one number.

use std::cell::Cell;
use std::env;
use std::time::{Duration, Instant};

use fastrand::Rng;

/// A number of cycles, each with its own random numbers.
pub(crate) struct Schedule {
    name: &'static str,
    seed: u64,
    count: u64,
    /// No cycle begins after this time.
    time: Duration,
    begun_count: Cell<u64>,
    started: Instant,
}

/// One cycle. If a panic drops it, it prints how to run it again.
pub(crate) struct Cycle<'a> {
    schedule: &'a Schedule,
    pub(crate) number: u64,
    pub(crate) rng: Rng,
}

impl Schedule {
    /// `count` cycles, unless the environment's `variable` names another number.
    pub(crate) fn new(name: &'static str, variable: &str, count: u64) -> Self {
        let seed = number_in("WHARF_SEED").unwrap_or_else(|| fastrand::u64(..));
        let count = number_in(variable).unwrap_or(count);
        println!("{name}: {count} cycles with WHARF_SEED={seed}");
        let (time, begun_count) = (Duration::MAX, Cell::new(0));
        Self { name, seed, count, time, begun_count, started: Instant::now() }
    }

    /// `count` cycles, or as many as fit into the minutes in the environment's `variable`.
    pub(crate) fn lasting(name: &'static str, variable: &str, count: u64) -> Self {
        let Some(minutes) = number_in(variable) else { return Self::new(name, variable, count) };
        let seed = number_in("WHARF_SEED").unwrap_or_else(|| fastrand::u64(..));
        println!("{name}: {minutes} minutes with WHARF_SEED={seed}");
        let (time, begun_count) = (Duration::from_secs(minutes * 60), Cell::new(0));
        Self { name, seed, count: u64::MAX, time, begun_count, started: Instant::now() }
    }

    pub(crate) fn cycles(&self) -> impl Iterator<Item = Cycle<'_>> {
        let in_time = |_: &u64| self.started.elapsed() < self.time;
        (0..self.count).take_while(in_time).map(|number| {
            self.begun_count.set(number + 1);
            if number > 0 && number.is_multiple_of(500) {
                eprintln!("{}: {number} cycles in {:?}", self.name, self.started.elapsed());
            }
            // An odd factor, so that no two cycles of a run are alike, nor those of neighbouring seeds.
            let rng = Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            Cycle { schedule: self, number, rng }
        })
    }

    /// Random numbers outside the cycles.
    pub(crate) fn rng(&self) -> Rng {
        Rng::with_seed(self.seed)
    }

    /// Prints the result.
    pub(crate) fn finish(&self, what: &str) {
        let (elapsed, count) = (self.started.elapsed(), self.begun_count.get());
        let each = elapsed / u32::try_from(count.max(1)).expect("a number of cycles that ends");
        println!("{}: {count} cycles in {elapsed:?}, {each:?} each; {what}", self.name);
    }
}

impl Cycle<'_> {
    /// Some time below `max`.
    pub(crate) fn instant(&mut self, max: Duration) -> Duration {
        max.mul_f64(self.rng.f64())
    }

    /// Random numbers for another part.
    pub(crate) fn fork(&mut self) -> Rng {
        self.rng.fork()
    }
}

impl Drop for Cycle<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Schedule { name, seed, .. } = self.schedule;
            eprintln!("{name}: failed in cycle {}; run again with WHARF_SEED={seed}", self.number);
        }
    }
}

fn number_in(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}
