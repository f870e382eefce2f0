//! The settings of one upstream.

use std::fmt;
use std::time::Duration;

use policy::no_proxy::NoProxy;
use policy::realm::TrustedHostError;
use secret::{RedactedUrl, Secret};
use url::Url;

/// The settings of one upstream.
#[derive(Clone)]
pub struct Settings {
    /// The registry's name, for metrics and logs.
    pub name: String,
    /// Scheme, host, port, and a path if the registry shares its host. The path behind a part `v2` is the
    /// prefix of each repository's name, and the path before it leads to the root. Without such a part it is
    /// one or the other, and requests find out which.
    pub upstream: Url,
    /// Further addresses of the same registry, which stand in for the first one while it fails, in this
    /// order. At most [`UPSTREAM_ADDRESS_COUNT_MAX`] addresses are useful.
    pub stand_ins: Vec<Url>,
    /// The sources of the logins.
    pub credentials: credentials::Settings,
    /// PEM files with certificate authorities to trust beside the system's and the bundled ones.
    pub ca: Vec<Vec<u8>>,
    /// A PEM text with a client certificate chain and its key, for the upstream's own hosts.
    pub client_identity: Option<Secret<Vec<u8>>>,
    /// Accepts any certificate from the upstream's own hosts. Others are still verified.
    pub insecure_skip_verify: bool,
    /// Further hosts of this upstream, `<host>` or `<host>:<port>`: they may be its token realm, may have a
    /// private address, and get the client certificate.
    pub trusted_hosts: Vec<String>,
    /// A proxy for all requests; `None` uses the environment's.
    pub proxy: Option<ProxySettings>,
    /// The longest wait for a connection: name resolution, TCP and TLS together.
    pub connect_timeout: Duration,
    /// The longest wait for the head of one answer, and for a whole manifest.
    pub header_timeout: Duration,
    /// The longest silence within a body.
    pub idle_timeout: Duration,
}

/// A proxy, and the hosts that are reached without it.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxySettings {
    /// The proxy's URL, with a login if it needs one.
    pub url: Url,
    /// The hosts that are reached without it.
    pub no_proxy: NoProxy,
}

impl ProxySettings {
    /// A proxy for all hosts.
    pub fn new(url: Url) -> Self {
        Self { url, no_proxy: NoProxy::default() }
    }
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = RedactedUrl::from(self.url.clone());
        f.debug_struct("ProxySettings").field("url", &url).field("no_proxy", &self.no_proxy).finish()
    }
}

/// The most addresses of one upstream.
pub const UPSTREAM_ADDRESS_COUNT_MAX: usize = 8;

/// Returns the longest connect timeout: nine tenths of the header timeout, so that a timeout while connecting
/// is reported as such.
pub fn connect_timeout_max(header_timeout: Duration) -> Duration {
    header_timeout / 10 * 9
}

impl Settings {
    /// The default of `connect_timeout`.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// The default of `header_timeout`.
    pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
    /// The default of `idle_timeout`.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

    /// The defaults for an upstream that is pulled from anonymously.
    pub fn new(name: impl Into<String>, upstream: Url) -> Self {
        Self {
            name: name.into(),
            upstream,
            stand_ins: Vec::new(),
            credentials: credentials::Settings::default(),
            ca: Vec::new(),
            client_identity: None,
            insecure_skip_verify: false,
            trusted_hosts: Vec::new(),
            proxy: None,
            connect_timeout: Self::CONNECT_TIMEOUT,
            header_timeout: Self::HEADER_TIMEOUT,
            idle_timeout: Self::IDLE_TIMEOUT,
        }
    }
}

impl Settings {
    /// The settings of each address alone, in order.
    pub fn of_addresses(&self) -> Vec<Self> {
        let alone =
            |upstream: &Url| Self { upstream: upstream.clone(), stand_ins: Vec::new(), ..self.clone() };
        std::iter::once(&self.upstream).chain(&self.stand_ins).map(alone).collect()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("upstream", &RedactedUrl::from(self.upstream.clone()))
            .field("stand_ins", &self.stand_ins.iter().cloned().map(RedactedUrl::from).collect::<Vec<_>>())
            .field("credentials", &self.credentials)
            .field("ca", &self.ca.len())
            .field("client_identity", &self.client_identity)
            .field("insecure_skip_verify", &self.insecure_skip_verify)
            .field("trusted_hosts", &self.trusted_hosts)
            .field("proxy", &self.proxy)
            .field("connect_timeout", &self.connect_timeout)
            .field("header_timeout", &self.header_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .finish()
    }
}

/// A library's error, kept as the source of ours.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Settings that cannot be used. The messages name the key.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// `upstream` is not such a URL.
    #[error("upstream: an http or https URL without user, query and fragment is needed")]
    Upstream,
    /// The path of `upstream` behind `/v2` is no repository name.
    #[error(
        "upstream: what stands behind /v2 goes in front of repository names, so it must be one itself, in lower case"
    )]
    UpstreamPath,
    /// An entry of `trusted_hosts`.
    #[error("trusted_hosts: {text:?}: {source}")]
    TrustedHost {
        /// The entry.
        text: String,
        /// The parser's reason.
        source: TrustedHostError,
    },
    /// `ca_file` has no certificate, or one that cannot be used.
    #[error("ca_file: {reason}")]
    Ca {
        /// The mistake, in words.
        reason: String,
        /// The parser's error.
        source: Option<Cause>,
    },
    /// `client_cert` and `client_key` are no pair.
    #[error("client_cert, client_key: {reason}")]
    ClientIdentity {
        /// The mistake, in words.
        reason: String,
        /// The parser's error.
        source: Option<Cause>,
    },
    /// `proxy` is no URL of a proxy.
    #[error("proxy: {reason}")]
    Proxy {
        /// The mistake, in words, without the URL: it may hold a password.
        reason: String,
        /// The client's error.
        source: Option<Cause>,
    },
    /// The HTTP client could not be built.
    #[error("http client: {reason}")]
    Client {
        /// The causes on one line.
        reason: String,
        /// The client's error.
        source: Cause,
    },
}

#[cfg(test)]
mod tests;
