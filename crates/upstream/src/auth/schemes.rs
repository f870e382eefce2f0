//! Remembers the authentication scheme that the registry's host, and the hosts that it redirects to, last
//! demanded.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use url::{Origin, Url};

use super::hop::Hop;
use super::scope::{Scope, Scopes};

/// The most hosts to remember, including the registry's own.
const HOST_COUNT_MAX: usize = 16;

/// The authentication scheme of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// RFC 7617.
    Basic,
    /// A token of a service.
    Bearer {
        /// The service.
        realm: Realm,
        /// The `service` parameter of the token request.
        service: Option<String>,
    },
}

/// A token service, and whether it may see the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Realm {
    pub(super) url: Url,
    pub(super) is_trusted: bool,
}

/// The remembered schemes by origin.
#[derive(Debug, Default)]
pub(super) struct Schemes(Mutex<HashMap<Origin, Known>>);

#[derive(Debug)]
struct Known {
    scheme: Scheme,
    scopes: Scopes,
    is_home: bool,
    used_at: Instant,
}

impl Schemes {
    /// Returns the scheme that `host` will demand, with the scope of the token.
    pub(super) fn of(&self, host: &Hop) -> Option<(Scheme, String)> {
        let mut known = self.lock();
        let known = known.get_mut(&host.url.origin())?;
        known.used_at = Instant::now();
        Some((known.scheme.clone(), known.scopes.of(host.need, &host.repository)))
    }

    /// Remembers the scheme that `host` demanded. Returns true if it differs from the last one.
    pub(super) fn learn(&self, host: &Hop, scheme: &Scheme, scope: Option<&Scope>) -> bool {
        let mut all = self.lock();
        let origin = host.url.origin();
        if all.len() >= HOST_COUNT_MAX && !all.contains_key(&origin) {
            let others = all.iter().filter(|(_, known)| !known.is_home);
            let oldest = others.min_by_key(|(_, known)| known.used_at).map(|(origin, _)| origin.clone());
            oldest.map(|origin| all.remove(&origin));
        }
        let known = all.entry(origin).or_insert_with(|| Known {
            scheme: Scheme::Basic,
            scopes: Scopes::default(),
            is_home: host.is_home(),
            used_at: Instant::now(),
        });
        let is_news = known.scheme != *scheme;
        known.scheme = scheme.clone();
        known.used_at = Instant::now();
        if let Some(scope) = scope {
            known.scopes.learn(host.need, &host.repository, scope);
        }
        is_news
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Known>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests;
