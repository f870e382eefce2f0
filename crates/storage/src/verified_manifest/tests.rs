use bytes::Bytes;
use oci::{Algorithm, Digest};

use super::VerifiedManifest;
use crate::error::VerifyError;

const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;

#[test]
fn bytes_get_their_digest() {
    let manifest = VerifiedManifest::check(Bytes::from_static(MANIFEST), None).unwrap();
    assert_eq!(manifest.digest(), &Digest::of(Algorithm::Sha256, MANIFEST));
    assert_eq!(manifest.bytes(), MANIFEST);
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let wanted = Digest::of(algorithm, MANIFEST);
        let manifest = VerifiedManifest::check(Bytes::from_static(MANIFEST), Some(&wanted)).unwrap();
        assert_eq!(manifest.digest(), &wanted);
    }
}

#[test]
fn other_bytes_are_refused() {
    let wanted = Digest::of(Algorithm::Sha512, MANIFEST);
    let refused = VerifiedManifest::check(Bytes::from_static(b"{}"), Some(&wanted));
    let Err(VerifyError::Mismatch { wanted: named, found }) = refused else { panic!("{refused:?}") };
    assert_eq!((named, found), (wanted, Digest::of(Algorithm::Sha512, b"{}")));
}
