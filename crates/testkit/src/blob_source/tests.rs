use bytes::Bytes;

use super::{BlobSource, digest_of};

#[test]
fn known_digests() {
    let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(digest_of(b""), empty);
    assert_eq!(BlobSource::from("abc").digest(), digest_of(b"abc"));
    assert!(digest_of(b"abc").starts_with("sha256:ba7816bf"));
}

#[test]
fn generated_content_is_the_same_however_it_is_read() {
    let source = BlobSource::Generated { seed: 7, len: 3_000_001 };
    let whole = source.bytes();
    assert_eq!(whole.len(), 3_000_001);
    for (offset, len) in [(0, 1), (1, 7), (3, 64), (8, 8), (2_999_999, 100), (1_234_567, 65_536)] {
        let piece = source.read(offset, len);
        let end = (offset as usize + len).min(whole.len());
        assert_eq!(piece, whole.slice(offset as usize..end), "{len} bytes at {offset}");
    }
    assert_eq!(source.read(3_000_001, 10), Bytes::new());
    assert_eq!(source.digest(), digest_of(&whole));
}

#[test]
fn seeds_give_different_noise() {
    let one = BlobSource::Generated { seed: 1, len: 4096 }.bytes();
    let two = BlobSource::Generated { seed: 2, len: 4096 }.bytes();
    assert_ne!(one, two);
    let zeros = one.iter().filter(|byte| **byte == 0).count();
    assert!(zeros < 64, "noise has few zero bytes, this had {zeros}");
}

#[test]
fn generated_gigabytes_take_no_memory() {
    let source = BlobSource::Generated { seed: 3, len: 1 << 50 };
    assert_eq!(source.read((1 << 50) - 5, 100).len(), 5);
}
