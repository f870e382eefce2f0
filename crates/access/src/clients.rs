//! Clients whose own login decides at the upstream what they may read: which of them are known, by a keyed
//! hash of the login.
//!
//! A login that the upstream has accepted is in one table, and all others are in a second, smaller one. So a
//! flood of wrong logins displaces no right one. New logins of one address are paced.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use parking_lot::Mutex;
use policy::access::Attempts;
use policy::capacity::LoginShare;
use policy::lru::LruMap;
use secret::Secret;
use tokio::time::Instant;

use crate::authorization::Presented;
use crate::verifier::network_of;

/// The most addresses whose new logins are counted.
const ADDRESS_COUNT_MAX: usize = 4096;

/// A client's login, to be sent on.
#[derive(Debug)]
pub enum ClientCredential {
    /// A user's name and password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret<String>,
    },
    /// A bearer token.
    Token(Secret<String>),
}

/// The reason for which a login is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It cannot be read, or cannot be sent on.
    Unreadable,
    /// Too many new logins came from the client's address; the time to wait.
    Paced(Duration),
}

/// The keyed hash of a login.
pub type ClientHash = [u8; 32];

/// The clients of one registry, each with a value.
pub struct Clients<V> {
    key: hmac::Key,
    tables: Mutex<Tables<V>>,
    attempts: Mutex<LruMap<IpAddr, Attempts>>,
}

struct Tables<V> {
    proved: LruMap<ClientHash, V>,
    unproved: LruMap<ClientHash, (IpAddr, V)>,
}

