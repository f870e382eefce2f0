//! Each dependency is argued, and none is there that nobody argued for.

use std::fs;

use crate::tree;

/// Digests are of bytes as they were sent. The HTTP client's features are united over all crates, so that any
/// of them could switch decoding on; what that takes must not even be there.
#[test]
fn s26_no_dependency_decodes_bodies() {
    let lock = fs::read_to_string(tree::root().join("Cargo.lock")).expect("a lock file");
    assert!(lock.contains("name = \"reqwest\""), "the HTTP client has another name: look again");
    for decoder in ["async-compression", "brotli", "brotli-decompressor"] {
        assert!(!lock.contains(&format!("name = \"{decoder}\"")), "{decoder} is there");
    }
}

#[test]
fn every_dependency_has_its_line_of_argument() {
    let manifest = fs::read_to_string(tree::root().join("Cargo.toml")).expect("the workspace's manifest");
    let manifest: toml::Table = manifest.parse().expect("a manifest in TOML");
    let dependencies = manifest["workspace"]["dependencies"].as_table().expect("a table of dependencies");
    let page = tree::root().join("docs/explanation/dependencies.md");
    let page = fs::read_to_string(page).expect("docs/explanation/dependencies.md");
    let missing: Vec<_> = dependencies
        .iter()
        .filter(|(_, value)| value.get("path").is_none())
        .map(|(name, _)| name)
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "docs/explanation/dependencies.md does not argue for {missing:?}");
}
