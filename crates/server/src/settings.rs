//! The listeners' addresses, and the bounds on connections, requests and waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certificates::CertificateSet;
use policy::capacity;
use rustls::server::danger::ClientCertVerifier;

/// The addresses, bounds and deadlines of a server. Every wait of a connection has a deadline here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses of the public listener.
    pub listen: Vec<SocketAddr>,
    /// Further public listeners, which speak TLS.
    pub tls: Option<TlsSettings>,
    /// Whether the kernel sends stored blobs as files (`sendfile`), without copies through this process.
    pub sendfile: bool,
    /// Client connections open at once. Further ones get a refusal.
    pub connection_count_max: usize,
    /// Connections of one client: one IPv4 address, or one IPv6 /64 network.
    pub client_connection_count_max: usize,
    /// Requests answered at once, whether they wait for the upstream or send a body. A further one is
    /// refused: more would only make each slower, and hold buffers and files longer.
    pub answer_count_max: usize,
    /// From the first byte of a request to the end of its head.
    pub header_wait_max: Duration,
    /// The time that a connection may be idle. Clients keep idle connections for up to 120 s, and a
    /// connection that closes just as the client reuses it causes an error there.
    pub idle_max: Duration,
    /// The time that an answer may make no progress because the client does not read.
    pub stall_max: Duration,
    /// The time that an answer may make no progress because no content comes. Longer than every other wait of
    /// an answer.
    pub silence_max: Duration,
    /// The same for a client that has shut its sending side. It may still read, but looks like one that left.
    pub half_closed_max: Duration,
    /// The time until an answer must begin; after it the client gets 504.
    pub answer_wait_max: Duration,
    /// The time that the client has to close its side after the last answer.
    pub linger_max: Duration,
    /// The time that running answers have once the server stops.
    pub shutdown_grace: Duration,
}

/// The public TLS listeners.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Their addresses.
    pub listen: Vec<SocketAddr>,
    /// Their certificates.
    pub certificates: CertificateSet,
    /// The port of TLS to which the plain listeners redirect. `None`: they serve.
    pub redirect_port: Option<u16>,
    /// Decides about certificates of clients. `None`: the handshake asks for none.
    pub client_verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl TlsSettings {
    /// Listeners at these addresses that ask for no certificates of clients, beside plain ones that serve.
    pub fn new(listen: Vec<SocketAddr>, certificates: CertificateSet) -> Self {
        Self { listen, certificates, redirect_port: None, client_verifier: None }
    }
}

impl Settings {
    /// The default of `sendfile`.
    pub const SENDFILE: bool = true;
    /// The default of `shutdown_grace`.
    pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(60);

    /// Default settings for these addresses.
    pub fn new(listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            tls: None,
            sendfile: Self::SENDFILE,
            connection_count_max: capacity::CONNECTIONS,
            client_connection_count_max: capacity::CONNECTIONS / 2,
            answer_count_max: capacity::ANSWERS,
            header_wait_max: Duration::from_secs(10),
            idle_max: Duration::from_secs(150),
            stall_max: Duration::from_secs(60),
            silence_max: Duration::from_secs(60),
            half_closed_max: Duration::from_secs(10),
            answer_wait_max: Duration::from_secs(20),
            linger_max: Duration::from_secs(2),
            shutdown_grace: Self::SHUTDOWN_GRACE,
        }
    }
}
