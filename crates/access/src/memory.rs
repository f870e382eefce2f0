//! Remembers which logins were right and which were wrong, by a keyed hash of each: neither a password nor a
//! hash that could be tried elsewhere stays in memory.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_lc_rs::rand;
use parking_lot::RwLock;
use policy::access::Login;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// The result of a check holds for this time. A changed file ends it at once.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// The most logins that are remembered, of each pair of files.
const COUNT_MAX: usize = 4096;

/// A key is as long as a block of SHA-256, so no request hashes it again.
const KEY_BYTES: usize = 64;

/// The keyed hash of a login.
pub(crate) type LoginHash = [u8; 32];

/// The results of checks, by the keyed hash of the login.
pub(crate) struct Memory {
    /// A hash that has read a secret key, which fills one block. No hash of a login leaves the process, so
    /// that is key enough; HMAC would hash twice for each request.
    keyed: Sha256,
    results: RwLock<HashMap<LoginHash, Remembered>>,
}

#[derive(Clone)]
struct Remembered {
    /// `None`: the login was wrong.
    login: Option<Login>,
    until: Instant,
}

/// The result of an earlier check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recalled {
    /// The login is right.
    Proved(Login),
    /// The login is wrong.
    Wrong,
    /// The login was right, and must be checked again.
    ProvedEarlier,
    /// There is none.
    Unknown,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("count", &self.results.read().len()).finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty memory with a new key.
    pub(crate) fn new() -> Self {
        let mut key = [0; KEY_BYTES];
        rand::fill(&mut key).expect("the system has random numbers");
        Self { keyed: Sha256::new_with_prefix(key), results: RwLock::default() }
    }

    /// A memory of the logins that were right before and are `still` so.
    pub(crate) fn retained(&self, still: impl Fn(&Login) -> bool) -> Self {
        let is_kept = |known: &Remembered| known.login.as_ref().is_some_and(&still);
        let results = self.results.read();
        let kept = results.iter().filter(|(_, known)| is_kept(known));
        let kept = kept.map(|(hash, known)| (*hash, known.clone())).collect();
        Self { keyed: self.keyed.clone(), results: RwLock::new(kept) }
    }

    /// The keyed hash of a login.
    pub(crate) fn hash(&self, login: &[u8]) -> LoginHash {
        self.keyed.clone().chain_update(login).finalize().into()
    }

    /// The result of an earlier check.
    pub(crate) fn recall(&self, hash: &LoginHash) -> Recalled {
        let results = self.results.read();
        let Some(known) = results.get(hash) else { return Recalled::Unknown };
        match (&known.login, known.until > Instant::now()) {
            (Some(login), true) => Recalled::Proved(login.clone()),
            (Some(_), false) => Recalled::ProvedEarlier,
            (None, true) => Recalled::Wrong,
            (None, false) => Recalled::Unknown,
        }
    }

    /// Remembers the result of a check.
    pub(crate) fn remember(&self, hash: LoginHash, login: Option<Login>) {
        let (now, mut results) = (Instant::now(), self.results.write());
        if results.len() >= COUNT_MAX && !results.contains_key(&hash) {
            // A wrong login makes room first: only those that were right save work for clients.
            let order = |known: &Remembered| (known.login.is_some(), known.until);
            let first = results.iter().min_by_key(|(_, known)| order(known)).map(|(hash, _)| *hash);
            first.and_then(|first| results.remove(&first));
        }
        results.insert(hash, Remembered { login, until: now + REMEMBERED_FOR });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Login {
        Login::User("alice".into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_is_remembered_for_a_minute() {
        let memory = Memory::new();
        let (right, wrong) = (memory.hash(b"alice:right"), memory.hash(b"alice:wrong"));
        memory.remember(right, Some(alice()));
        memory.remember(wrong, None);
        assert_eq!(memory.recall(&right), Recalled::Proved(alice()));
        assert_eq!(memory.recall(&wrong), Recalled::Wrong);
        assert_eq!(memory.recall(&memory.hash(b"alice:other")), Recalled::Unknown);
        tokio::time::advance(REMEMBERED_FOR).await;
        assert_eq!(memory.recall(&right), Recalled::ProvedEarlier);
        assert_eq!(memory.recall(&wrong), Recalled::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_wrong_logins_does_not_displace_a_right_one() {
        let memory = Memory::new();
        let right = memory.hash(b"alice:right");
        memory.remember(right, Some(alice()));
        for number in 0..COUNT_MAX + 10 {
            memory.remember(memory.hash(number.to_string().as_bytes()), None);
        }
        assert_eq!(memory.recall(&right), Recalled::Proved(alice()));
        assert_eq!(memory.results.read().len(), COUNT_MAX);
    }

    #[test]
    fn the_hash_of_a_login_depends_on_a_key_that_no_other_memory_has() {
        assert_ne!(Memory::new().hash(b"alice:right"), Memory::new().hash(b"alice:right"));
    }
}
