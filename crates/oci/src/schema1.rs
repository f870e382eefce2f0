//! Signed manifests of Docker's schema 1 (`application/vnd.docker.distribution.manifest.v1+prettyjws`).
//!
//! The signatures are part of the document that they sign, and a registry may sign again for each answer. So
//! the digest covers the document without them: its first `formatLength` bytes followed by `formatTail`, as
//! the protected part of each signature says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::digest::{Algorithm, Digest};
use crate::lenient::LenientValue;

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
    schema_version: LenientValue,
    fs_layers: LenientValue,
}

impl Document {
    fn is_of_schema_1(&self) -> bool {
        self.schema_version.number() == Some(1) && matches!(self.fs_layers, LenientValue::List { .. })
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
    /// Returns the digest by which registries and clients know a manifest: the hash of its bytes, or for a
    /// signed schema 1 manifest the hash without the signatures.
    pub fn of_manifest(algorithm: Algorithm, bytes: &[u8]) -> Self {
        match signed_payload(bytes) {
            Some(payload) => Self::of(algorithm, &payload),
            None => Self::of(algorithm, bytes),
        }
    }

    /// Tells whether a manifest of these bytes has this digest, with or without its signatures.
    pub fn is_of_manifest(&self, bytes: &[u8]) -> bool {
        Self::of(self.algorithm(), bytes) == *self
            || signed_payload(bytes).is_some_and(|payload| Self::of(self.algorithm(), &payload) == *self)
    }
}

/// Returns the document without its signatures. `None` means that it has none, or that other properties would
/// be left out too: bytes that the digest does not cover must carry no meaning.
fn signed_payload(bytes: &[u8]) -> Option<Vec<u8>> {
    let at = find(bytes, br#""signatures""#)?;
    // The payload ends before this comma, so `formatLength` must point there.
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
    // The digest of every other kind of manifest covers the whole document.
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

/// Returns the last offset of `wanted`.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    (0..bytes.len().checked_sub(wanted.len())? + 1).rev().find(|at| bytes[*at..].starts_with(wanted))
}

#[cfg(test)]
mod tests;
