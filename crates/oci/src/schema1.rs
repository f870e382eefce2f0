//! Signed manifests of Docker's schema 1 (`application/vnd.docker.distribution.manifest.v1+prettyjws`).
//!
//! The signatures stand inside the document that they sign, and a registry may make them anew for each answer. So
//! the digest is over the document without them: its first `formatLength` bytes and, behind those, `formatTail`, as
//! the protected part of each signature says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::digest::{Algorithm, Digest};
use crate::loose::Loose;

/// The most signatures that are read; documents in the wild have one.
const SIGNATURE_COUNT_MAX: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ending {
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Loose,
    fs_layers: Loose,
}

impl Document {
    fn is_of_schema_1(&self) -> bool {
        self.schema_version.number() == Some(1) && matches!(self.fs_layers, Loose::List { .. })
    }
}

#[derive(Deserialize)]
struct Signature {
    protected: String,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Protected {
    format_length: usize,
    format_tail: String,
}

impl Digest {
    /// The digest that registries and clients give a manifest: of its bytes, or for a signed one of schema 1 of
    /// its bytes without the signatures.
    pub fn of_manifest(algorithm: Algorithm, bytes: &[u8]) -> Self {
        match signed_payload(bytes) {
            Some(payload) => Self::of(algorithm, &payload),
            None => Self::of(algorithm, bytes),
        }
    }

    /// Whether a manifest of these bytes has this digest, counted with its signatures or without them.
    pub fn is_of_manifest(&self, bytes: &[u8]) -> bool {
        Self::of(self.algorithm(), bytes) == *self
            || signed_payload(bytes).is_some_and(|payload| Self::of(self.algorithm(), &payload) == *self)
    }
}

/// The document without its signatures. None where there are none, or where anything else would be left out too:
/// what the digest does not cover must not say anything.
fn signed_payload(bytes: &[u8]) -> Option<Vec<u8>> {
    let at = find(bytes, br#""signatures""#)?;
    // What stands before the comma is the payload's, so the comma is where `formatLength` says.
    let comma = bytes[..at].iter().rposition(|byte| *byte == b',')?;
    let mut ending = b"{".to_vec();
    ending.extend_from_slice(&bytes[comma + 1..]);
    let Ending { signatures } = serde_json::from_slice(&ending).ok()?;
    if signatures.len() > SIGNATURE_COUNT_MAX {
        return None;
    }
    let mut protected = signatures.iter().map(|signature| read_protected(&signature.protected));
    let first = protected.next()??;
    let agree = protected.all(|other| other.as_ref() == Some(&first));
    if !agree || first.format_length > comma || !is_blank(&bytes[first.format_length..comma]) {
        return None;
    }
    let mut payload = bytes[..first.format_length].to_vec();
    payload.extend(decode(&first.format_tail)?);
    let document: Document = serde_json::from_slice(&payload).ok()?;
    // Manifests of any other kind are hashed with all that stands in them.
    document.is_of_schema_1().then_some(payload)
}

fn read_protected(text: &str) -> Option<Protected> {
    serde_json::from_slice(&decode(text)?).ok()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

/// The last place where `wanted` stands.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    (0..bytes.len().checked_sub(wanted.len())? + 1).rev().find(|at| bytes[*at..].starts_with(wanted))
}

#[cfg(test)]
mod tests;
