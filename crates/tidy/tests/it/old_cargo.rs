//! What an old cargo makes of the workspace: it must get as far as the edition, where it says that it is too
//! old.

use std::fs;

use crate::tree;

/// Debian 12 has cargo 1.65, which knows two resolvers, and of `debug` only numbers, true and false. Whatever
/// else it meets first, it complains of without a word on versions.
#[test]
fn an_old_cargo_gets_as_far_as_saying_that_it_is_too_old() {
    let text = fs::read_to_string(tree::root().join("Cargo.toml")).expect("the workspace has a manifest");
    let manifest: toml::Table = text.parse().expect("it is TOML");
    assert_eq!(manifest["workspace"]["resolver"].as_str(), Some("2"));
    let profiles = manifest["profile"].as_table().expect("there are profiles");
    assert!(!profiles.is_empty());
    for (name, profile) in profiles {
        if let Some(debug) = profile.get("debug") {
            assert!(debug.is_integer() || debug.is_bool(), "profile.{name}.debug = {debug}");
        }
        let strip = profile.get("strip");
        assert!(strip.is_none_or(|strip| strip.is_bool() || strip.is_str()), "profile.{name}.strip");
    }
}
