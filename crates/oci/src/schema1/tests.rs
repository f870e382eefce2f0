use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::digest::{Algorithm, Digest};

const PAYLOAD: &str = "{\n   \"schemaVersion\": 1,\n   \"name\": \"a, \\\"signatures\\\": []\",\n   \
    \"fsLayers\": [\n      {\n         \"blobSum\": \"x\"\n      }\n   ]\n}";

fn digest(text: &str) -> Digest {
    Digest::of(Algorithm::Sha256, text.as_bytes())
}

fn protected(length: usize, tail: &str) -> String {
    let tail = URL_SAFE_NO_PAD.encode(tail);
    URL_SAFE_NO_PAD.encode(format!(r#"{{"formatLength":{length},"formatTail":"{tail}","time":"2015"}}"#))
}

fn sign(payload: &str, extra: &str, count: usize) -> String {
    let body = payload.strip_suffix("\n}").unwrap();
    let protected = protected(body.len(), "\n}");
    let signature = format!(r#"{{"header":{{"alg":"ES256"}},"signature":"s","protected":"{protected}"}}"#);
    let signatures = vec![signature; count].join(",");
    format!("{body},{extra}\n   \"signatures\": [{signatures}]\n}}")
}

#[test]
fn k10_a_signed_manifest_is_hashed_without_its_signatures() {
    for count in [1, 2, 16] {
        let signed = sign(PAYLOAD, "", count);
        assert_ne!(digest(&signed), digest(PAYLOAD));
        assert_eq!(Digest::of_manifest(Algorithm::Sha256, signed.as_bytes()), digest(PAYLOAD));
        assert!(digest(PAYLOAD).is_of_manifest(signed.as_bytes()));
        assert!(digest(&signed).is_of_manifest(signed.as_bytes()));
    }
    let long = Digest::of(Algorithm::Sha512, PAYLOAD.as_bytes());
    assert!(long.is_of_manifest(sign(PAYLOAD, "", 1).as_bytes()));
}

#[test]
fn what_is_not_signed_is_hashed_as_it_is() {
    for text in [PAYLOAD, "", "{}", r#"{"signatures":[]}"#, r#""signatures""#, "<html>"] {
        assert_eq!(Digest::of_manifest(Algorithm::Sha256, text.as_bytes()), digest(text), "{text}");
        assert!(!digest("other").is_of_manifest(text.as_bytes()), "{text}");
    }
}

/// A digest covers what stands in the document beside the signatures, or nothing may stand there.
#[test]
fn nothing_hides_behind_the_signatures() {
    let image = "{\n \"schemaVersion\": 2,\n \"layers\": []\n}";
    let signed = sign(PAYLOAD, "", 1);
    let wrong_length =
        signed.replace(&protected(PAYLOAD.len() - 2, "\n}"), &protected(PAYLOAD.len() - 3, "]\n}"));
    for (payload, text) in [
        (PAYLOAD, sign(PAYLOAD, "\n   \"fsLayers\": [],", 1)),
        (PAYLOAD, sign(PAYLOAD, "", 0)),
        (PAYLOAD, sign(PAYLOAD, "", 17)),
        (PAYLOAD, signed.replace("]\n}", "],\n   \"fsLayers\": []\n}")),
        (PAYLOAD, format!("{signed} x")),
        (PAYLOAD, wrong_length),
        (PAYLOAD, signed.replace("\"protected\":\"", "\"protected\":\"!")),
        (image, sign(image, "", 1)),
    ] {
        assert!(!digest(payload).is_of_manifest(text.as_bytes()), "{text}");
        assert_eq!(Digest::of_manifest(Algorithm::Sha256, text.as_bytes()), digest(&text), "{text}");
    }
}
