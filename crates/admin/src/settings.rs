//! Where the admin listener is and who may ask it.

use std::net::SocketAddr;

use secret::Secret;

/// The admin listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its address; loopback unless a token is set (the configuration sees to that).
    pub listen: SocketAddr,
    /// What a client must send as `Authorization: Bearer`; none: every client may ask.
    pub token: Option<Secret<String>>,
    /// The host names that a client may use without the token, beside addresses and `localhost`.
    pub hosts: Vec<String>,
}

impl Settings {
    /// A listener on `listen` that asks for no token and knows no further name.
    pub fn new(listen: SocketAddr) -> Self {
        Self { listen, token: None, hosts: Vec::new() }
    }
}
