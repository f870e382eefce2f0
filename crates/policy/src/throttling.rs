//! Decides for which time, and for which kinds, a registry that answered 429 gets no requests.
//!
//! A 429 counts for its repository at first: one host may front several registries, each with limits of its
//! own. If a second repository gets one too, the pause covers the registry.

use std::time::{Duration, Instant};

use crate::lru::LruMap;

/// The shortest pause after a 429, whatever `Retry-After` says.
pub const THROTTLE_PAUSE_MIN: Duration = Duration::from_secs(1);
/// The most repositories whose pauses are remembered.
const REPOSITORY_COUNT_MAX: usize = 256;
/// The same for the login of one client.
const REPOSITORY_OF_CLIENT_COUNT_MAX: usize = 16;

/// The requests that a rate limit covers. Docker Hub limits manifests only, and a pull in progress must be
/// able to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitedKind {
    /// Manifests.
    Manifests,
    /// Lists of tags and of referrers.
    Lists,
    /// Everything; a limit on blobs counts as this.
    Everything,
}

/// The pauses of one host, for everyone or for one login. The caller owns the clock and keeps this behind
/// its lock.
#[derive(Clone, Debug)]
pub struct Throttling {
    repositories: LruMap<(String, LimitedKind), Instant>,
    registry: [Option<Instant>; 3],
    /// The repository that was last told of each limit.
    told_by: [Option<(String, Instant)>; 3],
}

impl Default for Throttling {
    fn default() -> Self {
        Self::remembering(REPOSITORY_COUNT_MAX)
    }
}

impl Throttling {
    /// Starts without a pause, for the login of one client.
    pub fn of_client() -> Self {
        Self::remembering(REPOSITORY_OF_CLIENT_COUNT_MAX)
    }

    fn remembering(count_max: usize) -> Self {
        let repositories = LruMap::new(count_max);
        Self { repositories, registry: [None; 3], told_by: [const { None }; 3] }
    }

    /// Notes that a request for `repository` was told to wait for `pause`. Returns true if that extends the
    /// present pause.
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

    /// Returns how long `repository` still gets no requests of this kind.
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
