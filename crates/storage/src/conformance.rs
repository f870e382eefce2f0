//! The suite that every engine must pass.
//!
//! Behind the feature `conformance`. A failed case panics and says what it expected.

#![allow(clippy::unwrap_used, reason = "a suite of tests: every failure is to be loud")]

mod blobs;
mod records;
mod removal;
mod spools;
mod upkeep;

use bytes::Bytes;
use oci::{Algorithm, Digest};

use crate::content::OpenBlob;
use crate::maintain::Store;
use crate::record_store::{HeldManifest, StoredManifest};

/// An engine under test: one place for its stores.
pub trait Engine {
    /// Its store.
    type Store: Store;

    /// Opens the store, with the content of earlier stores of this place. Called again only after the earlier
    /// one and its spools were dropped.
    fn open(&self) -> Self::Store;
}

/// Runs every case, each in its own place.
///
/// # Panics
/// When the engine fails a case.
pub async fn run<E: Engine>(new_place: impl Fn() -> E) {
    blobs::run(&new_place).await;
    spools::run(&new_place).await;
    records::run(&new_place).await;
    removal::run(&new_place).await;
    upkeep::run(&new_place).await;
}

/// Pseudorandom bytes and their digest.
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

/// Reads `[offset, end)` in both ways, and expects the same bytes.
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

/// The found manifest, which must be in memory.
pub(crate) fn whole(found: Option<HeldManifest>) -> Option<StoredManifest> {
    found.map(|found| match found {
        HeldManifest::Whole(manifest) => manifest,
        HeldManifest::File { .. } => panic!("a small manifest is a file"),
    })
}

/// Cuts content into pieces of `piece_len` bytes, like chunks from a network.
pub(crate) fn pieces(bytes: &Bytes, piece_len: usize) -> Vec<Bytes> {
    (0..bytes.len()).step_by(piece_len).map(|at| bytes.slice(at..bytes.len().min(at + piece_len))).collect()
}
