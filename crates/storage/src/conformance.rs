//! The suite that every engine has to pass.
//!
//! Behind the feature `conformance`. A case that fails panics and says what it expected.

#![allow(clippy::unwrap_used, reason = "a suite of tests: every failure is to be loud")]

mod blobs;
mod records;
mod spools;
mod upkeep;

use bytes::Bytes;
use oci::{Algorithm, Digest};

use crate::content::OpenBlob;
use crate::maintain::Store;
use crate::record_store::{HeldManifest, StoredManifest};

/// An engine under test: one place in which its stores are.
pub trait Engine {
    /// Its store.
    type Store: Store;

    /// Opens the store, with everything that earlier stores of this place were given. Called again only after
    /// the earlier one and its spools were dropped.
    fn open(&self) -> Self::Store;
}

/// Runs every case, each in a place of its own.
///
/// # Panics
/// When the engine fails one.
pub async fn run<E: Engine>(new_place: impl Fn() -> E) {
    blobs::run(&new_place).await;
    spools::run(&new_place).await;
    records::run(&new_place).await;
    upkeep::run(&new_place).await;
}

/// Bytes that repeat nowhere near, and their digest.
pub(crate) fn content(len: usize, algorithm: Algorithm) -> (Bytes, Digest) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ len as u64;
    let bytes: Bytes = std::iter::repeat_with(|| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(len)
    .collect();
    let digest = Digest::of(algorithm, &bytes);
    (bytes, digest)
}

/// Reads `[offset, end)` in both ways a reader has, and expects them to agree.
pub(crate) async fn read(blob: &OpenBlob, offset: u64, end: u64) -> Vec<u8> {
    let (mut at, mut bytes) = (offset, Vec::new());
    while at < end {
        let rest = usize::try_from(end - at).unwrap();
        let waited = blob.read(at, rest.min(300_000)).await.unwrap();
        assert!(!waited.is_empty(), "nothing to read at {at}, {rest} bytes before the end");
        if let Some(cached) = blob.try_read(at, rest.min(300_000)).unwrap() {
            assert!(waited.starts_with(&cached) && !cached.is_empty());
        }
        at += waited.len() as u64;
        bytes.extend_from_slice(&waited);
    }
    bytes
}

/// The manifest that was found, which must be in memory.
pub(crate) fn whole(found: Option<HeldManifest>) -> Option<StoredManifest> {
    found.map(|found| match found {
        HeldManifest::Whole(manifest) => manifest,
        HeldManifest::File { .. } => panic!("a small manifest is a file"),
    })
}

/// Cuts content into pieces of `piece_len` bytes, as they come from a network.
pub(crate) fn pieces(bytes: &Bytes, piece_len: usize) -> Vec<Bytes> {
    (0..bytes.len()).step_by(piece_len).map(|at| bytes.slice(at..bytes.len().min(at + piece_len))).collect()
}
