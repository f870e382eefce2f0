//! Checks that a registry can be used, with one request to its root and one login, before clients need it.

use std::time::{Duration, SystemTime};

use credentials::{Accounts, CONFIGURATION, Observer};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, StatusCode};
use oci::Challenge;
use policy::realm::{RealmPlan, UpstreamScope};
use reqwest::{Client, RequestBuilder, Response};
use url::Url;

use crate::accounts::accounts;
use crate::auth::login::Offer;
use crate::auth::token::{FORM_TYPE, TokenRequest};
use crate::base::{BaseSetting, RootKind, root_kind_of};
use crate::clients::Clients;
use crate::diagnosis::{self, Reader};
use crate::error::{Error, ErrorKind};
use crate::location::host_of;
use crate::settings::{Settings, SettingsError};
use crate::tls::Authorities;

/// A larger clock error gets a remark: tokens and certificates depend on the clock.
const CLOCK_ERROR_MAX: Duration = Duration::from_secs(5 * 60);
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// The findings about a registry that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The result of each login; one without a source if none is configured.
    pub logins: Vec<LoginCheck>,
    /// Remarks, each with what to do.
    pub remarks: Vec<String>,
}

/// A login and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginCheck {
    /// The repositories that it is for; `None`: all others.
    pub pattern: Option<String>,
    /// The source that gave it, in words; `None` for the configuration itself.
    pub source: Option<String>,
    /// The result.
    pub login: Login,
}

/// The result of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// There is no login: none is configured, or the source has none for this registry.
    None,
    /// The registry accepted them.
    Accepted,
    /// The registry's root did not ask for them.
    NotAsked,
}

/// A check of the registry that `settings` describe.
#[derive(Debug)]
pub struct Probe {
    clients: Clients,
    upstream_scope: UpstreamScope,
    setting: BaseSetting,
    root: Url,
    accounts: Accounts,
}

impl Probe {
    /// # Errors
    /// [`SettingsError`] for the first setting that cannot be used.
    pub fn new(settings: &Settings, authorities: &Authorities) -> Result<Self, SettingsError> {
        let trusted = settings.trusted_hosts.iter().map(|text| {
            text.parse().map_err(|source| SettingsError::TrustedHost { text: text.clone(), source })
        });
        let setting = BaseSetting::read(&settings.upstream)?;
        Ok(Self {
            clients: Clients::new(settings, authorities)?,
            upstream_scope: UpstreamScope::new(settings.upstream.clone(), trusted.collect::<Result<_, _>>()?),
            root: setting.likely().root.clone(),
            setting,
            accounts: accounts(settings, authorities, NoObserver),
        })
    }

    /// Requests the registry's root, and logs in with the login of each source. It sends each request once,
    /// and keeps nothing.
    ///
    /// # Errors
    /// [`Error`] says why the registry cannot be used, and what to do. The text holds no credential.
    pub async fn run(&self) -> Result<Reached, Error> {
        let (root, answer) = self.find().await?;
        let mut remarks: Vec<String> =
            clock_remark(answer.headers(), SystemTime::now()).into_iter().collect();
        let is_asked = match answer.status() {
            StatusCode::OK => {
                if !is_registry(answer.headers()) {
                    remarks.push(format!(
                        "{} answers, but not as a registry does; check the address",
                        host_of(root)
                    ));
                }
                false
            }
            StatusCode::UNAUTHORIZED => true,
            status => return Err(self.refused(status, answer.headers())),
        };
        let mut logins = Vec::new();
        for account in self.accounts.iter() {
            let source = account.name().to_owned();
            let held = account.login().await.map_err(|failure| {
                let detail = format!("cannot be logged in to: its credential source {source} {failure}");
                Error::new(ErrorKind::Denied, host_of(root), detail)
            })?;
            let offer = held.map(|held| Offer::of(&held.login));
            let login = match (is_asked, &offer) {
                (true, offer) => self.log_in(root, answer.headers(), offer.as_ref()).await?,
                (false, Some(_)) => Login::NotAsked,
                (false, None) => Login::None,
            };
            let source = Some(source).filter(|source| source != CONFIGURATION);
            logins.push(LoginCheck { pattern: account.status().pattern, source, login });
        }
        if logins.is_empty() {
            let login = if is_asked { self.log_in(root, answer.headers(), None).await? } else { Login::None };
            logins.push(LoginCheck { pattern: None, source: None, login });
        }
        Ok(Reached { logins, remarks })
    }

