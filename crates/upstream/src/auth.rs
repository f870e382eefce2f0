//! Answers the challenges of a registry, and of the hosts that it redirects to (distribution-spec,
//! "Authentication"), with nothing, Basic credentials, or a Bearer token.
//!
//! A token goes only to the host that asked for it. Credentials go only to hosts and realms that
//! `policy::realm` trusts. After the first challenge, later requests carry the authorization from the start.

pub(crate) mod challenge_loop;
mod client_login;
pub(crate) mod context;
mod credential;
pub(crate) mod hop;
pub(crate) mod login;
pub(crate) mod root;
mod schemes;
pub(crate) mod scope;
pub(crate) mod token;
mod token_cache;

use std::sync::Arc;
use std::time::Duration;

use credentials::{Accounts, Observer};
use http::StatusCode;
use http::header::{HeaderMap, WWW_AUTHENTICATE};
use oci::{Challenge, Repository};
use parking_lot::Mutex;
use policy::realm::{RealmError, RealmPlan};
use telemetry::RegistryMetrics;
use tokio::time::Instant;
use tracing::warn;

use crate::accounts::accounts;
use crate::error::{Error, ErrorKind};
use crate::gates::Gates;
use crate::location::host_of;
use crate::negative_answer;
use crate::settings::Settings;
use crate::tls::Authorities;
use crate::transport::{Allowance, Transport};
use context::RequestContext;
pub(crate) use credential::Credential;
use hop::{Hop, HopRole};
use login::{Login, LoginPermit};
use schemes::{Realm, Scheme, Schemes};
use scope::Scope;
use token_cache::{Token, TokenCache, TokenKey};

/// The time for which an unchallenged answer of `/v2/` is remembered.
const ROOT_TTL: Duration = Duration::from_secs(600);
/// The longest realm, and the longest service, that a challenge may name, in bytes.
const PARAMETER_BYTES_MAX: usize = 2048;

/// The authentication state of one registry and of the hosts that it redirects to.
#[derive(Debug)]
pub(crate) struct Auth {
    registry: String,
    accounts: Accounts,
    /// The login in use of each account.
    logins: Mutex<Vec<Option<Arc<Login>>>>,
    /// The upstream's host, for errors.
    host: String,
    tokens: TokenCache,
    /// Breaker and pause state of the token services (the registry has its own).
    gates: Arc<Gates>,
    schemes: Arc<Schemes>,
    /// The time of the last request to `/v2/`. The lock is held during the request, so that only one is sent.
    root_asked_at: Arc<tokio::sync::Mutex<Option<Instant>>>,
    /// Whether the login is that of one client, and not the configuration's.
    is_for_client: bool,
}

/// The authentication that an answer demands.
#[derive(Debug)]
enum Demand {
    Nothing,
    /// A Bearer challenge with an unusable realm.
    Unusable(RealmError),
    Basic,
    Bearer {
        realm: Realm,
        service: Option<String>,
        scope: Scope,
        /// Whether it says that the token is valid but its scope is too small.
        is_scope_lacking: bool,
    },
}

impl Auth {
    pub(crate) fn new(settings: &Settings, authorities: &Authorities, metrics: Arc<RegistryMetrics>) -> Self {
        let accounts = accounts(settings, authorities, LoginObserver(Arc::clone(&metrics)));
        let logins = Mutex::new(vec![None; accounts.iter().len()]);
        Self {
            registry: settings.name.clone(),
            logins,
            accounts,
            host: host_of(&settings.upstream),
            tokens: TokenCache::default(),
            gates: Arc::new(Gates::of_others(&settings.name, metrics)),
            schemes: Arc::default(),
            root_asked_at: Arc::default(),
            is_for_client: false,
        }
    }

