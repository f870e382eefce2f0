//! Remembers the registry's own refusals for a short time, so that the same request is not sent again at
//! once.

use std::hash::Hash;
use std::time::Duration;

use crate::error::PullError;
use crate::recent::Recent;

/// Refusals that one table remembers.
const REFUSAL_COUNT_MAX: usize = 4096;

/// The same for one client that pulls with its own login.
const REFUSAL_COUNT_OF_CLIENT_MAX: usize = 128;

/// Definite refusals by target.
#[derive(Debug)]
pub(crate) struct Refusals<K>(Recent<K, PullError>);

impl<K: Hash + Eq + Clone> Refusals<K> {
    /// A table that remembers each refusal for `ttl`.
    pub(crate) fn new(ttl: Duration) -> Self {
        Self(Recent::new(ttl, REFUSAL_COUNT_MAX))
    }

    /// The same for one client.
    pub(crate) fn of_client(ttl: Duration) -> Self {
        Self(Recent::new(ttl, REFUSAL_COUNT_OF_CLIENT_MAX))
    }

    /// # Errors
    /// The refusal, if the registry has just refused this.
    pub(crate) fn check(&self, key: &K) -> Result<(), PullError> {
        self.0.get(key).map_or(Ok(()), Err)
    }

    /// Remembers an answer if it is the registry's own refusal. Any other failure says nothing about the next
    /// request.
    pub(crate) fn remember<T>(&self, key: K, answer: &Result<T, PullError>) {
        if let Err(error) = answer
            && error.is_definite_no()
        {
            self.0.insert(key, error.clone());
        }
    }
}
