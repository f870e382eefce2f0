//! Names that a proxy would resolve, looked up here first where that works.
//!
//! What is found out here need not be what the proxy finds out. But a name that leads inside by everybody's
//! reckoning is seen through.

use std::time::Duration;

use parking_lot::Mutex;
use policy::address;
use policy::lru::LruMap;
use tokio::time::Instant;

use super::{AddressRefused, SystemResolver};

/// Names of which the answer is remembered.
const NAME_COUNT_MAX: usize = 256;
/// For how long it is.
const ANSWER_TTL: Duration = Duration::from_secs(60);
/// The longest wait for an answer. Behind a proxy there may be no name server for the outside, and questions
/// to it go unanswered; then none is asked for [`ANSWER_TTL`].
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// Looks names up before a proxy does.
#[derive(Debug)]
pub(crate) struct ProxyNames {
    system: SystemResolver,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// When each name was looked up, and whether it may be asked for.
    names: LruMap<String, (Instant, Result<(), AddressRefused>)>,
    silent_since: Option<Instant>,
}

impl ProxyNames {
    pub(crate) fn new(system: SystemResolver) -> Self {
        let seen = Seen { names: LruMap::new(NAME_COUNT_MAX), silent_since: None };
        Self { system, seen: Mutex::new(seen) }
    }

    /// Whether `name` leads outside. One that cannot be looked up here passes.
    ///
    /// # Errors
    /// [`AddressRefused`] when one of its addresses lies inside: the proxy may take any.
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
