use super::*;
use crate::config::keys;

#[test]
fn keys_of_other_programs_lead_to_ours() {
    for (key, expected) in [
        ("quota", "max_size"),
        ("Max-Bytes", "max_size"),
        ("htpasswd", "users_file"),
        ("remoteurl", "upstream"),
        ("ttl", "tag_ttl"),
    ] {
        assert!(for_key(key).is_some_and(|hint| hint.contains(expected)), "{key}: {:?}", for_key(key));
    }
    assert_eq!(for_key("colour"), None);
}

/// The program may be installed without `docs`.
#[test]
fn no_hint_points_into_the_repository() {
    assert!(HINTS.iter().all(|(_, hint)| !hint.contains("docs/") && !hint.contains(".md")));
}

#[test]
fn no_hint_is_given_for_a_key_that_there_is() {
    let keys = keys::SECTIONS.iter().flat_map(|section| section.names());
    for key in keys.chain(keys::TOP) {
        assert_eq!(for_key(key), None, "{key}");
    }
}
