//! Answering a registry's challenge (distribution-spec, "Authentication"): nothing, Basic, or a Bearer token.
//!
//! Credentials leave this room only for the registry itself and for realms that `policy::realm` trusts. Once
//! challenged, later requests bring along what the registry will ask for.

pub(crate) mod scope;
pub(crate) mod token;
mod token_cache;

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use oci::{Challenge, Repository};
use policy::realm::{RealmError, RealmPlan};
use tracing::warn;
use url::Url;

use crate::error::{Error, ErrorKind};
use crate::gate::Gate;
use crate::settings::{Settings, SettingsError};
use crate::transport::{Patience, Transport, host_of};
use scope::ScopeRule;
use token_cache::{TokenCache, TokenKey};

/// How one registry is answered.
#[derive(Debug)]
pub(crate) struct Auth {
    registry: String,
    upstream: Url,
    /// The value of a Basic `Authorization`, marked sensitive.
    basic: Option<HeaderValue>,
    tokens: TokenCache,
    /// The token service's.
    gate: Gate,
    /// What the registry last asked for.
    learnt: Mutex<Option<Scheme>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scheme {
    Basic,
    Bearer { realm: Realm, service: Option<String>, scope: ScopeRule },
}

/// A token service, and whether it may see credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Realm {
    url: Url,
    is_trusted: bool,
}

/// What a request carries, and what is known about it.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    header: Option<HeaderValue>,
    /// Of a token: what it was given for, and whether this very request fetched it.
    token: Option<(TokenKey, bool)>,
    /// Whether the credentials were sent to get it.
    has_credentials: bool,
    /// What the token service was asked for before the registry was, and why it gave nothing.
    refusal: Option<(TokenKey, Error)>,
}

impl Ticket {
    /// The credentials themselves, if there are any.
    fn basic(header: Option<HeaderValue>) -> Self {
        Self { has_credentials: header.is_some(), header, ..Self::default() }
    }

    pub(crate) fn header(&self) -> Option<&HeaderValue> {
        self.header.as_ref()
    }
}

impl Auth {
    /// # Errors
    /// [`SettingsError::Credentials`].
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let basic = match &settings.credentials {
            Some((user, password)) => {
                // RFC 7617, section 2: what stands behind the first colon is the password.
                if user.contains(':') {
                    return Err(SettingsError::Credentials);
                }
                let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
                let value = HeaderValue::from_str(&format!("Basic {pair}"));
                let mut value = value.expect("base64 is visible ASCII");
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self {
            registry: settings.name.clone(),
            upstream: settings.upstream.clone(),
            basic,
            tokens: TokenCache::default(),
            gate: Gate::new(&settings.name, None),
            learnt: Mutex::default(),
        })
    }

