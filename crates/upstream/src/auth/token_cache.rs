//! Tokens by host, realm, service and scope, with one request in flight for each.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::HeaderValue;
use oci::Repository;
use parking_lot::Mutex;
use tokio::time::Instant;
use url::{Origin, Url};

use super::login::LoginId;
use crate::error::Error;

/// The most tokens kept. One is needed per repository in use.
const TOKEN_COUNT_MAX: usize = 1024;
/// A token is replaced this long before it expires, but never before half its lifetime.
const EXPIRY_MARGIN: Duration = Duration::from_secs(30);
/// The age from which a refusal of a token that never worked may be due to its age.
const AGE_MIN: Duration = Duration::from_secs(10);
/// The shortest interval between new tokens that are fetched because the registry finds the scope too small.
const ALLOWANCE_TTL: Duration = Duration::from_secs(60);

/// The key of a token. Tokens of different logins, or of none, are never mixed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    /// The only host that it is sent to.
    pub(super) host: Origin,
    pub(super) realm: Url,
    pub(super) service: Option<String>,
    pub(super) scope: String,
    /// The login that it is requested with; `None`: anonymously.
    pub(super) login: Option<LoginId>,
}

/// A token from its service.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// The value of `Authorization`, marked sensitive.
    pub(crate) header: HeaderValue,
    /// Its lifetime, counted from the request.
    pub(crate) lifetime: Duration,
    /// Whether the request carried the credentials.
    pub(crate) with_login: bool,
}

/// A cached token and its history.
#[derive(Debug)]
pub(super) struct CachedToken {
    pub(super) header: HeaderValue,
    pub(super) with_login: bool,
    lifetime: Duration,
    asked_at: Instant,
    /// The time at which its predecessor was dropped.
    replaced_at: Option<Instant>,
    has_worked: AtomicBool,
}

/// The tokens of one registry.
#[derive(Debug, Default)]
pub(super) struct TokenCache {
    slots: Mutex<HashMap<TokenKey, Arc<Slot>>>,
}

/// The lock is held while a token is fetched, so that other requests wait for it.
type Slot = tokio::sync::Mutex<Contents>;

#[derive(Debug, Default)]
struct Contents {
    fetched: Option<Fetched>,
    given_up_at: Option<Instant>,
}

#[derive(Debug)]
struct Fetched {
    done_at: Instant,
    result: Result<Arc<CachedToken>, Error>,
}

impl CachedToken {
    /// Notes that the registry accepted it.
    pub(super) fn note_success(&self) {
        self.has_worked.store(true, Ordering::Relaxed);
    }

    /// Tells whether a refusal may mean that the token expired or was revoked: it worked before, or is not
    /// new.
    pub(super) fn may_be_dead(&self) -> bool {
        self.has_worked.load(Ordering::Relaxed) || self.asked_at.elapsed() >= AGE_MIN
    }

    /// Tells whether a new token may have a larger scope. It rarely has, so this is tried only now and then.
    pub(super) fn may_allow_too_little(&self) -> bool {
        let is_due = |at: Instant| at.elapsed() >= ALLOWANCE_TTL;
        (self.has_worked.load(Ordering::Relaxed) || is_due(self.asked_at))
            && self.replaced_at.is_none_or(is_due)
    }

    fn is_alive(&self) -> bool {
        let margin = EXPIRY_MARGIN.min(self.lifetime / 2);
        self.asked_at.elapsed() + margin < self.lifetime
    }
}

impl TokenCache {
    /// Returns a token for `key`, and whether it was fetched after this call began. `fetch` is awaited only
    /// if there is none; requests that wait meanwhile share its result or error.
    ///
    /// # Errors
    /// Errors of `fetch`.
    pub(super) async fn get(
        &self,
        key: &TokenKey,
        fetch: impl Future<Output = Result<Token, Error>>,
    ) -> Result<(Arc<CachedToken>, bool), Error> {
        let began = Instant::now();
        let slot = self.slot(key);
        let mut contents = slot.lock().await;
        if let Some(fetched) = &contents.fetched
            && fetched.serves(began)
        {
            let is_fresh = fetched.done_at >= began;
            return fetched.result.clone().map(|held| (held, is_fresh));
        }
        let asked_at = Instant::now();
        let replaced_at = contents.given_up_at;
        let result = fetch.await.map(|Token { header, lifetime, with_login }| {
            let has_worked = AtomicBool::new(false);
            Arc::new(CachedToken { header, with_login, lifetime, asked_at, replaced_at, has_worked })
        });
        contents.fetched = Some(Fetched { done_at: Instant::now(), result: result.clone() });
        result.map(|held| (held, true))
    }

