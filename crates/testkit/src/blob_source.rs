//! Content given by its bytes, or generated from a seed without memory.
//!
//! Generated content can be read at any offset, and equal seeds always give equal bytes.

use std::fmt;
use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Bytes generated at once when the whole content is hashed or collected.
const PIECE: usize = 1 << 20;

/// The source of a blob's bytes.
#[derive(Clone, PartialEq, Eq)]
pub enum BlobSource {
    /// These bytes.
    Bytes(Bytes),
    /// `len` bytes of incompressible noise, generated from `seed`.
    Generated {
        /// The seed: the contents of two seeds differ in every word.
        seed: u64,
        /// Its length in bytes.
        len: u64,
    },
}

impl BlobSource {
    /// The length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Generated { len, .. } => *len,
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `len_max` bytes from `offset`; fewer only at the end, none beyond it.
    pub fn read(&self, offset: u64, len_max: usize) -> Bytes {
        let left = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = left.min(len_max);
        if len == 0 {
            return Bytes::new();
        }
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).expect("an offset within memory fits a usize");
                bytes.slice(start..start + len)
            }
            Self::Generated { seed, .. } => generate(*seed, offset, len).into(),
        }
    }

    /// All of it, collected in memory.
    pub fn bytes(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Generated { .. } => self.read(0, usize::MAX),
        }
    }

    /// The SHA-256 digest, `sha256:<hex>`, computed on every call without collecting the content.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        let mut offset = 0;
        while offset < self.len() {
            let piece = self.read(offset, PIECE);
            hasher.update(&piece);
            offset += piece.len() as u64;
        }
        named(&hasher.finalize())
    }
}

impl From<Bytes> for BlobSource {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for BlobSource {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&'static [u8]> for BlobSource {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}

impl From<&'static str> for BlobSource {
    fn from(text: &'static str) -> Self {
        Self::Bytes(Bytes::from_static(text.as_bytes()))
    }
}

impl<const N: usize> From<&'static [u8; N]> for BlobSource {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}

impl fmt::Debug for BlobSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Generated { seed, len } => write!(f, "{len} bytes generated from {seed}"),
        }
    }
}

/// The SHA-256 digest of `bytes` as a registry writes it: `sha256:` and 64 hex digits in lower case.
pub fn digest_of(bytes: &[u8]) -> String {
    named(&Sha256::digest(bytes))
}

/// The digest whose bytes are `hash`.
pub(crate) fn named(hash: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in hash {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

fn generate(seed: u64, offset: u64, len: usize) -> Vec<u8> {
    let first_word = offset / 8;
    let skipped = usize::try_from(offset % 8).expect("a remainder by eight is small");
    let mut bytes = Vec::with_capacity(skipped + len + 8);
    let mut index = first_word;
    while bytes.len() < skipped + len {
        bytes.extend_from_slice(&word(seed, index).to_le_bytes());
        index += 1;
    }
    bytes.truncate(skipped + len);
    bytes.drain(..skipped);
    bytes
}

/// SplitMix64 at position `index`: its state is a multiple of the index, so any word comes at the same cost.
fn word(seed: u64, index: u64) -> u64 {
    let mut mixed = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
