//! The HTTP clients of one upstream: one pair for its own hosts, one for the hosts that it redirects to.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use policy::no_proxy::NoProxy;
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, retry};
use rustls::ClientConfig;
use tokio::sync::watch;
use tracing::warn;
use url::Url;

use crate::error::causes;
use crate::resolver::proxy_names::ProxyNames;
use crate::resolver::race::Race;
use crate::resolver::{GuardedResolver, SystemResolver};
use crate::settings::{ProxySettings, Settings, SettingsError, connect_timeout_max};
use crate::tls::{self, Authorities};

/// Idle connections kept per host: a dozen parallel pulls use that many at once. Beyond that each request
/// opens a connection, which costs more than the rest of a small blob.
const IDLE_CONNECTION_COUNT_MAX: usize = 64;
/// The time for which an idle connection is kept. Firewalls drop idle connections within minutes.
const IDLE_CONNECTION_TTL: Duration = Duration::from_secs(60);
/// Fields that the head of an answer may have. The library's own bound on the whole head is 408 KiB.
const HEAD_FIELD_COUNT_MAX: usize = 1024;

/// The clients of one upstream. They share only certificate authorities with other upstreams.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    /// For the upstream's own host and trusted hosts.
    pub(crate) direct: ClientPair,
    /// For every other host. It refuses internal addresses.
    pub(crate) guarded: ClientPair,
    proxy_hosts: HashSet<String>,
    /// The hosts that are reached without the configured proxy.
    no_proxy: NoProxy,
    /// Checks names that a proxy would resolve.
    pub(crate) proxy_names: Arc<ProxyNames>,
    /// Finds the address of a name that answers.
    pub(crate) race: Arc<Race>,
}

/// Two clients that differ in one thing.
#[derive(Clone, Debug)]
pub(crate) struct ClientPair {
    /// Keeps connections for the next request.
    pub(crate) pooled: Client,
    /// Opens a connection for each request, as the fallback if a kept one is dead.
    pub(crate) unpooled: Client,
}

/// The clients of one upstream at this moment, which can be replaced by others without any connection. Cheap
/// to clone; all clones have the same clients.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    authorities: Authorities,
    clients: RwLock<Arc<Clients>>,
    /// Changes when the clients were replaced.
    closed: watch::Sender<()>,
}

impl Connections {
    /// # Errors
    /// [`SettingsError`] for the first setting that cannot be used.
    pub(crate) fn new(settings: &Settings, authorities: &Authorities) -> Result<Self, SettingsError> {
        let clients = RwLock::new(Arc::new(Clients::new(settings, authorities)?));
        let (settings, authorities) = (settings.clone(), authorities.clone());
        Ok(Self(Arc::new(Shared { settings, authorities, clients, closed: watch::Sender::new(()) })))
    }

    /// The clients for one request.
    pub(crate) fn clients(&self) -> Arc<Clients> {
        Arc::clone(&self.0.clients.read())
    }

    /// Closes idle connections: later requests get clients without any. Requests in flight keep theirs.
    pub(crate) fn close(&self) {
        match Clients::new(&self.0.settings, &self.0.authorities) {
            Ok(clients) => *self.0.clients.write() = Arc::new(clients),
            // The same settings were good before. The connections close by themselves after a minute.
            Err(error) => warn!(registry = %self.0.settings.name, %error, "cannot close idle connections"),
        }
        self.0.closed.send_replace(());
    }

    /// Changes when the connections are closed after this call.
    pub(crate) fn closing(&self) -> watch::Receiver<()> {
        self.0.closed.subscribe()
    }
}

impl Clients {
    /// # Errors
    /// [`SettingsError`] for the first setting that cannot be used.
    pub(crate) fn new(settings: &Settings, authorities: &Authorities) -> Result<Self, SettingsError> {
        let proxies = match &settings.proxy {
            Some(proxy) => vec![proxy.url.clone()],
            None => environment_proxies(),
        };
        let proxy_hosts: HashSet<_> = proxies.iter().filter_map(proxy_host).collect();
        let roots = authorities.and(&settings.ca)?;
        let identity = settings.client_identity.as_ref();
        let trusted = tls::trusted(&roots, identity, settings.insecure_skip_verify)?;
        let race = Arc::new(Race::new(settings, &proxies));
        let system = SystemResolver::new(race.clone());
        let guarded = GuardedResolver::new(system.clone(), proxy_hosts.clone());
        let proxy_names = Arc::new(ProxyNames::new(system.clone()));
        Ok(Self {
            direct: ClientPair::new(settings, &trusted, |builder| builder.dns_resolver(system.clone()))?,
            guarded: ClientPair::new(settings, &tls::verified(&roots), |builder| {
                builder.dns_resolver(guarded.clone())
            })?,
            proxy_hosts,
            no_proxy: settings.proxy.as_ref().map(|proxy| proxy.no_proxy.clone()).unwrap_or_default(),
            proxy_names,
            race,
        })
    }