    /// What to send before being challenged: nothing at first, later what the registry wanted last time.
    ///
    /// # Errors
    /// The token service's, unless it answered and gave nothing: then the registry is asked without, for it
    /// may not mind, or name another service.
    pub(crate) async fn prepare(
        &self,
        transport: &Transport,
        repository: &Repository,
        patience: &mut Patience,
    ) -> Result<Ticket, Error> {
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match learnt {
            None => Ok(Ticket::default()),
            Some(Scheme::Basic) => Ok(Ticket::basic(self.basic.clone())),
            Some(Scheme::Bearer { realm, service, scope }) => {
                let key = TokenKey { realm: realm.url.clone(), service, scope: scope.of(repository) };
                match self.token_ticket(transport, &realm, key.clone(), None, patience).await {
                    Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Invalid) => {
                        Ok(Ticket { refusal: Some((key, error)), ..Ticket::default() })
                    }
                    other => other,
                }
            }
        }
    }

    /// Answers a 401 that came in spite of `ticket`: at most one refresh of an old token.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when nothing better can be offered; the token service's errors.
    pub(crate) async fn answer(
        &self,
        transport: &Transport,
        repository: &Repository,
        headers: &HeaderMap,
        ticket: Ticket,
        patience: &mut Patience,
    ) -> Result<Ticket, Error> {
        let scheme = self.choose(transport, headers, repository, &ticket)?;
        self.learn(&scheme);
        match scheme {
            Scheme::Basic if ticket.header.is_none() || ticket.token.is_some() => {
                Ok(Ticket::basic(self.basic.clone()))
            }
            Scheme::Basic => Err(self.refusal(&ticket, 401)),
            Scheme::Bearer { realm, service, scope } => {
                let key = TokenKey { realm: realm.url.clone(), service, scope: scope.of(repository) };
                if let Some((asked, error)) = &ticket.refusal
                    && *asked == key
                {
                    return Err(error.clone());
                }
                let refused = match &ticket.token {
                    Some((held, true)) if *held == key => return Err(self.refusal(&ticket, 401)),
                    Some((held, false)) if *held == key => ticket.header,
                    _ => None,
                };
                self.token_ticket(transport, &realm, key, refused.as_ref(), patience).await
            }
        }
    }

    /// The error for a request that the registry refused. It tells apart what the operator can do about it.
    pub(crate) fn refusal(&self, ticket: &Ticket, status: u16) -> Error {
        let reason = match (&self.basic, ticket.has_credentials) {
            (None, _) => "private or missing, and no credentials are configured for this registry",
            (Some(_), true) => "the configured credentials give no access",
            (Some(_), false) => "private or missing, and the configured credentials were not asked for",
        };
        let detail = format!("answered {status}: {reason}");
        Error::new(ErrorKind::Denied, host_of(&self.upstream), detail).with_status(status)
    }

    async fn token_ticket(
        &self,
        transport: &Transport,
        realm: &Realm,
        key: TokenKey,
        refused: Option<&HeaderValue>,
        patience: &mut Patience,
    ) -> Result<Ticket, Error> {
        let basic = self.basic.as_ref().filter(|_| realm.is_trusted);
        let deadline = patience.deadline;
        let fetch = token::fetch(transport, &self.gate, &key, basic, patience);
        let got = tokio::time::timeout_at(deadline, self.tokens.get(&key, refused, fetch)).await;
        let late = |_| Error::new(ErrorKind::TimedOut, host_of(&realm.url), "gave no token in time");
        match got.unwrap_or_else(|elapsed| Err(late(elapsed))) {
            Ok((header, is_fresh)) => Ok(Ticket {
                header: Some(header),
                token: Some((key, is_fresh)),
                has_credentials: basic.is_some(),
                refusal: None,
            }),
            Err(error) => {
                if error.kind() == ErrorKind::Denied {
                    let has_credentials = basic.is_some();
                    let (registry, scope) = (&self.registry, &key.scope);
                    warn!(%registry, scope, %error, has_credentials, "token refused");
                }
                Err(error)
            }
        }
    }

    /// The challenge to answer: a Bearer one whose realm can be asked, else Basic when there are credentials.
    fn choose(
        &self,
        transport: &Transport,
        headers: &HeaderMap,
        repository: &Repository,
        ticket: &Ticket,
    ) -> Result<Scheme, Error> {
        let mut realm_error = None;
        let mut has_basic = false;
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        for challenge in values.flat_map(Challenge::parse_all) {
            match challenge {
                Challenge::Basic { .. } => has_basic = true,
                Challenge::Bearer { realm, service, scope, .. } => {
                    match plan_realm(transport, &realm) {
                        Ok(realm) => {
                            let scope = ScopeRule::learn(scope.as_deref(), repository);
                            return Ok(Scheme::Bearer { realm, service, scope });
                        }
                        Err(error) => realm_error = Some(error),
                    };
                }
            }
        }
        match (has_basic && self.basic.is_some(), realm_error) {
            (true, _) => Ok(Scheme::Basic),
            (false, Some(error)) => {
                Err(Error::new(ErrorKind::Invalid, host_of(&self.upstream), format!("is no use: {error}")))
            }
            (false, None) => Err(self.refusal(ticket, 401)),
        }
    }

    /// Remembers the scheme. Credentials that will not be sent are worth one line, since pulls may fail for it.
    fn learn(&self, scheme: &Scheme) {
        let before = self.learnt.lock().unwrap_or_else(PoisonError::into_inner).replace(scheme.clone());
        let Scheme::Bearer { realm, .. } = scheme else { return };
        let is_known = matches!(&before, Some(Scheme::Bearer { realm: known, .. }) if known == realm);
        if self.basic.is_some() && !realm.is_trusted && !is_known {
            warn!(
                registry = %self.registry,
                realm = %host_of(&realm.url),
                "credentials are not sent to this token realm; list it in trusted_hosts if it is this registry's"
            );
        }
    }
}

fn plan_realm(transport: &Transport, realm: &str) -> Result<Realm, RealmError> {
    match transport.territory.plan_realm(realm) {
        RealmPlan::Trusted(url) => Ok(Realm { url, is_trusted: true }),
        RealmPlan::Anonymous(url) => Ok(Realm { url, is_trusted: false }),
        RealmPlan::Refused(error) => Err(error),
    }
}