    /// Finds the registry's root and its answer, by the rule of [`BaseLocator`](crate::base::BaseLocator).
    async fn find(&self) -> Result<(&Url, Response), Error> {
        let BaseSetting::Ambiguous { front, below } = &self.setting else {
            return Ok((&self.root, self.ask(&self.root, None).await?));
        };
        let there = self.ask(&below.root, None).await;
        let look_there = there.as_ref().map_or(RootKind::Other, root_kind_of);
        if let (RootKind::Certain, Ok(answer)) = (look_there, there) {
            return Ok((&below.root, answer));
        }
        let answer = self.ask(&front.root, None).await?;
        if look_there > root_kind_of(&answer) {
            return Ok((&below.root, self.ask(&below.root, None).await?));
        }
        Ok((&front.root, answer))
    }

    async fn ask(&self, url: &Url, authorization: Option<&HeaderValue>) -> Result<Response, Error> {
        let is_own = self.upstream_scope.contains(url);
        let client: &Client =
            if is_own { &self.clients.direct.unpooled } else { &self.clients.guarded.unpooled };
        let mut request = client.get(url.clone()).header(ACCEPT, "application/json");
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        self.send(request, url).await
    }

    async fn send(&self, request: RequestBuilder, url: &Url) -> Result<Response, Error> {
        request.send().await.map_err(|error| {
            let error = error.without_url();
            let (host, kind) = (host_of(url), ErrorKind::Unreachable);
            if error.is_timeout() {
                let text = "does not answer in time; check the address, and that no firewall is in between";
                return Error::new(ErrorKind::TimedOut, host, text);
            }
            let detail = diagnosis::describe(&error, url, self.clients.may_use_proxy(url), Reader::Operator);
            Error::new(kind, host, detail).with_source(error)
        })
    }

    /// Answers the challenge in `headers` with the login.
    async fn log_in(&self, root: &Url, headers: &HeaderMap, offer: Option<&Offer>) -> Result<Login, Error> {
        let host = host_of(root);
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<Challenge> = values.flat_map(Challenge::parse_all).collect();
        let Some(offer) = offer else {
            // A token service may give out tokens without credentials.
            if challenges.iter().any(|challenge| matches!(challenge, Challenge::Bearer { .. })) {
                return Ok(Login::None);
            }
            let trouble = "answers, but wants a login and none is configured; add username and password";
            return Err(Error::new(ErrorKind::Denied, host, trouble));
        };
        if let Offer::Bearer(token) = offer {
            let answer = self.ask(root, Some(token)).await?;
            return judge_login(host, answer.status());
        }
        let mut trouble = "asks for a login of a kind that wharf does not know".to_owned();
        for challenge in &challenges {
            let Challenge::Bearer { realm, service, .. } = challenge else { continue };
            match self.upstream_scope.plan_realm_for(root, realm) {
                RealmPlan::Trusted(url) => return self.get_token(url, service.as_deref(), offer).await,
                RealmPlan::Anonymous(url) => {
                    trouble = format!(
                        "sends us for tokens to {0}, which is not shown the login; list {0:?} in trusted_hosts if it \
                         belongs to this registry",
                        host_of(&url)
                    );
                }
                RealmPlan::Refused(error) => trouble = format!("names an unusable token service: {error}"),
            }
        }
        let wants_basic = challenges.iter().any(|challenge| matches!(challenge, Challenge::Basic { .. }));
        if let (true, Offer::Basic(basic)) = (wants_basic, offer) {
            let answer = self.ask(root, Some(basic)).await?;
            return judge_login(host, answer.status());
        }
        Err(Error::new(ErrorKind::Denied, host, trouble))
    }