    /// Whether a request to this URL may go through a proxy.
    pub(crate) fn may_use_proxy(&self, url: &Url) -> bool {
        !self.proxy_hosts.is_empty() && !self.no_proxy.covers(url)
    }

    /// Whether the URL names a proxy's host. The guarded resolver allows its address, so foreign text must
    /// not name it.
    pub(crate) fn is_proxy(&self, url: &Url) -> bool {
        url.host_str().is_some_and(|host| self.proxy_hosts.contains(host.trim_end_matches('.')))
    }
}

impl ClientPair {
    pub(crate) fn new(
        settings: &Settings,
        tls: &ClientConfig,
        resolve: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, SettingsError> {
        let build = |idle_count_max| {
            let builder = Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(Policy::none())
                .retry(retry::never())
                .referer(false)
                .http1_only()
                // RFC 9112, sections 5.1 and 5.2: a proxy removes such a blank and unfolds such a value. A
                // line that is no field is skipped, so that one odd line fails no pull. Wrong framing cannot
                // hurt, because the digest is checked.
                .http1_allow_spaces_after_header_name_in_responses(true)
                .http1_allow_obsolete_multiline_headers_in_responses(true)
                .http1_ignore_invalid_headers_in_responses(true)
                .http1_max_headers(HEAD_FIELD_COUNT_MAX)
                // Another crate's features could enable decoding, and digests refer to the bytes as sent.
                .no_gzip()
                .no_brotli()
                .no_zstd()
                .no_deflate()
                .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(settings.connect_timeout.min(connect_timeout_max(settings.header_timeout)))
                .read_timeout(settings.idle_timeout)
                .pool_max_idle_per_host(idle_count_max)
                .pool_idle_timeout(IDLE_CONNECTION_TTL);
            let builder = match &settings.proxy {
                Some(proxy) => builder.proxy(parse_proxy(proxy)?),
                None => builder,
            };
            resolve(builder).build().map_err(|error| {
                let error = error.without_url();
                SettingsError::Client { reason: causes(&error), source: error.into() }
            })
        };
        Ok(Self { pooled: build(IDLE_CONNECTION_COUNT_MAX)?, unpooled: build(0)? })
    }
}

/// The scheme is checked here, because reqwest silently ignores a proxy of an unknown kind.
fn parse_proxy(settings: &ProxySettings) -> Result<Proxy, SettingsError> {
    let ProxySettings { url: proxy, no_proxy } = settings;
    let is_known = matches!(proxy.scheme(), "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h");
    if !is_known || proxy.host().is_none() {
        let reason = "an http, https or socks URL with a host is needed".to_owned();
        return Err(SettingsError::Proxy { reason, source: None });
    }
    let all = Proxy::all(proxy.clone()).map_err(|error| {
        // The URL may hold a password.
        let error = error.without_url();
        SettingsError::Proxy { reason: causes(&error), source: Some(error.into()) }
    })?;
    if no_proxy.0.is_empty() {
        return Ok(all);
    }
    // The library's own rules know no ports.
    let (proxy, no_proxy) = (proxy.clone(), no_proxy.clone());
    Ok(Proxy::custom(move |url| (!no_proxy.covers(url)).then(|| proxy.clone())))
}

/// The proxies that reqwest takes from the environment.
fn environment_proxies() -> Vec<Url> {
    let keys = ["http_proxy", "https_proxy", "all_proxy"];
    let values = keys.iter().flat_map(|key| [std::env::var(key), std::env::var(key.to_uppercase())]);
    values.flatten().filter_map(|value| parse_environment_proxy(&value)).collect()
}

/// A proxy as the environment names it: a URL, or host and port alone.
fn parse_environment_proxy(value: &str) -> Option<Url> {
    let url = if value.contains("://") { Url::parse(value) } else { Url::parse(&format!("http://{value}")) };
    url.ok().filter(|url| url.host_str().is_some_and(|host| !host.is_empty()))
}

fn proxy_host(proxy: &Url) -> Option<String> {
    Some(proxy.host_str()?.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests;