impl<V> fmt::Debug for Clients<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl<V: Clone> Clients<V> {
    /// No clients, and a new key. A login beyond `share` replaces the one that was used least recently, which
    /// then asks the upstream again.
    pub fn new(share: LoginShare) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let tables = Tables { proved: LruMap::new(share.proved), unproved: LruMap::new(share.unproved) };
        Self {
            key: key.expect("the system has random numbers"),
            tables: Mutex::new(tables),
            attempts: Mutex::new(LruMap::new(ADDRESS_COUNT_MAX)),
        }
    }

    /// Changes the bounds. The least recently used logins beyond them are forgotten.
    pub fn resize(&self, share: LoginShare) {
        let mut tables = self.tables.lock();
        tables.proved.resize(share.proved);
        tables.unproved.resize(share.unproved);
    }

    /// The value of the client that sends this header, which `make` creates for a new login; `None`: the
    /// header has no login.
    ///
    /// # Errors
    /// [`NotTaken`]. `make` returns `None` for a login that cannot be sent on.
    pub fn find(
        &self,
        header: &[u8],
        address: IpAddr,
        make: impl FnOnce(ClientCredential, ClientHash) -> Option<V>,
    ) -> Result<Option<V>, NotTaken> {
        let credential = match Presented::read(header) {
            Presented::Nothing => return Ok(None),
            Presented::Unreadable => return Err(NotTaken::Unreadable),
            Presented::Basic(login) => ClientCredential::Password {
                user: text(login.user())?,
                password: Secret::new(text(login.password())?),
            },
            Presented::Bearer(token) => ClientCredential::Token(Secret::new(text(token.expose())?)),
        };
        let hash = self.hash(&credential);
        let mut tables = self.tables.lock();
        if let Some(value) = tables.proved.get_mut(&hash) {
            return Ok(Some(value.clone()));
        }
        if let Some((_, value)) = tables.unproved.get_mut(&hash) {
            return Ok(Some(value.clone()));
        }
        let address = network_of(address);
        let mut attempts = self.attempts.lock();
        let own = attempts.get_or_insert_with(&address, Attempts::default);
        own.begin(Instant::now().into_std()).map_err(NotTaken::Paced)?;
        let value = make(credential, hash).ok_or(NotTaken::Unreadable)?;
        Ok(Some(tables.unproved.get_or_insert_with(&hash, || (address, value)).1.clone()))
    }

    /// Notes that the upstream has accepted the login. It is no failed attempt then.
    pub fn prove(&self, hash: &ClientHash) {
        let mut tables = self.tables.lock();
        if let Some((address, value)) = tables.unproved.remove(hash) {
            tables.proved.get_or_insert_with(hash, || value);
            self.attempts.lock().get_mut(&address).into_iter().for_each(Attempts::forgive);
        }
    }

    fn hash(&self, credential: &ClientCredential) -> ClientHash {
        let mut context = hmac::Context::with_key(&self.key);
        let parts: [&[u8]; 3] = match credential {
            // A name has no colon.
            ClientCredential::Password { user, password } => {
                [b"basic ", user.as_bytes(), password.expose().as_bytes()]
            }
            ClientCredential::Token(token) => [b"bearer ", b"", token.expose().as_bytes()],
        };
        for part in parts {
            context.update(part);
            context.update(b":");
        }
        context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

fn text(bytes: &[u8]) -> Result<String, NotTaken> {
    str::from_utf8(bytes).map(str::to_owned).map_err(|_| NotTaken::Unreadable)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use policy::access::BURST_COUNT;

    use super::*;

    const SHARE: LoginShare = LoginShare { proved: 256, unproved: 64 };

    fn basic(user: &str, password: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).into_bytes()
    }

    fn from(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Finds the client, whose value is the hash of its login.
    fn find(
        clients: &Clients<ClientHash>,
        header: &[u8],
        address: IpAddr,
    ) -> Result<Option<ClientHash>, NotTaken> {
        clients.find(header, address, |_, hash| Some(hash))
    }

    #[tokio::test(start_paused = true)]
    async fn s36_each_login_is_a_client_of_its_own_whatever_its_form() {
        let clients = Clients::new(SHARE);
        let of = |header: &[u8]| find(&clients, header, from(1)).unwrap();
        let alice = of(&basic("alice", "right"));
        assert!(alice.is_some());
        assert_eq!(of(b"basic  YWxpY2U6cmlnaHQ="), alice);
        for other in [basic("alice", "wrong"), basic("alicer", "ight"), basic("bob", "right")] {
            assert_ne!(of(&other), alice);
        }
        assert_ne!(of(b"Bearer right"), of(&basic("", "right")));
        assert_eq!([of(b""), of(b"Basic Og==")], [None, None], "no login");
        assert_eq!(find(&clients, b"Digest x", from(1)), Err(NotTaken::Unreadable));
        assert_eq!(find(&clients, &[&b"Bearer "[..], &[0xff]].concat(), from(1)), Err(NotTaken::Unreadable));
        assert_ne!(
            find(&Clients::new(SHARE), &basic("alice", "right"), from(1)).unwrap(),
            alice,
            "another key"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn s27_a_flood_of_wrong_logins_displaces_no_right_one_and_is_paced_for_its_address_alone() {
        let clients = Clients::new(SHARE);
        let right = find(&clients, &basic("alice", "right"), from(1)).unwrap().unwrap();
        clients.prove(&right);
        let (mut taken, mut paced) = (0, 0);
        for number in 0..4 * SHARE.unproved {
            match find(&clients, &basic("alice", &number.to_string()), from(66)) {
                Ok(_) => taken += 1,
                Err(NotTaken::Paced(_)) => paced += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!((taken, paced), (BURST_COUNT as usize, 4 * SHARE.unproved - BURST_COUNT as usize));
        for address in 67..=255 {
            find(&clients, &basic("alice", &format!("from {address}")), from(address)).unwrap();
        }
        let made_again = |header: &[u8], address| clients.find(header, address, |_, _| None);
        assert_eq!(made_again(&basic("alice", "right"), from(66)).unwrap(), Some(right), "still known");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(find(&clients, &basic("alice", "later"), from(66)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn s27_right_logins_of_one_address_are_not_paced_and_their_number_is_bounded() {
        let clients = Clients::new(SHARE);
        for number in 0..=SHARE.proved {
            let hash = find(&clients, &basic("ci", &number.to_string()), from(1)).unwrap().unwrap();
            clients.prove(&hash);
        }
        let is_known = |number: usize| {
            let mut is_made = false;
            let header = basic("ci", &number.to_string());
            clients
                .find(&header, from(1), |_, hash| {
                    is_made = true;
                    Some(hash)
                })
                .unwrap();
            !is_made
        };
        assert!(is_known(SHARE.proved) && !is_known(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_smaller_share_forgets_the_logins_that_were_used_least_recently() {
        let clients = Clients::new(SHARE);
        let header = |number: usize| basic("ci", &number.to_string());
        for number in 0..20 {
            let hash = find(&clients, &header(number), from(1)).unwrap().unwrap();
            if number < 15 {
                clients.prove(&hash);
            }
        }
        find(&clients, &header(0), from(1)).unwrap();
        clients.resize(LoginShare { proved: 3, unproved: 2 });
        let mut known = Vec::new();
        for number in 0..20 {
            let mut is_made = false;
            let make = |_, _| {
                is_made = true;
                None
            };
            let _ = clients.find(&header(number), from(2), make);
            if !is_made {
                known.push(number);
            }
        }
        assert_eq!(known, [0, 13, 14, 18, 19]);
    }

    #[test]
    fn s28_debug_output_of_a_clients_login_shows_no_secret() {
        let clients = Clients::new(SHARE);
        let mut shown = String::new();
        for header in [basic("alice", "canary"), b"Bearer canary".to_vec()] {
            let make = |credential, hash| {
                shown.push_str(&format!("{credential:?}"));
                Some(hash)
            };
            clients.find(&header, from(1), make).unwrap();
        }
        assert!(!format!("{shown}{clients:?}").contains("canary"), "{shown}");
    }
}
