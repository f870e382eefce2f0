//! Decides which names get certificates of an authority (ACME, RFC 8555), when, and in which orders.
//!
//! Certificates go on until the names that they cover are covered by a later one. Names that lack a
//! certificate are ordered at once, so a new registry gets one of its own; the next renewal joins small
//! certificates. A name that the authority could not validate is ordered apart from the others, so that it
//! holds up none of them.
//!
//! All times are in seconds since 1970, by the wall clock: certificates are dated by it.

mod failures;
mod names;

pub use self::failures::{Failures, PAUSE_MAX};
pub use self::names::{NamesError, requested};

/// The most names in one certificate. Let's Encrypt accepts no more.
pub const NAME_COUNT_MAX: usize = 100;

/// The longest time after a certificate was obtained in which it is not renewed again, whatever the authority
/// suggests: an hour.
const RENEWAL_INTERVAL_SECONDS: u64 = 3600;

/// A certificate that was obtained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The names that it covers, with wildcards.
    pub names: Vec<String>,
    /// The first second of its validity.
    pub begins: u64,
    /// The last second of its validity.
    pub ends: u64,
    /// The time at which it was obtained.
    pub obtained_at: u64,
    /// The window in which the authority suggests to renew it (RFC 9773, section 4.2), if it does.
    pub window: Option<Window>,
    /// A number that differs between certificates: many do not renew at the same moment.
    pub draw: u64,
}

/// A span of time; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first second.
    pub start: u64,
    /// Its last second.
    pub end: u64,
}

/// The next step of the keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Order a certificate for these names.
    Order(Vec<String>),
    /// Decide again at this time; `None`: only when the names change.
    Wait(Option<u64>),
}

impl Held {
    /// Returns the time at which to renew it: a moment of the authority's window; without one, the moment at
    /// which a third of its life is left, up to a fiftieth of its life earlier.
    pub fn renew_at(&self) -> u64 {
        let life = self.ends.saturating_sub(self.begins);
        let at = match self.window {
            Some(window) => window.start + self.draw % (window.end.saturating_sub(window.start) + 1),
            None => self.begins + life / 3 * 2 - self.draw % (life / 50 + 1).min(life / 3 * 2 + 1),
        };
        // An authority whose window has always begun would get one order after the other.
        at.min(self.ends).max(self.obtained_at + (life / 3).min(RENEWAL_INTERVAL_SECONDS))
    }

    fn covers(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    fn is_current(&self, now: u64) -> bool {
        now <= self.ends
    }

    fn is_due(&self, now: u64) -> bool {
        self.renew_at() <= now
    }
}

/// Decides at `now` what to do so that every name of `wanted` has a certificate.
pub fn next(wanted: &[String], held: &[Held], failures: &Failures, now: u64) -> Step {
    let is_fresh =
        |name: &str| held.iter().any(|it| it.is_current(now) && !it.is_due(now) && it.covers(name));
    let stale: Vec<&String> = wanted.iter().filter(|name| !is_fresh(name)).collect();
    let ready = |name: &&&String| failures.is_ready(name, now);
    let mut names: Vec<&String> =
        stale.iter().filter(ready).filter(|name| !failures.is_troubled(name)).copied().collect();
    if names.is_empty() {
        names = stale.iter().filter(ready).copied().collect();
    } else if held.iter().any(|it| it.is_due(now) && names.iter().any(|name| it.covers(name))) {
        join(&mut names, wanted, held, failures, now);
    }
    names.truncate(NAME_COUNT_MAX);
    if !names.is_empty() {
        return Step::Order(names.into_iter().cloned().collect());
    }
    let pauses = stale.iter().map(|name| failures.ready_at(name));
    let is_wanted = |it: &&Held| wanted.iter().any(|name| it.covers(name));
    let renewals = held.iter().filter(is_wanted).map(Held::renew_at).filter(|at| now < *at);
    Step::Wait(pauses.chain(renewals).min())
}

/// Adds the names of further certificates to a renewal as long as they fit, the smallest certificate first.
fn join<'n>(names: &mut Vec<&'n String>, wanted: &'n [String], held: &[Held], failures: &Failures, now: u64) {
    let mut others: Vec<Vec<&'n String>> = held
        .iter()
        .filter(|it| it.is_current(now) && !it.is_due(now))
        .map(|it| wanted.iter().filter(|name| it.covers(name) && !names.contains(name)).collect())
        .collect();
    others.sort_by_key(Vec::len);
    for other in others {
        let further: Vec<&String> = other.into_iter().filter(|name| !names.contains(name)).collect();
        let is_healthy = further.iter().all(|name| !failures.is_troubled(name));
        if is_healthy && names.len() + further.len() <= NAME_COUNT_MAX {
            names.extend(further);
        }
    }
}

/// Whether the certificate at `index` can go: each wanted name of it is covered by one that ends later, or it
/// has none and has expired.
pub fn is_obsolete(index: usize, wanted: &[String], held: &[Held], now: u64) -> bool {
    let own = &held[index];
    let rank = |index: usize| (held[index].ends, held[index].obtained_at, index);
    let is_succeeded =
        |name: &String| (0..held.len()).any(|other| rank(other) > rank(index) && held[other].covers(name));
    let mut names = wanted.iter().filter(|name| own.covers(name)).peekable();
    match names.peek() {
        Some(_) => names.all(is_succeeded),
        None => !own.is_current(now) || own.names.iter().all(is_succeeded),
    }
}

/// The certificates that go so that at most `count_max` stay: of those without a wanted name, the ones that
/// end first.
pub fn surplus(wanted: &[String], held: &[Held], count_max: usize) -> Vec<usize> {
    let is_wanted = |it: &Held| wanted.iter().any(|name| it.covers(name));
    let mut unwanted: Vec<usize> = (0..held.len()).filter(|index| !is_wanted(&held[*index])).collect();
    unwanted.sort_by_key(|index| held[*index].ends);
    unwanted.truncate(held.len().saturating_sub(count_max));
    unwanted
}

/// The certificate that an order for `names` replaces: the due one that shares a name with it and ends first.
pub fn replaced(names: &[String], held: &[Held], now: u64) -> Option<usize> {
    let shares = |it: &Held| names.iter().any(|name| it.covers(name));
    let due = (0..held.len()).filter(|index| held[*index].is_due(now) && shares(&held[*index]));
    due.min_by_key(|index| held[*index].ends)
}

/// The certificates that orders for `names` make at first: up to [`NAME_COUNT_MAX`] names in each.
pub fn split(names: &[String]) -> impl Iterator<Item = &[String]> {
    names.chunks(NAME_COUNT_MAX)
}

#[cfg(test)]
mod tests;