    /// Returns the login for a repository; `None` if requests for it go without one. An operation uses it
    /// until its end.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if its source gives none, and [`ErrorKind::TimedOut`]: never a definite no,
    /// and never a request without the login that the operator wants.
    pub(crate) async fn login(
        &self,
        repository: &Repository,
        deadline: Instant,
    ) -> Result<Option<Arc<Login>>, Error> {
        let Some((position, account)) = self.accounts.of(repository) else { return Ok(None) };
        let error = |kind, what: &dyn std::fmt::Display| {
            let detail = format!("was not asked: its credential source {} {what}", account.name());
            Error::new(kind, &self.host, detail).without_retry()
        };
        let got = tokio::time::timeout_at(deadline, account.login()).await;
        let held = got
            .map_err(|_| error(ErrorKind::TimedOut, &"gave no login in time"))?
            .map_err(|failure| error(ErrorKind::Unreachable, &failure))?;
        let Some(held) = held else { return Ok(None) };
        let slot = &mut self.logins.lock()[position];
        match slot {
            Some(login) if login.id.generation == held.generation => Ok(Some(Arc::clone(login))),
            _ => {
                let login = Login::new(&self.registry, position, account, held);
                let login = Arc::new(if self.is_for_client { login.of_client() } else { login });
                *slot = Some(Arc::clone(&login));
                Ok(Some(login))
            }
        }
    }

    /// Asks the source of a refused login for another one. Returns true if there is one.
    pub(crate) async fn is_replaced(&self, login: &Login, deadline: Instant) -> bool {
        tokio::time::timeout_at(deadline, login.is_replaced()).await.unwrap_or(false)
    }

    /// The accounts as operators see them.
    pub(crate) fn statuses(&self) -> Vec<credentials::Status> {
        self.accounts.statuses()
    }

    /// Forgets the tokens for `repository` that worked before `since`, when the operation started. Returns
    /// true if there was one: it may have been revoked, and some registries answer an invalid token with "not
    /// found".
    pub(crate) async fn forget_older_tokens(&self, repository: &Repository, since: Instant) -> bool {
        self.tokens.give_up_older(repository, since).await
    }

    /// Drops the tokens for `repository` whose login may have ended meanwhile.
    pub(crate) async fn forget_tokens(&self, repository: &Repository) {
        self.tokens.give_up_old(repository).await;
    }