    /// Drops a token that a registry refused. The next request fetches another. A newer token stays.
    pub(super) async fn give_up(&self, key: &TokenKey, refused: &Arc<CachedToken>) {
        let slot = self.slot(key);
        let mut contents = slot.lock().await;
        let is_it = |fetched: &Fetched| fetched.result.as_ref().is_ok_and(|held| Arc::ptr_eq(held, refused));
        if contents.fetched.as_ref().is_some_and(is_it) {
            *contents = Contents { fetched: None, given_up_at: Some(Instant::now()) };
        }
    }

    /// Drops the tokens for `repository` that worked and were requested before `since`. Returns true if there
    /// was one.
    pub(super) async fn give_up_older(&self, repository: &Repository, since: Instant) -> bool {
        let mut is_any = false;
        for slot in self.slots_for(repository) {
            let mut contents = slot.lock().await;
            let is_old =
                |held: &Arc<CachedToken>| held.asked_at < since && held.has_worked.load(Ordering::Relaxed);
            if contents.fetched.as_ref().and_then(|fetched| fetched.result.as_ref().ok()).is_some_and(is_old)
            {
                contents.fetched = None;
                is_any = true;
            }
        }
        is_any
    }

    /// Drops the tokens for `repository` whose login may have ended meanwhile. A new one that has not worked
    /// yet stays: while the registry is down, not every request costs a token.
    pub(super) async fn give_up_old(&self, repository: &Repository) {
        for slot in self.slots_for(repository) {
            let mut contents = slot.lock().await;
            let held = contents.fetched.as_ref().and_then(|fetched| fetched.result.as_ref().ok());
            if held.is_some_and(|held| held.may_be_dead()) {
                contents.fetched = None;
            }
        }
    }

    fn slots_for(&self, repository: &Repository) -> Vec<Arc<Slot>> {
        let is_for_it = |key: &TokenKey| key.scope.split(' ').any(|scope| names(scope, repository));
        let slots = self.slots.lock();
        slots.iter().filter(|(key, _)| is_for_it(key)).map(|(_, slot)| slot.clone()).collect()
    }

    fn slot(&self, key: &TokenKey) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(key) {
            return slot.clone();
        }
        if slots.len() >= TOKEN_COUNT_MAX {
            make_room(&mut slots);
        }
        slots.entry(key.clone()).or_default().clone()
    }
}

/// Tells whether a scope such as `repository:library/alpine:pull` names this repository, with any prefix.
fn names(scope: &str, repository: &Repository) -> bool {
    let named = scope.split(':').nth(1).and_then(|name| name.strip_suffix(repository.as_str()));
    named.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('/'))
}

/// Drops expired tokens, and if there are none, all tokens that are not in use: they are cheap to fetch
/// again.
fn make_room(slots: &mut HashMap<TokenKey, Arc<Slot>>) {
    let now = Instant::now();
    let is_of_use =
        |contents: &Contents| contents.fetched.as_ref().is_some_and(|fetched| fetched.serves(now));
    slots.retain(|_, slot| slot.try_lock().map_or(true, |contents| is_of_use(&contents)));
    if slots.len() >= TOKEN_COUNT_MAX {
        slots.retain(|_, slot| Arc::strong_count(slot) > 1);
    }
}

impl Fetched {
    /// Tells whether this result is for a call that began at `began`. An error is only for calls that waited
    /// for it.
    fn serves(&self, began: Instant) -> bool {
        match &self.result {
            Ok(held) => held.is_alive(),
            Err(_) => self.done_at >= began,
        }
    }
}

#[cfg(test)]
mod tests;
