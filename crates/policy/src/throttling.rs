//! For how long a registry that said "too many requests" is left alone, and with what.
//!
//! A limit that one repository told is that repository's at first: behind one registry's name there may be several,
//! each with limits of its own. Told by a second repository as well, it is the registry's.

use std::time::{Duration, Instant};

use crate::lru::LruMap;

/// The shortest rest after a request for one, whatever it said.
pub const THROTTLE_PAUSE_MIN: Duration = Duration::from_secs(1);
/// Repositories whose rests are remembered.
const REPOSITORY_COUNT_MAX: usize = 256;

/// What a limit is on. Docker Hub limits manifests only, and a pull under way must be able to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitedKind {
    /// Manifests.
    Manifests,
    /// Lists of tags and of referrers.
    Lists,
    /// Everything, as where blobs are limited.
    Everything,
}

/// The rests of one host. The caller owns the clock and keeps this behind its lock.
#[derive(Clone, Debug)]
pub struct Throttling {
    repositories: LruMap<(String, LimitedKind), Instant>,
    registry: [Option<Instant>; 3],
    /// Who told each limit last.
    told_by: [Option<(String, Instant)>; 3],
}

impl Default for Throttling {
    fn default() -> Self {
        Self {
            repositories: LruMap::new(REPOSITORY_COUNT_MAX),
            registry: [None; 3],
            told_by: [const { None }; 3],
        }
    }
}

impl Throttling {
    /// A request for `repository` was told to come again after `pause`. Returns whether this is news; a shorter
    /// rest than the one under way is none.
    pub fn begin(&mut self, repository: &str, limit: LimitedKind, pause: Duration, now: Instant) -> bool {
        let until = now + pause.max(THROTTLE_PAUSE_MIN);
        let index = limit as usize;
        let told_by = self.told_by[index].replace((repository.to_owned(), until));
        let is_the_registrys =
            told_by.is_some_and(|(other, its_until)| other != repository && its_until > now);
        let slot = if is_the_registrys {
            self.registry[index].get_or_insert(now)
        } else {
            self.repositories.get_or_insert_with(&(repository.to_owned(), limit), || now)
        };
        let is_news = *slot < until;
        *slot = until.max(*slot);
        is_news
    }

    /// Returns the time for which `repository` still gets no requests under this limit.
    pub fn left(&mut self, repository: &str, limit: LimitedKind, now: Instant) -> Option<Duration> {
        let of_all = [limit, LimitedKind::Everything].map(|limit| self.registry[limit as usize]);
        let own = [limit, LimitedKind::Everything]
            .map(|limit| self.repositories.get_mut(&(repository.to_owned(), limit)).copied());
        let until = of_all.into_iter().chain(own).flatten().max()?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests;
