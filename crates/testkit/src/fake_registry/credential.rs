//! Parses the `Authorization` header (RFC 9110 section 11.6.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The credential of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// RFC 7617.
    Basic {
        /// The name, decoded.
        user: String,
        /// The password, decoded.
        password: String,
    },
    /// RFC 6750.
    Bearer(String),
    /// The whole header, when it is neither or malformed.
    Other(String),
}

impl Credential {
    pub(crate) fn parse(header: &str) -> Self {
        Self::known(header).unwrap_or_else(|| Self::Other(header.to_owned()))
    }

    fn known(header: &str) -> Option<Self> {
        let (scheme, rest) = header.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Self::Basic { user: user.to_owned(), password: password.to_owned() })
    }
}

#[cfg(test)]
mod tests;
