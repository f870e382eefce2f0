//! TLS towards clients: handshakes with the certificates in force, and the session behind each request.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use certificates::challenges::{Challenges, TLS_PROTOCOL};
use certificates::{Certificate, CertificateSet, Certificates, ForAddress};
use policy::host_port::HostPort;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, NoServerSessionStorage};
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use crate::settings::TlsSettings;

/// The TLS of the public listeners. It can change while they stay.
#[derive(Debug)]
pub(crate) struct Tls {
    certificates: Arc<Certificates>,
    configs: ArcSwap<Configs>,
    challenges: Arc<Challenges>,
    /// Notified when the certificates are replaced.
    pub(crate) changed: Notify,
}

/// The configurations of handshakes.
#[derive(Debug)]
struct Configs {
    any: Arc<ServerConfig>,
    /// Those for addresses that a certificate names: rustls does not tell a resolver the address.
    by_address: HashMap<IpAddr, Arc<ServerConfig>>,
    client_verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Tls {
    pub(crate) fn new(settings: &TlsSettings, challenges: Arc<Challenges>) -> Arc<Self> {
        let certificates = Arc::new(Certificates::new(settings.certificates.clone()));
        let configs = ArcSwap::from_pointee(Configs::new(settings, &certificates));
        Arc::new(Self { certificates, configs, challenges, changed: Notify::new() })
    }

    /// Uses `settings` for every later connection.
    pub(crate) fn replace(&self, settings: &TlsSettings) {
        let before = self.configs.load();
        if !before.has_verifier(settings) {
            // With the configuration go its sessions: a resumed one would carry a verdict of the old rule.
            self.configs.store(Arc::new(Configs::new(settings, &self.certificates)));
        } else if !before.has_addresses(&settings.certificates) {
            self.configs.store(Arc::new(before.with_addresses(&settings.certificates, &self.certificates)));
        }
        if self.certificates.replace(settings.certificates.clone()) {
            self.changed.notify_one();
        }
    }

    /// Shows the certificates that an authority issued, in every later handshake.
    pub(crate) fn obtain(&self, obtained: Vec<Certificate>) {
        if self.certificates.obtain(obtained) {
            self.changed.notify_one();
        }
    }

    /// The certificates in force.
    pub(crate) fn certificates(&self) -> CertificateSet {
        self.certificates.current()
    }

    /// Performs the handshake with a client.
    ///
    /// # Errors
    /// If the client closes, speaks no TLS, or refuses the certificate; and after a handshake that answered
    /// a challenge, because nothing follows it.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.configs.load().of(&stream);
        if !self.challenges.has_tls() {
            return TlsAcceptor::from(config).accept(stream).await;
        }
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let is_challenge =
            start.client_hello().alpn().is_some_and(|mut all| all.any(|protocol| protocol == TLS_PROTOCOL));
        if !is_challenge {
            return start.into_stream(config).await;
        }
        let mut stream = start.into_stream(Arc::new(self.challenge_config())).await?;
        stream.shutdown().await?;
        Err(io::Error::other("the handshake answered a challenge of an authority"))
    }

    /// The configuration that answers a challenge (RFC 8737, section 3).
    fn challenge_config(&self) -> ServerConfig {
        let resolver = Arc::<Challenges>::clone(&self.challenges);
        let mut config = builder().with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![TLS_PROTOCOL.to_vec()];
        config
    }
}

impl Configs {
    fn new(settings: &TlsSettings, certificates: &Arc<Certificates>) -> Self {
        let any = Arc::new(config(settings, certificates));
        let client_verifier = settings.client_verifier.clone();
        let bare = Self { any, by_address: HashMap::new(), client_verifier };
        bare.with_addresses(&settings.certificates, certificates)
    }

    /// The same with a configuration for each address that `set` names. They share sessions and tickets.
    fn with_addresses(&self, set: &CertificateSet, certificates: &Arc<Certificates>) -> Self {
        let for_address = |address| {
            let mut config = ServerConfig::clone(&self.any);
            config.cert_resolver = Arc::new(ForAddress::new(Arc::clone(certificates), address));
            (address, Arc::new(config))
        };
        Self {
            any: Arc::clone(&self.any),
            by_address: set.addresses().map(for_address).collect(),
            client_verifier: self.client_verifier.clone(),
        }
    }

    fn has_addresses(&self, set: &CertificateSet) -> bool {
        let named: HashSet<IpAddr> = set.addresses().collect();
        named.len() == self.by_address.len()
            && named.iter().all(|address| self.by_address.contains_key(address))
    }

    fn has_verifier(&self, settings: &TlsSettings) -> bool {
        match (&self.client_verifier, &settings.client_verifier) {
            (None, None) => true,
            (Some(before), Some(after)) => Arc::ptr_eq(before, after),
            _ => false,
        }
    }

    fn of(&self, stream: &TcpStream) -> Arc<ServerConfig> {
        let by_address = || {
            let address = stream.local_addr().ok()?.ip().to_canonical();
            self.by_address.get(&address)
        };
        // Most sets name no address; then no system call is made.
        let found = if self.by_address.is_empty() { None } else { by_address() };
        Arc::clone(found.unwrap_or(&self.any))
    }
}

/// TLS 1.2 and 1.3, which offer only HTTP/1.1 (RFC 7301).
fn config(settings: &TlsSettings, certificates: &Arc<Certificates>) -> ServerConfig {
    let builder = match &settings.client_verifier {
        Some(verifier) => builder().with_client_cert_verifier(Arc::clone(verifier)),
        None => builder().with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::<Certificates>::clone(certificates));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if settings.client_verifier.is_some() {
        // A resumed session would carry the verdict on a certificate that has expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config
}

fn builder() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
}

/// The TLS session of a connection. Each of its requests carries it; a request without one came in plain
/// text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSession {
    /// The server name in the client's hello (RFC 6066, section 3). `None` if the client sent none, as
    /// clients do that connect to an IP address.
    name: Option<Arc<str>>,
    /// The names in the client's certificate, which was verified. `None` if the client sent none.
    client: Option<Arc<[String]>>,
}

impl TlsSession {
    pub(crate) fn of(stream: &TlsStream<TcpStream>) -> Self {
        let connection = stream.get_ref().1;
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        Self {
            name: connection.server_name().map(Arc::from),
            client: certificate.map(|it| certificates::client::names(it).into()),
        }
    }

    /// The names in the client's certificate.
    pub(crate) fn client(&self) -> Option<&Arc<[String]>> {
        self.client.as_ref()
    }

    #[cfg(test)]
    pub(crate) fn new(name: Option<&str>) -> Self {
        Self { name: name.map(Arc::from), client: None }
    }

    /// Whether a `Host`, with or without a port, may be requested here: it is the server name, or the client
    /// sent none.
    pub(crate) fn admits(&self, authority: &str) -> bool {
        let Some(name) = &self.name else { return true };
        let host = HostPort::split(authority).map_or(authority, |(host, _)| host);
        host.trim_end_matches('.').eq_ignore_ascii_case(name.trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests;
