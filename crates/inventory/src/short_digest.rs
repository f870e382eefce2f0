//! Digests in a form that takes little memory.

use oci::{Algorithm, Digest};

/// The algorithm and the first 32 bytes of a digest: all of a SHA-256 digest, and enough of a SHA-512 digest
/// to tell it from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ShortDigest([u8; 33]);

/// The bytes of a SHA-512 digest that its short form lacks.
pub(crate) type Rest = [u8; 32];

const SHA_256: u8 = 0;
const SHA_512: u8 = 1;

impl ShortDigest {
    /// Returns the short form, and the bytes that it lacks.
    pub(crate) fn of(digest: &Digest) -> (Self, Option<Rest>) {
        let mut short = [SHA_256; 33];
        let hex = digest.hex().as_bytes();
        decode(&hex[..64], &mut short[1..]);
        if digest.algorithm() == Algorithm::Sha256 {
            return (Self(short), None);
        }
        short[0] = SHA_512;
        let mut rest = [0; 32];
        decode(&hex[64..], &mut rest);
        (Self(short), Some(rest))
    }

    /// Returns the key, as [`key_of`] does.
    pub(crate) fn key(&self) -> u64 {
        self.0[1..9].iter().fold(0, |key, byte| key << 8 | u64::from(*byte))
    }

    /// Tells whether the short form lacks bytes.
    pub(crate) fn has_rest(&self) -> bool {
        self.0[0] == SHA_512
    }

    /// Returns the digest.
    pub(crate) fn to_digest(self, rest: Option<&Rest>) -> Digest {
        let algorithm = if self.has_rest() { Algorithm::Sha512 } else { Algorithm::Sha256 };
        let rest = rest.filter(|_| self.has_rest()).map_or(&[][..], |rest| &rest[..]);
        let mut text = format!("{}:", algorithm.as_str());
        for byte in self.0[1..].iter().chain(rest) {
            text.extend(
                [byte >> 4, byte & 15].map(|nibble| char::from(b"0123456789abcdef"[usize::from(nibble)])),
            );
        }
        text.parse().expect("bytes in hex are a digest")
    }
}

/// Returns the key by which the tables know a content: the first eight bytes of its digest. Two contents of
/// one key share an entry, so each may stay longer than needed.
pub(crate) fn key_of(digest: &Digest) -> u64 {
    digest.hex().as_bytes()[..16].iter().fold(0, |key, digit| key << 4 | u64::from(nibble(*digit)))
}

fn decode(hex: &[u8], bytes: &mut [u8]) {
    for (pair, byte) in hex.chunks_exact(2).zip(bytes) {
        *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
    }
}

/// The value of a lower-case hexadecimal digit; a digest has no other character.
fn nibble(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit.wrapping_sub(b'a').wrapping_add(10) & 15 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_comes_back_from_its_short_form() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = Digest::of(algorithm, b"content");
            let (short, rest) = ShortDigest::of(&digest);
            assert_eq!(short.to_digest(rest.as_ref()), digest);
            assert_eq!(format!("{:016x}", key_of(&digest)), digest.hex()[..16]);
            assert_eq!(short.key(), key_of(&digest));
        }
        assert_eq!(size_of::<ShortDigest>(), 33);
    }
}
