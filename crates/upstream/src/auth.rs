//! Answers the challenges of a registry, and of the hosts that it redirects to (distribution-spec,
//! "Authentication"), with nothing, Basic credentials, or a Bearer token.
//!
//! A token goes only to the host that asked for it. Credentials go only to hosts and realms that
//! `policy::realm` trusts. After the first challenge, later requests carry the authorization from the start.

pub(crate) mod challenge_loop;
pub(crate) mod context;
mod credential;
pub(crate) mod hop;
mod login;
pub(crate) mod root;
mod schemes;
pub(crate) mod scope;
pub(crate) mod token;
mod token_cache;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use oci::{Challenge, Repository};
use policy::realm::{RealmError, RealmPlan};
use telemetry::RegistryMetrics;
use tokio::time::Instant;
use tracing::warn;

use crate::error::{Error, ErrorKind};
use crate::gates::Gates;
use crate::location::host_of;
use crate::negative_answer;
use crate::settings::{Settings, SettingsError};
use crate::transport::{Allowance, Transport};
use context::RequestContext;
pub(crate) use credential::Credential;
use hop::{Hop, HopRole};
use login::{Login, LoginPermit};
use schemes::{Realm, Scheme, Schemes};
use scope::Scope;
use token_cache::{Token, TokenCache, TokenKey};

/// How long an unchallenged answer of `/v2/` is remembered.
const ROOT_TTL: Duration = Duration::from_secs(600);
/// The longest realm, and the longest service, that a challenge may name, in bytes.
const PARAMETER_BYTES_MAX: usize = 2048;

/// The authentication state of one registry and of the hosts that it redirects to.
#[derive(Debug)]
pub(crate) struct Auth {
    registry: String,
    login: Option<Login>,
    tokens: TokenCache,
    /// Breaker and pause state of the token services (the registry has its own).
    gates: Gates,
    schemes: Schemes,
    /// The time of the last request to `/v2/`. The lock is held during the request, so that only one is sent.
    root_asked_at: tokio::sync::Mutex<Option<Instant>>,
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
    /// # Errors
    /// [`SettingsError::Credentials`] if the user name has a colon.
    pub(crate) fn new(settings: &Settings, metrics: Arc<RegistryMetrics>) -> Result<Self, SettingsError> {
        let login = match &settings.credentials {
            Some((user, password)) => {
                // RFC 7617, section 2: the password starts behind the first colon.
                if user.contains(':') {
                    return Err(SettingsError::Credentials);
                }
                let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
                let value = HeaderValue::from_str(&format!("Basic {pair}"));
                let mut value = value.expect("base64 is visible ASCII");
                value.set_sensitive(true);
                Some(Login::new(&settings.name, value))
            }
            None => None,
        };
        Ok(Self {
            registry: settings.name.clone(),
            login,
            tokens: TokenCache::default(),
            gates: Gates::of_others(&settings.name, metrics),
            schemes: Schemes::default(),
            root_asked_at: tokio::sync::Mutex::default(),
        })
    }