    /// Returns the authorization for a request without a challenge: none at first, later the kind that the
    /// host demanded last.
    ///
    /// # Errors
    /// The token service's errors, unless it answered without a token. Then the request goes out without one:
    /// the host may accept that, or name another service.
    async fn prepare(
        &self,
        context: RequestContext<'_>,
        host: &Hop,
        allowance: &mut Allowance,
    ) -> Result<Credential, Error> {
        if host.role == HopRole::Returned {
            return Ok(Credential::default());
        }
        let may_send_login = may_send_login(context.transport, host);
        let is_registry_token = host.login.as_ref().is_some_and(|login| login.is_registry_token());
        let (credential, key, with_login) = match self.schemes.of(host) {
            None => return Ok(Credential::default()),
            Some((Scheme::Basic, _)) if !may_send_login => return Ok(Credential::default()),
            Some((scheme, _)) if scheme == Scheme::Basic || (may_send_login && is_registry_token) => {
                (self.basic_credential(context, host, allowance).await, None, true)
            }
            Some((Scheme::Basic, _)) => unreachable!("handled above"),
            Some((Scheme::Bearer { realm, service }, scope)) => {
                let key = token_key(host, &realm, service, scope);
                let with_login = key.login.is_some();
                (self.token_credential(context, host, key.clone(), allowance).await, Some(key), with_login)
            }
        };
        match credential {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Denied | ErrorKind::Unconfirmed | ErrorKind::Invalid
                ) =>
            {
                Ok(Credential::refused(key, with_login, error))
            }
            other => other,
        }
    }

    /// Returns the operation's login as the authorization for a registry.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if they are known to be wrong, and errors of the request that checks them.
    async fn basic_credential(
        &self,
        context: RequestContext<'_>,
        host: &Hop,
        allowance: &mut Allowance,
    ) -> Result<Credential, Error> {
        let login = host.login.as_ref().expect("only asked for where there is a login");
        let header = login.for_registries().expect("only asked for where a registry takes the login");
        let wrong = |kind| {
            let detail = "the configured credentials were refused";
            let error = Error::new(kind, host_of(&host.url), format!("answered 401: {detail}"));
            error.with_status(401).after_login()
        };
        let mut root = host.url.clone();
        root.set_path("/");
        root.set_query(None);
        let check = async {
            // Only the registry's own `/v2/` is known to check credentials without a resource.
            if !host.is_home() {
                return Err(wrong(ErrorKind::Unconfirmed));
            }
            let response = root::ask(context, context.root, Some(header), allowance).await?;
            match response.status() {
                StatusCode::UNAUTHORIZED => {
                    let (wrong, budget) = (wrong(ErrorKind::Denied), &context.transport.memory.documents);
                    Err(negative_answer::verify_token_refusal(wrong, response, allowance.deadline, budget)
                        .await)
                }
                _ => Ok(()),
            }
        };
        let permit: LoginPermit = login.permit(&root, check).await?;
        Ok(Credential::basic(header.clone(), permit))
    }

    async fn token_credential(
        &self,
        context: RequestContext<'_>,
        host: &Hop,
        key: TokenKey,
        allowance: &mut Allowance,
    ) -> Result<Credential, Error> {
        let deadline = allowance.deadline;
        let fetch = self.fetch_token(context.transport, host, &key, allowance);
        let got = tokio::time::timeout_at(deadline, self.tokens.get(&key, fetch)).await;
        let late = |_| Error::new(ErrorKind::TimedOut, host_of(&key.realm), "gave no token in time");
        let (held, is_fresh) = got.unwrap_or_else(|elapsed| Err(late(elapsed)))?;
        Ok(Credential::token(key, held, is_fresh))
    }

    async fn fetch_token(
        &self,
        transport: &Transport,
        host: &Hop,
        key: &TokenKey,
        allowance: &mut Allowance,
    ) -> Result<Token, Error> {
        let any = token::TokenRequest { realm: &key.realm, service: key.service.as_deref(), scope: None };
        let request = token::TokenRequest { scope: Some(&key.scope), ..any };
        let login = host.login.as_ref().filter(|login| key.login == Some(login.id));
        let offer = login.and_then(|login| login.for_token_services());
        let permit = match login {
            Some(login) => {
                let check = async {
                    let got = token::fetch(transport, &self.gates, &any, offer, allowance).await;
                    got.map(|_| ()).map_err(Error::from)
                };
                Some(login.permit(&key.realm, check).await?)
            }
            None => None,
        };
        let got = token::fetch(transport, &self.gates, &request, offer, allowance).await;
        match (&got, permit) {
            (Ok(token), Some(permit)) if token.with_login => permit.accepted(),
            (Err(token::TokenFailure::Login(error)), Some(permit)) => permit.refused(Some(error)),
            _ => {}
        }
        got.map_err(|failure| {
            let error = Error::from(failure);
            if error.kind() == ErrorKind::Denied && !self.is_for_client {
                let (registry, scope, has_credentials) = (&self.registry, &key.scope, key.login.is_some());
                let cause = telemetry::error_chain(&error);
                warn!(%registry, scope, error = cause, has_credentials, "token refused");
            }
            error
        })
    }

    /// Requests the registry's `/v2/` for its challenge, once for all operations, and remembers it. If it
    /// does not challenge, the host gets the Basic credentials from then on: it is the registry's own host,
    /// and they were configured for it.
    ///
    /// # Errors
    /// Errors of the request.
    async fn ask_root(
        &self,
        context: RequestContext<'_>,
        host: &Hop,
        allowance: &mut Allowance,
    ) -> Result<(), Error> {
        let late =
            |_| Error::new(ErrorKind::TimedOut, host_of(context.root), "did not answer for /v2/ in time");
        let turn = tokio::time::timeout_at(allowance.deadline, self.root_asked_at.lock());
        let mut asked_at = turn.await.map_err(late)?;
        if asked_at.is_some_and(|at| at.elapsed() < ROOT_TTL) || self.schemes.of(host).is_some() {
            return Ok(());
        }
        let response = root::ask(context, context.root, None, allowance).await?;
        *asked_at = Some(Instant::now());
        match self.read_demand(context.transport, host, response.headers()) {
            Demand::Bearer { realm, service, .. } => {
                self.learn(host, &Scheme::Bearer { realm, service }, None)
            }
            Demand::Basic | Demand::Nothing => self.learn(host, &Scheme::Basic, None),
            Demand::Unusable(_) => {}
        }
        Ok(())
    }

    /// Reads the demand from the headers of an answer: a Bearer token with a usable realm, else Basic. Basic
    /// takes precedence if the host may see the credentials and the realm may not.
    fn read_demand(&self, transport: &Transport, host: &Hop, headers: &HeaderMap) -> Demand {
        let (mut bearer, mut realm_error, mut has_basic) = (None, None, false);
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        for challenge in values.flat_map(Challenge::parse_all) {
            match challenge {
                Challenge::Basic { .. } => has_basic = true,
                Challenge::Bearer { realm, service, scope, error } if bearer.is_none() => {
                    match plan_realm(transport, host, &realm, service.as_deref()) {
                        Ok(realm) => {
                            let scope = Scope::read(scope.as_deref(), &host.repository);
                            let is_scope_lacking = error.as_deref() == Some("insufficient_scope");
                            bearer = Some((realm, service, scope, is_scope_lacking));
                        }
                        Err(error) => realm_error = Some(error),
                    }
                }
                Challenge::Bearer { .. } => {}
            }
        }
        let may_send_login = may_send_login(transport, host);
        let is_registry_token = host.login.as_ref().is_some_and(|login| login.is_registry_token());
        if is_registry_token && may_send_login && (has_basic || bearer.is_some() || realm_error.is_some()) {
            return Demand::Basic;
        }
        let prefers_basic = has_basic && may_send_login;
        match (bearer, realm_error) {
            (Some((realm, ..)), _) if prefers_basic && !realm.is_trusted => Demand::Basic,
            (Some((realm, service, scope, is_scope_lacking)), _) => {
                Demand::Bearer { realm, service, scope, is_scope_lacking }
            }
            (None, Some(error)) if !prefers_basic => Demand::Unusable(error),
            (None, _) if has_basic => Demand::Basic,
            (None, _) => Demand::Nothing,
        }
    }

    /// Remembers the scheme. It logs once if the credentials will not be sent, because pulls may fail for
    /// that.
    fn learn(&self, host: &Hop, scheme: &Scheme, scope: Option<&Scope>) {
        let is_news = self.schemes.learn(host, scheme, scope);
        let Scheme::Bearer { realm, .. } = scheme else { return };
        if host.login.is_some() && !realm.is_trusted && is_news {
            warn!(
                registry = %self.registry,
                realm = %host_of(&realm.url),
                "credentials are not sent to this token realm; list it in trusted_hosts if it is this registry's"
            );
        }
    }
}

