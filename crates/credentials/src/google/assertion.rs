//! An assertion that a service account signs with its key (RFC 7519, RFC 7523): RS256 over JSON.

use std::time::SystemTime;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secret::Secret;
use serde_json::json;

use crate::failure::Failure;

/// How long the assertion may be exchanged, in seconds. Google accepts an hour at most.
const LIFETIME_SECONDS: u64 = 600;

/// A service account's key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// PKCS #8, in PEM form.
    pub(super) pem: Secret<String>,
}

/// Returns the assertion of `email` for `audience`.
///
/// # Errors
/// A [`Failure`] for a key that cannot sign.
pub(super) fn signed(
    key: &Key,
    email: &str,
    scope: &str,
    audience: &str,
    now: SystemTime,
) -> Result<Secret<String>, Failure> {
    let unusable = || Failure::new("has a private_key that is no RSA key in PKCS #8 form");
    let issued_at = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let head = json!({ "alg": "RS256", "typ": "JWT", "kid": key.id });
    let claims = json!({
        "iss": email,
        "scope": scope,
        "aud": audience,
        "iat": issued_at,
        "exp": issued_at + LIFETIME_SECONDS,
    });
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(head), encode(claims));
    let pair =
        RsaKeyPair::from_pkcs8(&der(key.pem.expose()).ok_or_else(unusable)?).map_err(|_| unusable())?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| unusable())?;
    Ok(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// The bytes between the lines that begin and end a key in PEM form (RFC 7468).
fn der(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}
