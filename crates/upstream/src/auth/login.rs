//! Sends a login, and withholds it from services that refused it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credentials::{Account, HeldLogin};
use http::header::HeaderValue;
use parking_lot::{Mutex, MutexGuard};
use policy::login::{Advice, LoginState};
use policy::lru::LruMap;
use secret::Secret;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use crate::error::{Error, ErrorKind};
use crate::location::host_of;

/// The most services whose state is remembered. A registry has one or two.
const SERVICE_COUNT_MAX: usize = 16;
/// The longest wait for another request that checks the credentials.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);

/// One login at one registry. An operation uses the same one from its start to its end.
pub(crate) struct Login {
    registry: String,
    /// Its account, which gives another if this one is refused.
    account: Account,
    held: Arc<HeldLogin>,
    pub(super) id: LoginId,
    pub(super) offer: Offer,
    services: Mutex<LruMap<Url, Arc<ServiceState>>>,
    /// Whether it is the login of a client. Then a refusal is the client's business, and not in the log.
    is_of_client: bool,
    has_worked: Arc<AtomicBool>,
}

/// Distinguishes the logins of one registry, so that the tokens of two accounts are never mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LoginId {
    /// The position of its account among those of the registry.
    pub(crate) account: usize,
    /// The login's number at its account.
    pub(crate) generation: u64,
}

/// The form in which a login is sent. Header values are marked sensitive.
#[derive(Clone, Debug)]
pub(crate) enum Offer {
    /// To token services and registries, as Basic `Authorization`.
    Basic(HeaderValue),
    /// To token services, as a refresh token in a form.
    Refresh(Secret<String>),
    /// To registries only, as Bearer `Authorization`.
    Bearer(HeaderValue),
}

/// The state of one service that gets the credentials: a token service, or a registry.
#[derive(Debug, Default)]
pub(super) struct ServiceState {
    state: Mutex<LoginState>,
    /// The last refusal.
    refusal: Mutex<Option<Error>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Permission to send the credentials once. Until they are known to be right, one request has it at a time.
#[derive(Debug)]
pub(super) struct LoginPermit {
    service: Arc<ServiceState>,
    _turn: Option<OwnedMutexGuard<()>>,
    has_worked: Arc<AtomicBool>,
}

impl Login {
    /// The login that the account at `position` holds.
    pub(super) fn new(registry: &str, position: usize, account: &Account, held: Arc<HeldLogin>) -> Self {
        Self {
            registry: registry.to_owned(),
            account: account.clone(),
            id: LoginId { account: position, generation: held.generation },
            offer: Offer::of(&held.login),
            held,
            services: Mutex::new(LruMap::new(SERVICE_COUNT_MAX)),
            is_of_client: false,
            has_worked: Arc::default(),
        }
    }

    /// The same as the login of a client.
    pub(super) fn of_client(self) -> Self {
        Self { is_of_client: true, ..self }
    }

    /// Whether a service has accepted it.
    pub(super) fn has_worked(&self) -> bool {
        self.has_worked.load(Ordering::Relaxed)
    }

    /// Runs `check`, which sends the login to `url` without requesting a resource, unless the service has
    /// just refused it.
    ///
    /// # Errors
    /// The last refusal, while the login is withheld; errors of `check`.
    pub(super) async fn check(
        &self,
        url: &Url,
        check: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        let service = self.service(url);
        if let Advice::Wait(_) = service.advise() {
            return Err(service.last_refusal(url));
        }
        let _turn = tokio::time::timeout(TURN_WAIT_MAX, service.turn.clone().lock_owned()).await;
        if let Advice::Wait(_) = service.advise() {
            return Err(service.last_refusal(url));
        }
        match check.await {
            Ok(()) => {
                service.state().pass_check(Instant::now().into_std());
                self.has_worked.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unconfirmed) {
                    self.fail_check(&service, url, &error);
                }
                Err(error)
            }
        }
    }

    /// The authorization for a registry, if a registry takes this login.
    pub(super) fn for_registries(&self) -> Option<&HeaderValue> {
        match &self.offer {
            Offer::Basic(header) | Offer::Bearer(header) => Some(header),
            Offer::Refresh(_) => None,
        }
    }

    /// The form for a token service, if token services take this login.
    pub(super) fn for_token_services(&self) -> Option<&Offer> {
        match &self.offer {
            Offer::Basic(_) | Offer::Refresh(_) => Some(&self.offer),
            Offer::Bearer(_) => None,
        }
    }

    /// Tells whether it goes to the registry itself whatever that demands.
    pub(super) fn is_registry_token(&self) -> bool {
        matches!(self.offer, Offer::Bearer(_))
    }

