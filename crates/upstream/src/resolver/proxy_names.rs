//! Checks names that a proxy would resolve, by resolving them here first where that works.
//!
//! The proxy may resolve a name differently. But a name with an internal address everywhere is caught.

use std::time::Duration;

use parking_lot::Mutex;
use policy::address;
use policy::lru::LruMap;
use tokio::time::Instant;

use super::{AddressRefused, SystemResolver};

/// The most names whose result is remembered.
const NAME_COUNT_MAX: usize = 256;
/// The time for which a result is remembered.
const ANSWER_TTL: Duration = Duration::from_secs(60);
/// The longest wait for a result. Behind a proxy there may be no name server for public names; after a
/// timeout no query is sent for [`ANSWER_TTL`].
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// Resolves names before a proxy does.
#[derive(Debug)]
pub(crate) struct ProxyNames {
    system: SystemResolver,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// The time and the result of each look-up.
    names: LruMap<String, (Instant, Result<(), AddressRefused>)>,
    silent_since: Option<Instant>,
}

impl ProxyNames {
    pub(crate) fn new(system: SystemResolver) -> Self {
        let seen = Seen { names: LruMap::new(NAME_COUNT_MAX), silent_since: None };
        Self { system, seen: Mutex::new(seen) }
    }

    /// Takes a name for public, without a name server.
    #[cfg(test)]
    pub(crate) fn pretend_public(&self, name: &str) {
        let answer = (Instant::now(), Ok(()));
        *self.seen.lock().names.get_or_insert_with(&name.to_owned(), || answer.clone()) = answer.clone();
    }

    /// Checks that `name` has no internal address. A name that cannot be resolved here passes.
    ///
    /// # Errors
    /// [`AddressRefused`] if one of its addresses is internal: the proxy may use any.
    pub(crate) async fn check(&self, name: &str) -> Result<(), AddressRefused> {
        let is_due = |at: Instant| at.elapsed() >= ANSWER_TTL;
        {
            let mut seen = self.seen.lock();
            let is_silent = seen.silent_since.is_some_and(|at| !is_due(at));
            match seen.names.get_mut(name) {
                Some((at, answer)) if !is_due(*at) => return answer.clone(),
                _ if is_silent => return Ok(()),
                _ => {}
            }
        }
        let looked_up = tokio::time::timeout(ANSWER_WAIT_MAX, self.system.addresses(name)).await;
        let mut seen = self.seen.lock();
        let Ok(found) = looked_up else {
            seen.silent_since = Some(Instant::now());
            return Ok(());
        };
        let addresses = found.unwrap_or_default();
        let inside = addresses.iter().find_map(|address| address::check(*address).err());
        let answer = match inside {
            Some(inside) => Err(AddressRefused { name: name.to_owned(), inside }),
            None => Ok(()),
        };
        seen.silent_since = None;
        *seen.names.get_or_insert_with(&name.to_owned(), || (Instant::now(), Ok(()))) =
            (Instant::now(), answer.clone());
        answer
    }
}

#[cfg(test)]
mod tests;
