//! The listeners' addresses and the bounds on what one client can take up.

use std::net::SocketAddr;
use std::time::Duration;

use policy::capacity;

use crate::tls::TlsIdentity;

/// Where the server listens and how long it waits. Every wait of a connection is one of these.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses of the public listener.
    pub listen: Vec<SocketAddr>,
    /// Further addresses of the public listener, where it speaks TLS.
    pub tls: Option<TlsSettings>,
    /// Whether stored blobs are handed to the kernel as files (`sendfile`) instead of being copied through
    /// this process.
    pub sendfile: bool,
    /// Client connections open at once. Further clients are turned away.
    pub connection_count_max: usize,
    /// How many of them one client may have: one IPv4 address, or one IPv6 network of 64 bits.
    pub client_connection_count_max: usize,
    /// Requests that are being answered at once, waiting for the upstream or sending a body. A further one is
    /// refused at once: with more, each would only become slower, and hold its buffers and files longer.
    pub answer_count_max: usize,
    /// From the first byte of a request to the end of its head.
    pub header_wait_max: Duration,
    /// How long a connection is kept between two requests. Clients keep theirs for up to 120 s, and one that
    /// is closed just as it is used again costs the client an error.
    pub idle_max: Duration,
    /// How long an answer may make no progress because the client does not read.
    pub stall_max: Duration,
    /// How long an answer may make no progress because nothing comes for it. Longer than anything that it may
    /// wait for.
    pub silence_max: Duration,
    /// The same for a client that has shut its sending side: it may read on, but nothing tells it from one that
    /// has left.
    pub half_closed_max: Duration,
    /// How long a request waits for an answer to begin before it is told 504.
    pub answer_wait_max: Duration,
    /// After the last answer of a connection: how long the client has to take notice and close its side.
    pub linger_max: Duration,
    /// How long running answers may go on once the server is told to stop.
    pub shutdown_grace: Duration,
}

/// The public listener where it speaks TLS.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Its addresses.
    pub listen: Vec<SocketAddr>,
    /// Whom clients meet there.
    pub identity: TlsIdentity,
}

impl Settings {
    /// The default of `sendfile`.
    pub const SENDFILE: bool = true;
    /// The default of `shutdown_grace`.
    pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(60);

    /// The defaults for these addresses.
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
