use proptest::prelude::*;

use super::{Algorithm, Digest, DigestError, Hasher};

/// The examples of FIPS 180-2, appendices B and C, for the message "abc", and the digests of nothing.
#[test]
fn digests_are_those_of_the_standard() {
    for (algorithm, message, wanted) in [
        (Algorithm::Sha256, "abc", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (Algorithm::Sha256, "", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            Algorithm::Sha512,
            "abc",
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ] {
        let digest = Digest::of(algorithm, message.as_bytes());
        assert_eq!(digest.to_string(), wanted);
        assert_eq!(wanted.parse(), Ok(digest.clone()));
        assert_eq!(digest.algorithm(), algorithm);
        assert_eq!(format!("{}:{}", algorithm.as_str(), digest.hex()), wanted);
        assert_eq!(format!("{digest:?}"), wanted);
    }
}

#[test]
fn the_error_says_what_is_wrong() {
    let zeros = "0".repeat(64);
    for (text, wanted) in [
        (String::new(), DigestError::Form),
        (zeros.clone(), DigestError::Form),
        (format!("sha1:{zeros}"), DigestError::Algorithm),
        (format!("SHA256:{zeros}"), DigestError::Algorithm),
        (format!("sha256:{zeros}0"), DigestError::Hex),
        (format!("sha512:{zeros}"), DigestError::Hex),
        (format!("sha256:{}", "F".repeat(64)), DigestError::Hex),
    ] {
        assert_eq!(text.parse::<Digest>(), Err(wanted), "{text}");
    }
}

proptest! {
    #[test]
    fn hashing_in_pieces_is_hashing_at_once(
        bytes in proptest::collection::vec(any::<u8>(), 0..500),
        piece_len in 1_usize..200,
    ) {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut hasher = Hasher::new(algorithm);
            for piece in bytes.chunks(piece_len) {
                hasher.update(piece);
            }
            let digest = hasher.finish();
            prop_assert_eq!(&digest, &Digest::of(algorithm, &bytes));
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }
    }

    #[test]
    fn no_text_makes_it_panic_and_what_it_reads_it_prints(text in ".{0,20}|sha(256|512):[0-9a-f]{60,130}") {
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), text);
        }
    }
}
