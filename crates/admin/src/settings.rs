//! The settings of the admin listener.

use secret::Secret;
use server::ListenAddress;

/// The admin listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its address. The configuration allows only loopback and socket files without a token.
    pub listen: ListenAddress,
    /// The token that clients must send as `Authorization: Bearer`; `None` if none is required.
    pub token: Option<Secret<String>>,
    /// The host names that clients without the token may use, besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

impl Settings {
    /// A listener on `listen` without a token and without further names.
    pub fn new(listen: impl Into<ListenAddress>) -> Self {
        Self { listen: listen.into(), token: None, hosts: Vec::new() }
    }
}