    /// Asks the source for another login after a refusal. Returns true if there is one.
    pub(crate) async fn is_replaced(&self) -> bool {
        self.account.refused(&self.held).await
    }

    /// Returns permission to send the credentials to `url`. `check` sends them there without requesting a
    /// resource; it is awaited only if there is doubt.
    ///
    /// # Errors
    /// The last refusal, while the credentials are withheld; errors of `check`.
    pub(super) async fn permit(
        &self,
        url: &Url,
        check: impl Future<Output = Result<(), Error>>,
    ) -> Result<LoginPermit, Error> {
        let service = self.service(url);
        match service.advise() {
            Advice::Send => {
                return Ok(LoginPermit { service, _turn: None, has_worked: Arc::clone(&self.has_worked) });
            }
            Advice::Wait(_) => return Err(service.last_refusal(url)),
            Advice::SendAlone | Advice::Check => {}
        }
        let turn = tokio::time::timeout(TURN_WAIT_MAX, service.turn.clone().lock_owned()).await.ok();
        match service.advise() {
            Advice::Send => {
                Ok(LoginPermit { service, _turn: None, has_worked: Arc::clone(&self.has_worked) })
            }
            Advice::Wait(_) => Err(service.last_refusal(url)),
            Advice::SendAlone => {
                Ok(LoginPermit { service, _turn: turn, has_worked: Arc::clone(&self.has_worked) })
            }
            Advice::Check if turn.is_none() => Err(service.last_refusal(url)),
            Advice::Check => match check.await {
                Ok(()) => {
                    service.state().pass_check(Instant::now().into_std());
                    Ok(LoginPermit { service, _turn: None, has_worked: Arc::clone(&self.has_worked) })
                }
                Err(error) => {
                    // Any refusal counts, so that the check is not repeated at once.
                    if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unconfirmed) {
                        self.fail_check(&service, url, &error);
                    }
                    Err(error)
                }
            },
        }
    }

    fn fail_check(&self, service: &ServiceState, url: &Url, error: &Error) {
        let now = Instant::now().into_std();
        let advice = {
            let mut state = service.state();
            state.fail_check(now);
            state.advise(now)
        };
        *service.refusal.lock() = Some(error.clone());
        if let (Advice::Wait(pause), false) = (advice, self.is_of_client) {
            let (registry, host, seconds) = (&self.registry, host_of(url), pause.as_secs());
            let error = telemetry::error_chain(error);
            warn!(%registry, %host, error, seconds, "the configured login was refused; wharf withholds it for this time");
        }
    }

    fn service(&self, url: &Url) -> Arc<ServiceState> {
        let mut services = self.services.lock();
        Arc::clone(services.get_or_insert_with(url, Arc::default))
    }
}

impl Offer {
    pub(crate) fn of(login: &credentials::Login) -> Self {
        let header = |text: &str| {
            let mut value = HeaderValue::from_str(text).expect("a login holds only what HTTP carries");
            value.set_sensitive(true);
            value
        };
        match login {
            credentials::Login::Password { user, password } => {
                let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
                Self::Basic(header(&format!("Basic {pair}")))
            }
            credentials::Login::IdentityToken(token) => Self::Refresh(token.clone()),
            credentials::Login::RegistryToken(token) => {
                Self::Bearer(header(&format!("Bearer {}", token.expose())))
            }
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("id", &self.id).field("offer", &self.offer).finish_non_exhaustive()
    }
}

impl ServiceState {
    fn advise(&self) -> Advice {
        self.state().advise(Instant::now().into_std())
    }

    fn last_refusal(&self, url: &Url) -> Error {
        let refusal = self.refusal.lock().clone();
        let in_doubt = || {
            let detail = "has just refused the configured credentials; another request is checking them";
            Error::new(ErrorKind::Unconfirmed, host_of(url), detail).with_status(401)
        };
        refusal.unwrap_or_else(in_doubt)
    }

    fn state(&self) -> MutexGuard<'_, LoginState> {
        self.state.lock()
    }
}

impl LoginPermit {
    /// Notes that the request succeeded.
    pub(super) fn accepted(self) {
        self.has_worked.store(true, Ordering::Relaxed);
        self.service.state().accept(Instant::now().into_std());
    }

    /// Notes that the request was refused, for whatever reason.
    pub(super) fn refused(self, error: Option<&Error>) {
        self.service.state().refuse(Instant::now().into_std());
        if let Some(error) = error {
            *self.service.refusal.lock() = Some(error.clone());
        }
    }
}
