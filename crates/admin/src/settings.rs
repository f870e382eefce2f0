//! The settings of the admin listener.

use std::net::SocketAddr;

use secret::Secret;

/// The admin listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its address. The configuration allows only loopback without a token.
    pub listen: SocketAddr,
    /// The token that clients must send as `Authorization: Bearer`; `None` if none is required.
    pub token: Option<Secret<String>>,
    /// The host names that clients without the token may use, besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

impl Settings {
    /// A listener on `listen` without a token and without further names.
    pub fn new(listen: SocketAddr) -> Self {
        Self { listen, token: None, hosts: Vec::new() }
    }
}
