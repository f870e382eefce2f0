//! Each dependency is argued, and none is there that nobody argued for.

use std::fs;

use crate::tree;

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
