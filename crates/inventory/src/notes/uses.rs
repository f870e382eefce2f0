//! The note of last uses.
//!
//! It begins with `uses`, a version and two counts, and the state of the clock: the wall clock's time of the
//! writing (since 1970), how far that is behind the furthest time that it has shown, and how long nothing
//! goes because it was not used (seconds, 8 bytes each). Then come as many rows of a key (8 bytes) and an age
//! (seconds before that time, 4 bytes) for manifests and for blobs, and the SHA-256 digest of everything
//! before, in hex. Numbers are little-endian. Ages hold whatever the wall clock shows, then and later.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use oci::{Algorithm, Digest, Repository};
use policy::elapsed::PAUSE_COUNTED_MAX;

use crate::clock::Handover;
use crate::short_digest::key_of;

/// The note's name in the store.
pub(crate) const NAME: &str = "uses";

const MAGIC: &[u8; 4] = b"uses";
const VERSION: u32 = 3;
const HEAD_BYTES: usize = 40;
const ROW_BYTES: usize = 12;
const HASH_BYTES: usize = 64;

/// The time since a last use, in seconds.
type Age = u32;

/// Last uses by key, sorted.
#[derive(Debug)]
pub(crate) struct Uses {
    /// The clock when the note is written.
    pub(crate) clock: Handover,
    pub(crate) manifests: Vec<(u64, Age)>,
    pub(crate) blobs: Vec<(u64, Age)>,
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
        let (manifests, blobs) = (sorted(parse_rows(manifests)), sorted(parse_rows(blobs)));
        let seconds = |at: usize| {
            let bytes = body.get(at..at + 8)?.try_into().ok()?;
            Some(Duration::from_secs(u64::from_le_bytes(bytes)))
        };
        let at = UNIX_EPOCH.checked_add(seconds(16)?)?;
        let clock = Handover { at, behind: seconds(24)?, rest: seconds(32)?.min(PAUSE_COUNTED_MAX) };
        Some(Self { clock, manifests, blobs })
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
        let Handover { at, behind, rest } = self.clock;
        for time in [at.duration_since(UNIX_EPOCH).unwrap_or_default(), behind, rest] {
            note.extend_from_slice(&time.as_secs().to_le_bytes());
        }
        for (key, age) in self.manifests.iter().chain(&self.blobs) {
            note.extend_from_slice(&key.to_le_bytes());
            note.extend_from_slice(&age.to_le_bytes());
        }
        let hash = Digest::of(Algorithm::Sha256, &note);
        note.extend_from_slice(hash.hex().as_bytes());
        note.into()
    }

    /// The time between the last use of a repository's manifest and the note.
    pub(crate) fn of_manifest(&self, repository: &Repository, digest: &Digest) -> Option<Duration> {
        find(&self.manifests, manifest_key(repository, digest))
    }

    /// The time between the last use of a blob and the note.
    pub(crate) fn of_blob(&self, digest: &Digest) -> Option<Duration> {
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

fn find(rows: &[(u64, Age)], key: u64) -> Option<Duration> {
    let at = rows.binary_search_by_key(&key, |(key, _)| *key).ok()?;
    Some(Duration::from_secs(rows[at].1.into()))
}

fn sorted(mut rows: Vec<(u64, Age)>) -> Vec<(u64, Age)> {
    rows.sort_unstable();
    rows
}

fn parse_rows(bytes: &[u8]) -> Vec<(u64, Age)> {
    let rows = bytes.chunks_exact(ROW_BYTES).map(|row| {
        let (key, age) = row.split_at(8);
        let key = u64::from_le_bytes(key.try_into().expect("eight bytes"));
        (key, Age::from_le_bytes(age.try_into().expect("four bytes")))
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
        let at = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let seconds = Duration::from_secs;
        let clock = Handover { at, behind: seconds(70 * 365 * 86_400), rest: seconds(50_000) };
        let uses = Uses { clock, manifests: vec![(key, 7), (1, 2)], blobs: vec![(key_of(&digest), 9)] };
        let note = uses.to_bytes();
        let read = Uses::parse(&note).unwrap();
        let ages = [7, 9].map(|age| Some(seconds(age)));
        assert_eq!([read.of_manifest(&repository, &digest), read.of_blob(&digest)], ages);
        assert_eq!(read.clock, clock);
        let other = Digest::of(Algorithm::Sha256, b"b");
        assert_eq!((read.of_manifest(&repository, &other), read.of_blob(&other)), (None, None));
        for at in 0..note.len() {
            let mut damaged = note.to_vec();
            damaged[at] ^= 1;
            assert!(Uses::parse(&damaged).is_none(), "byte {at}");
            assert!(Uses::parse(&note[..at]).is_none(), "{at} bytes");
        }
        let empty = Uses { clock, manifests: Vec::new(), blobs: Vec::new() };
        assert!(Uses::parse(&empty.to_bytes()).is_some());
    }
}
