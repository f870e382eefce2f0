//! The settings of an authority.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use credentials::ProcessSettings;
use secret::Secret;
use url::Url;

/// An authority, and its way to validate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The URL of its directory (RFC 8555, section 7.1.1).
    pub directory: Url,
    /// Mail addresses for its messages.
    pub contact: Vec<String>,
    /// The account at the authority that this one belongs to (section 7.3.4).
    pub binding: Option<Binding>,
    /// The challenge by which it validates names.
    pub challenge: Challenge,
}

/// A key that the authority gave out for external account binding.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The name of the key.
    pub key_id: String,
    /// The key itself.
    pub key: Secret<Vec<u8>>,
}

/// The challenge by which an authority validates a name (RFC 8555, section 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A request over plain HTTP at port 80 of the name.
    Http,
    /// A handshake at port 443 of the name (RFC 8737).
    Tls,
    /// A TXT record below the name.
    Dns {
        /// The way to make the record.
        by: Dns,
        /// The time that the servers of the zone get to learn the record.
        wait: Duration,
    },
}

/// The way to make and remove a TXT record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dns {
    /// By updates to the server of the zone (RFC 2136).
    Update(UpdateSettings),
    /// By a program, with the further arguments `present` or `cleanup`, the record's name and its value.
    Hook(ProcessSettings),
}

/// A server that takes updates.
#[derive(Clone, Debug)]
pub struct UpdateSettings {
    /// Its address.
    pub server: SocketAddr,
    /// The server that follows aliases; by default the same.
    pub resolver: SocketAddr,
    /// The name of the key that signs updates (RFC 8945).
    pub key_name: String,
    /// The algorithm of the key.
    pub algorithm: Algorithm,
    /// The key itself.
    pub key: Secret<Vec<u8>>,
}

/// The algorithm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Sha256,
    /// HMAC with SHA-384.
    Sha384,
    /// HMAC with SHA-512.
    Sha512,
}

impl Challenge {
    /// Its name in ACME.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::Tls => "tls-alpn-01",
            Self::Dns { .. } => "dns-01",
        }
    }

    /// Whether it starts a program.
    pub fn starts_programs(&self) -> bool {
        matches!(self, Self::Dns { by: Dns::Hook(_), .. })
    }
}

/// Reads a key in base64 (RFC 4648), with either alphabet and with or without padding; `None` if it is none.
pub fn decode_key(text: &str) -> Option<Secret<Vec<u8>>> {
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let text = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    let key = STANDARD_NO_PAD.decode(text).ok().filter(|key| !key.is_empty())?;
    Some(Secret::new(key))
}

impl PartialEq for Binding {
    fn eq(&self, other: &Self) -> bool {
        let Self { key_id, key } = self;
        *key_id == other.key_id && key.expose() == other.key.expose()
    }
}

impl Eq for Binding {}

impl PartialEq for UpdateSettings {
    fn eq(&self, other: &Self) -> bool {
        let Self { server, resolver, key_name, algorithm, key } = self;
        (server, resolver, key_name, algorithm)
            == (&other.server, &other.resolver, &other.key_name, &other.algorithm)
            && key.expose() == other.key.expose()
    }
}

impl Eq for UpdateSettings {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_each_form_of_base64() {
        for text in ["+/8A", "-_8A", " +/8A\n"] {
            assert_eq!(decode_key(text).unwrap().expose(), &[0xfb, 0xff, 0]);
        }
        for text in ["AA==", "AA"] {
            assert_eq!(decode_key(text).unwrap().expose(), &[0]);
        }
        for text in ["", "no key!", "="] {
            assert!(decode_key(text).is_none(), "{text:?}");
        }
    }
}
