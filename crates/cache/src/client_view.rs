//! The backend of one client that pulls with its own login: the upstream decides what this login may read.
//!
//! It shares the store, the fills and the bounds with the registry's backend, and nothing else: its grants,
//! refusals and tokens are its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use access::{ClientCredential, ClientHash, NotTaken};
use upstream::ClientLogin;

use crate::asker::Asker;
use crate::backend::{Backend, OwnLogin};
use crate::error::PullError;
use crate::grants::Grants;
use crate::listings::Listings;
use crate::visibility::Visibility;

/// Whose rights decide what a client of a backend gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Those of wharf's account, or of everyone.
    Shared,
    /// Those of everyone, because the client sent no login of its own.
    NoLogin,
    /// Those of the client's own login.
    OwnLogin,
}

impl Backend {
    /// Whose rights decide.
    pub fn rights(&self) -> Rights {
        match (&self.client, &self.clients) {
            (Some(_), _) => Rights::OwnLogin,
            (None, Some(_)) => Rights::NoLogin,
            (None, None) => Rights::Shared,
        }
    }

    /// The backend for the client at `address` that sends this `Authorization`; `None`: it holds no login, or
    /// this registry takes none.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn for_client(&self, authorization: &[u8], address: IpAddr) -> Result<Option<Arc<Self>>, NotTaken> {
        let Some(clients) = &self.clients else { return Ok(None) };
        clients.find(authorization, address, |credential, hash| {
            let login = match credential {
                ClientCredential::Password { user, password } => {
                    ClientLogin::password(&user, password.expose())
                }
                ClientCredential::Token(token) => ClientLogin::registry_token(token.expose()),
            };
            let asker = self.asker.for_client(login.ok()?)?;
            Some(Arc::new(self.with_asker(Arc::new(asker), hash)))
        })
    }

    /// Notes whether the upstream has accepted the login of a client's backend, so that a flood of wrong
    /// logins does not displace it.
    pub fn note_client(&self, of_client: &Self) {
        let (Some(clients), Some(client)) = (&self.clients, &of_client.client) else { return };
        if !client.is_proved.load(Ordering::Relaxed) && of_client.asker.has_login_worked() {
            clients.prove(&client.hash);
            client.is_proved.store(true, Ordering::Relaxed);
        }
    }

    /// Asks the upstream whether the client's login is right.
    ///
    /// # Errors
    /// [`PullError::Denied`] if it is wrong, and any error that keeps wharf from asking.
    pub async fn check_login(&self) -> Result<(), PullError> {
        let _client = self.asker.admit()?;
        let asking = self.asker.ask()?;
        let check = async { Ok(asking.upstream().check_login().await?) };
        self.asker.within_deadline(check).await
    }

    fn with_asker(&self, asker: Arc<Asker>, hash: ClientHash) -> Self {
        let (shared, tables) = (&self.shared, self.tables.for_successor());
        let grants = Arc::new(Grants::of_client(shared.clone(), asker.clone()));
        let manifests = Arc::new(self.manifests.for_client(shared, asker.clone(), grants.clone()));
        Self {
            tags: self.tags.for_client(asker.clone(), grants.clone(), manifests.clone()),
            listings: Listings::of_client(shared.clone(), asker.clone()),
            blobs: Arc::new(self.blobs.for_client(asker.clone(), grants, tables.fills.clone())),
            visibility: Some(Visibility::of_client(shared.clone(), asker.clone())),
            manifests,
            tables,
            shared: shared.clone(),
            asker,
            clients: None,
            client: Some(OwnLogin { hash, is_proved: AtomicBool::new(false) }),
        }
    }
}
