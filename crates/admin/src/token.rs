//! The admin token, compared in constant time.

use std::fmt;

use http::HeaderValue;
use oci::{Algorithm, Digest};
use secret::Secret;
use subtle::ConstantTimeEq;

/// A token, stored as its digest. Digests have a fixed length, so a comparison takes the same time for any
/// input.
pub(crate) struct Token(Digest);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A printed digest would let an attacker guess a short token offline.
        f.write_str("***")
    }
}

impl Token {
    /// Creates the token from its configured text.
    pub(crate) fn new(token: &Secret<String>) -> Self {
        Self(digest(token.expose().as_bytes()))
    }

    /// Whether an `Authorization` header carries it (RFC 6750, section 2.1).
    pub(crate) fn is_given(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some((scheme, token)) = authorization.and_then(|value| value.to_str().ok()?.split_once(' '))
        else {
            return false;
        };
        let given = digest(token.trim().as_bytes());
        let is_equal = self.0.hex().as_bytes().ct_eq(given.hex().as_bytes());
        bool::from(is_equal) && scheme.eq_ignore_ascii_case("bearer")
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

#[cfg(test)]
mod tests;
