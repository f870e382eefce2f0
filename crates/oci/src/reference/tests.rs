use proptest::prelude::*;

use super::{Reference, ReferenceError, Tag};
use crate::digest::DigestError;

#[test]
fn a_colon_makes_it_a_digest() {
    let hex = "0".repeat(64);
    let digest = format!("sha256:{hex}");
    assert_eq!(digest.parse(), Ok(Reference::Digest(digest.parse().unwrap())));
    let tag = format!("sha256-{hex}");
    assert_eq!(tag.parse(), Ok(Reference::Tag(tag.parse().unwrap())));
    for text in [digest, tag] {
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
    }
}

#[test]
fn the_error_says_what_is_wrong() {
    for (text, wanted) in [
        ("", ReferenceError::Tag),
        ("-a", ReferenceError::Tag),
        ("a b", ReferenceError::Tag),
        ("latest:", ReferenceError::Digest(DigestError::Algorithm)),
        ("sha256:0", ReferenceError::Digest(DigestError::Hex)),
    ] {
        assert_eq!(text.parse::<Reference>(), Err(wanted), "{text}");
    }
}

proptest! {
    #[test]
    fn every_tag_of_the_grammar_is_read(text in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}") {
        let tag: Tag = text.parse().unwrap();
        prop_assert_eq!(tag.as_str(), &text);
        prop_assert_eq!(tag.to_string(), text);
    }

    #[test]
    fn what_is_read_can_stand_in_a_path_of_a_file(text in "[A-Za-z0-9_.:/\\\\%-]{0,10}") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string(), text.clone());
            prop_assert!(!text.starts_with('.') && !text.contains(['/', '\\', '%']));
        }
    }
}