/// Returns the error for a request that `host` refused. Its text differs by what the operator can do.
pub(crate) fn refusal(host: &str, is_configured: bool, credential: &Credential, status: u16) -> Error {
    let reason = match (is_configured, credential.has_login) {
        (false, _) => "private or missing, and no credentials are configured for this registry",
        (true, true) => "the configured credentials give no access",
        (true, false) => "private or missing, and the configured credentials were not asked for",
    };
    let error = Error::new(ErrorKind::Denied, host, format!("answered {status}: {reason}"));
    let error = error.with_status(status);
    if credential.has_login { error.after_login() } else { error }
}

/// Tells whether the host may see the operation's login, and takes it.
fn may_send_login(transport: &Transport, host: &Hop) -> bool {
    let is_allowed = match host.role {
        HopRole::Home => true,
        HopRole::Other => transport.upstream_scope.may_see_credentials(&host.url),
        HopRole::Returned => false,
    };
    is_allowed && host.login.as_ref().is_some_and(|login| login.for_registries().is_some())
}

fn token_key(host: &Hop, realm: &Realm, service: Option<String>, scope: String) -> TokenKey {
    let login = host.login.as_ref().filter(|login| realm.is_trusted && login.for_token_services().is_some());
    let login = login.map(|login| login.id);
    TokenKey { host: host.url.origin(), realm: realm.url.clone(), service, scope, login }
}

/// Counts what credential sources answer.
#[derive(Debug)]
struct LoginObserver(Arc<RegistryMetrics>);

impl Observer for LoginObserver {
    fn asked(&self, succeeded: bool) {
        self.0.login_asked(succeeded);
    }

    fn failing(&self, is_failing: bool) {
        self.0.login_failing(is_failing);
    }
}

fn plan_realm(
    transport: &Transport,
    host: &Hop,
    realm: &str,
    service: Option<&str>,
) -> Result<Realm, RealmError> {
    if realm.len() > PARAMETER_BYTES_MAX || service.is_some_and(|text| text.len() > PARAMETER_BYTES_MAX) {
        return Err(RealmError::Url);
    }
    match transport.upstream_scope.plan_realm_for(&host.url, realm) {
        RealmPlan::Trusted(url) => Ok(Realm { url, is_trusted: true }),
        RealmPlan::Anonymous(url) => Ok(Realm { url, is_trusted: false }),
        RealmPlan::Refused(error) => Err(error),
    }
}
