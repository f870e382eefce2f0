//! The note of last uses.
//!
//! It begins with `uses`, a version and two counts; then come as many rows of a key (8 bytes) and a time (4
//! bytes) for manifests and for blobs, and the SHA-256 digest of everything before, in hex. Numbers are
//! little-endian.

use bytes::Bytes;
use oci::{Algorithm, Digest, Repository};

use crate::clock::Seconds;
use crate::short_digest::key_of;

/// The note's name in the store.
pub(crate) const NAME: &str = "uses";

const MAGIC: &[u8; 4] = b"uses";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 16;
const ROW_BYTES: usize = 12;
const HASH_BYTES: usize = 64;

/// Last uses by key, sorted.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    pub(crate) manifests: Vec<(u64, Seconds)>,
    pub(crate) blobs: Vec<(u64, Seconds)>,
}

impl Uses {
    /// Reads a note. `None`: it is damaged, or of a version that this program does not know.
    pub(crate) fn parse(note: &[u8]) -> Option<Self> {
        let (body, hash) = note.split_at_checked(note.len().checked_sub(HASH_BYTES)?)?;
        if Digest::of(Algorithm::Sha256, body).hex().as_bytes() != hash || body.get(..4)? != MAGIC {
            return None;
        }
        let number =
            |at: usize| body.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        if number(4)? != VERSION {
            return None;
        }
        let manifest_bytes = (number(8)? as usize).checked_mul(ROW_BYTES)?;
        let blob_bytes = (number(12)? as usize).checked_mul(ROW_BYTES)?;
        let rows = body.get(HEAD_BYTES..)?;
        if rows.len() != manifest_bytes.checked_add(blob_bytes)? {
            return None;
        }
        let (manifests, blobs) = rows.split_at_checked(manifest_bytes)?;
        Some(Self { manifests: sorted(parse_rows(manifests)), blobs: sorted(parse_rows(blobs)) })
    }

    /// The note's text.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let row_count = self.manifests.len() + self.blobs.len();
        let mut note = Vec::with_capacity(HEAD_BYTES + row_count * ROW_BYTES + HASH_BYTES);
        note.extend_from_slice(MAGIC);
        let count = |rows: &[_]| u32::try_from(rows.len()).expect("fewer contents than u32::MAX");
        for number in [VERSION, count(&self.manifests), count(&self.blobs)] {
            note.extend_from_slice(&number.to_le_bytes());
        }
        for (key, used) in self.manifests.iter().chain(&self.blobs) {
            note.extend_from_slice(&key.to_le_bytes());
            note.extend_from_slice(&used.to_le_bytes());
        }
        let hash = Digest::of(Algorithm::Sha256, &note);
        note.extend_from_slice(hash.hex().as_bytes());
        note.into()
    }

    /// The last use of a repository's manifest.
    pub(crate) fn of_manifest(&self, repository: &Repository, digest: &Digest) -> Option<Seconds> {
        find(&self.manifests, manifest_key(repository, digest))
    }

    /// The last use of a blob.
    pub(crate) fn of_blob(&self, digest: &Digest) -> Option<Seconds> {
        find(&self.blobs, key_of(digest))
    }
}

/// The key of a repository's manifest. It is the same in every process, which the hashes of the standard
/// library are not.
pub(crate) fn manifest_key(repository: &Repository, digest: &Digest) -> u64 {
    // FNV-1a.
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let hash = repository.as_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fold);
    hash ^ key_of(digest).rotate_left(17)
}

fn find(rows: &[(u64, Seconds)], key: u64) -> Option<Seconds> {
    rows.binary_search_by_key(&key, |(key, _)| *key).ok().map(|at| rows[at].1).filter(|used| *used > 0)
}

fn sorted(mut rows: Vec<(u64, Seconds)>) -> Vec<(u64, Seconds)> {
    rows.sort_unstable();
    rows
}

fn parse_rows(bytes: &[u8]) -> Vec<(u64, Seconds)> {
    let rows = bytes.chunks_exact(ROW_BYTES).map(|row| {
        let (key, used) = row.split_at(8);
        let key = u64::from_le_bytes(key.try_into().expect("eight bytes"));
        (key, Seconds::from_le_bytes(used.try_into().expect("four bytes")))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_come_back_and_a_damaged_note_is_none() {
        let repository: Repository = "library/alpine".parse().unwrap();
        let digest = Digest::of(Algorithm::Sha256, b"a");
        let key = manifest_key(&repository, &digest);
        let uses = Uses { manifests: vec![(key, 7), (1, 2)], blobs: vec![(key_of(&digest), 9)] };
        let note = uses.to_bytes();
        let read = Uses::parse(&note).unwrap();
        assert_eq!((read.of_manifest(&repository, &digest), read.of_blob(&digest)), (Some(7), Some(9)));
        let other = Digest::of(Algorithm::Sha256, b"b");
        assert_eq!((read.of_manifest(&repository, &other), read.of_blob(&other)), (None, None));
        for at in 0..note.len() {
            let mut damaged = note.to_vec();
            damaged[at] ^= 1;
            assert!(Uses::parse(&damaged).is_none(), "byte {at}");
            assert!(Uses::parse(&note[..at]).is_none(), "{at} bytes");
        }
        assert!(Uses::parse(&Uses::default().to_bytes()).is_some());
    }
}