    /// Forgets the tokens for `repository` that worked before `since`, when the operation started. Returns
    /// true if there was one: it may have been revoked, and some registries answer an invalid token with "not
    /// found".
    pub(crate) async fn forget_older_tokens(&self, repository: &Repository, since: Instant) -> bool {
        self.tokens.give_up_older(repository, since).await
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
        let (credential, key, with_login) = match self.schemes.of(host) {
            None => return Ok(Credential::default()),
            Some((Scheme::Basic, _)) if !self.may_send_login(context.transport, host) => {
                return Ok(Credential::default());
            }
            Some((Scheme::Basic, _)) => (self.basic_credential(context, host, allowance).await, None, true),
            Some((Scheme::Bearer { realm, service }, scope)) => {
                let key = self.key(host, &realm, service, scope);
                let with_login = key.with_login;
                (self.token_credential(context, key.clone(), allowance).await, Some(key), with_login)
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

    /// Returns the configured credentials as Basic authorization.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if they are known to be wrong, and errors of the request that checks them.
    async fn basic_credential(
        &self,
        context: RequestContext<'_>,
        host: &Hop,
        allowance: &mut Allowance,
    ) -> Result<Credential, Error> {
        let login = self.login.as_ref().expect("only asked for where a login is configured");
        let wrong = |kind| {
            let detail = "the configured credentials were refused";
            Error::new(kind, host_of(&host.url), format!("answered 401: {detail}")).with_status(401)
        };
        let mut root = host.url.clone();
        root.set_path("/");
        root.set_query(None);
        let check = async {
            // Only the registry's own `/v2/` is known to check credentials without a resource.
            if !host.is_home() {
                return Err(wrong(ErrorKind::Unconfirmed));
            }
            let header = Some(&login.basic);
            let response = root::ask(context, context.root, header, allowance).await?;
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
        Ok(Credential::basic(login.basic.clone(), permit))
    }

    async fn token_credential(
        &self,
        context: RequestContext<'_>,
        key: TokenKey,
        allowance: &mut Allowance,
    ) -> Result<Credential, Error> {
        let deadline = allowance.deadline;
        let fetch = self.fetch_token(context.transport, &key, allowance);
        let got = tokio::time::timeout_at(deadline, self.tokens.get(&key, fetch)).await;
        let late = |_| Error::new(ErrorKind::TimedOut, host_of(&key.realm), "gave no token in time");
        let (held, is_fresh) = got.unwrap_or_else(|elapsed| Err(late(elapsed)))?;
        Ok(Credential::token(key, held, is_fresh))
    }

    async fn fetch_token(
        &self,
        transport: &Transport,
        key: &TokenKey,
        allowance: &mut Allowance,
    ) -> Result<Token, Error> {
        let any = token::TokenRequest { realm: &key.realm, service: key.service.as_deref(), scope: None };
        let request = token::TokenRequest { scope: Some(&key.scope), ..any };
        let login = self.login.as_ref().filter(|_| key.with_login);
        let permit = match login {
            Some(login) => {
                let check = async {
                    let basic = Some(&login.basic);
                    let got = token::fetch(transport, &self.gates, &any, basic, allowance).await;
                    got.map(|_| ()).map_err(Error::from)
                };
                Some(login.permit(&key.realm, check).await?)
            }
            None => None,
        };
        let basic = login.map(|login| &login.basic);
        let got = token::fetch(transport, &self.gates, &request, basic, allowance).await;
        match (&got, permit) {
            (Ok(token), Some(permit)) if token.with_login => permit.accepted(),
            (Err(token::TokenFailure::Login(error)), Some(permit)) => permit.refused(Some(error)),
            _ => {}
        }
        got.map_err(|failure| {
            let error = Error::from(failure);
            if error.kind() == ErrorKind::Denied {
                let (registry, scope, has_credentials) = (&self.registry, &key.scope, key.with_login);
                let cause = telemetry::error_chain(&error);
                warn!(%registry, scope, error = cause, has_credentials, "token refused");
            }
            error
        })
    }

    fn key(&self, host: &Hop, realm: &Realm, service: Option<String>, scope: String) -> TokenKey {
        let with_login = self.login.is_some() && realm.is_trusted;
        TokenKey { host: host.url.origin(), realm: realm.url.clone(), service, scope, with_login }
    }

    fn may_send_login(&self, transport: &Transport, host: &Hop) -> bool {
        let is_allowed = match host.role {
            HopRole::Home => true,
            HopRole::Other => transport.upstream_scope.may_see_credentials(&host.url),
            HopRole::Returned => false,
        };
        self.login.is_some() && is_allowed
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
        let prefers_basic = has_basic && self.may_send_login(transport, host);
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
        if self.login.is_some() && !realm.is_trusted && is_news {
            warn!(
                registry = %self.registry,
                realm = %host_of(&realm.url),
                "credentials are not sent to this token realm; list it in trusted_hosts if it is this registry's"
            );
        }
    }

    /// Returns the error for a request that `host` refused. Its text differs by what the operator can do.
    pub(crate) fn refusal(&self, host: &str, credential: &Credential, status: u16) -> Error {
        let reason = match (&self.login, credential.has_login) {
            (None, _) => "private or missing, and no credentials are configured for this registry",
            (Some(_), true) => "the configured credentials give no access",
            (Some(_), false) => "private or missing, and the configured credentials were not asked for",
        };
        let detail = format!("answered {status}: {reason}");
        Error::new(ErrorKind::Denied, host, detail).with_status(status)
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
