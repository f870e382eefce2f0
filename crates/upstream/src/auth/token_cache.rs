//! Tokens by what they were given for, with one request in flight for each.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::HeaderValue;
use tokio::time::Instant;
use url::Url;

use crate::error::Error;

/// The most tokens kept. One is needed per repository in use.
const TOKEN_COUNT_MAX: usize = 1024;
/// A token is given up this long before it expires, but never before half its life is over.
const EXPIRY_MARGIN: Duration = Duration::from_secs(30);

/// What a token was given for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    pub(super) realm: Url,
    pub(super) service: Option<String>,
    pub(super) scope: String,
}

/// A token as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// The value of `Authorization`, marked sensitive.
    pub(crate) header: HeaderValue,
    /// How long it is good for, from when it was asked for.
    pub(crate) lifetime: Duration,
}

/// The tokens of one registry.
#[derive(Debug, Default)]
pub(super) struct TokenCache {
    slots: Mutex<HashMap<TokenKey, Arc<Slot>>>,
}

/// The lock is held while a token is fetched, so that others wait for it instead of asking too.
type Slot = tokio::sync::Mutex<Option<Fetched>>;

#[derive(Debug)]
struct Fetched {
    asked_at: Instant,
    done_at: Instant,
    result: Result<Token, Error>,
}

impl TokenCache {
    /// A token for `key` that is not `refused`, and whether it was fetched after this call began. `fetch` is
    /// awaited only when there is none; whoever waits for it meanwhile shares its result, good or bad.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(super) async fn get(
        &self,
        key: &TokenKey,
        refused: Option<&HeaderValue>,
        fetch: impl Future<Output = Result<Token, Error>>,
    ) -> Result<(HeaderValue, bool), Error> {
        let began = Instant::now();
        let slot = self.slot(key);
        let mut held = slot.lock().await;
        if let Some(fetched) = &*held
            && fetched.serves(began, refused)
        {
            let is_fresh = fetched.done_at >= began;
            return fetched.result.clone().map(|token| (token.header, is_fresh));
        }
        let asked_at = Instant::now();
        let result = fetch.await;
        *held = Some(Fetched { asked_at, done_at: Instant::now(), result: result.clone() });
        result.map(|token| (token.header, true))
    }

    fn slot(&self, key: &TokenKey) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(key) {
            return slot.clone();
        }
        if slots.len() >= TOKEN_COUNT_MAX {
            make_room(&mut slots);
        }
        slots.entry(key.clone()).or_default().clone()
    }
}

/// Drops what has expired, and if that is nothing, everything that nobody is using: tokens are cheap to get
/// again.
fn make_room(slots: &mut HashMap<TokenKey, Arc<Slot>>) {
    let now = Instant::now();
    slots.retain(|_, slot| {
        slot.try_lock().map_or(true, |held| held.as_ref().is_some_and(|fetched| fetched.serves(now, None)))
    });
    if slots.len() >= TOKEN_COUNT_MAX {
        slots.retain(|_, slot| Arc::strong_count(slot) > 1);
    }
}

impl Fetched {
    /// Whether this answers a caller who came at `began`. A failure does only for those who waited for it.
    fn serves(&self, began: Instant, refused: Option<&HeaderValue>) -> bool {
        match &self.result {
            Ok(token) => {
                let margin = EXPIRY_MARGIN.min(token.lifetime / 2);
                let is_alive = self.asked_at.elapsed() + margin < token.lifetime;
                is_alive && refused != Some(&token.header)
            }
            Err(_) => self.done_at >= began,
        }
    }
}

#[cfg(test)]
mod tests;