    /// Requests a token without a scope, which shows whether the login is right.
    async fn get_token(&self, realm: Url, service: Option<&str>, offer: &Offer) -> Result<Login, Error> {
        let request = TokenRequest { realm: &realm, service, scope: None };
        let answer = match offer {
            Offer::Basic(header) | Offer::Bearer(header) => self.ask(&request.url(), Some(header)).await?,
            Offer::Refresh(token) => {
                let is_own = self.upstream_scope.contains(&realm);
                let clients = if is_own { &self.clients.direct } else { &self.clients.guarded };
                let form = request.form(token).expose().clone();
                let post = clients.unpooled.post(realm.clone()).header(CONTENT_TYPE, FORM_TYPE).body(form);
                self.send(post, &realm).await?
            }
        };
        judge_login(host_of(&realm), answer.status())
    }

    /// Returns the error for a root that answers with neither 200 nor 401.
    fn refused(&self, status: StatusCode, headers: &HeaderMap) -> Error {
        let host = host_of(&self.root);
        let plain = self.root.scheme() == "http";
        let advice = match status.as_u16() {
            400 if plain => format!("; if it speaks TLS, write upstream = \"https://{host}\""),
            300..=399 => match headers.get(LOCATION).and_then(|to| self.root.join(to.to_str().ok()?).ok()) {
                Some(to) if to.has_host() => {
                    format!(
                        "; it sends us to {0}, so write upstream = \"{1}://{0}\" if that is meant",
                        host_of(&to),
                        to.scheme()
                    )
                }
                _ => String::new(),
            },
            404 => "; it is no registry, or one below a path: check upstream".to_owned(),
            407 => "; the proxy asks for a login: write it into proxy".to_owned(),
            429 => "; wait, or give wharf a login there".to_owned(),
            500..=599 => "; the registry fails, or a proxy before it: try again later".to_owned(),
            _ => "; check the address, and what stands in between".to_owned(),
        };
        let detail = format!("answers {} at /v2/{advice}", status.as_u16());
        Error::new(ErrorKind::Invalid, host, detail).with_status(status.as_u16())
    }
}

/// Nothing counts the questions of a check.
#[derive(Debug)]
struct NoObserver;

impl Observer for NoObserver {
    fn asked(&self, _: bool) {}
    fn failing(&self, _: bool) {}
}

fn judge_login(host: String, status: StatusCode) -> Result<Login, Error> {
    let detail = match status.as_u16() {
        200 => return Ok(Login::Accepted),
        401 | 403 => "refuses the configured login; check username and password".to_owned(),
        429 => "answers the login with 429; wait, and try again".to_owned(),
        status => format!("answers the login with {status}; try again later"),
    };
    Err(Error::new(ErrorKind::Denied, host, detail).with_status(status.as_u16()))
}

/// Tells whether a registry gave the answer, and not a web server's front page.
fn is_registry(headers: &HeaderMap) -> bool {
    let kind =
        headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    headers.contains_key(API_VERSION) || kind.starts_with("application/json")
}

/// Returns a remark if this machine's clock differs from the registry's.
fn clock_remark(headers: &HeaderMap, now: SystemTime) -> Option<String> {
    let there = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let (off, word) = match now.duration_since(there) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    if off <= CLOCK_ERROR_MAX {
        return None;
    }
    let off = match off.as_secs() / 60 {
        minutes @ ..120 => format!("{minutes} minutes"),
        minutes @ ..2880 => format!("{} hours", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    };
    Some(format!("this machine's clock is {off} {word} the registry's; check it"))
}

#[cfg(test)]
mod tests;
