//! Each dependency is argued, and none is there that nobody argued for.

use std::collections::BTreeSet;
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

/// The first releases without a known fault: RUSTSEC-2026-0098, -0099, -0104 and -0285. An advisory that is
/// newer than this table is found by `cargo audit` alone, which needs today's list.
const FLOORS: [(&str, [u64; 3]); 2] = [("rustls", [0, 23, 45]), ("rustls-webpki", [0, 103, 13])];

#[test]
fn s32_no_tls_library_is_older_than_the_release_that_corrected_its_faults() {
    for lock in LOCKS {
        let packages = locked(lock);
        for (name, floor) in FLOORS {
            let versions: Vec<&str> =
                packages.iter().filter(|it| it["name"].as_str() == Some(name)).map(version).collect();
            assert!(!versions.is_empty(), "{lock} has no {name}: look again");
            for version in versions {
                let numbers: Vec<u64> = version.split('.').map(|it| it.parse().expect("a number")).collect();
                assert!(numbers[..] >= floor[..], "{lock} has {name} {version}");
            }
        }
    }
}

#[test]
fn s38_every_dependency_comes_from_one_source_with_its_hash() {
    let mut sources = BTreeSet::new();
    for lock in LOCKS {
        let mut count = 0;
        for package in locked(lock) {
            // Ours have none.
            let Some(source) = package.get("source").and_then(toml::Value::as_str) else { continue };
            let hash = package.get("checksum").and_then(toml::Value::as_str).unwrap_or_default();
            assert_eq!(hash.len(), 64, "{lock}: {} {}", package["name"], version(&package));
            sources.insert(source.to_owned());
            count += 1;
        }
        assert!(count > 100, "{lock}: only {count} packages");
    }
    assert_eq!(sources.len(), 1, "{sources:#?}");
    assert!(sources.iter().all(|source| source.starts_with("registry+https://")), "{sources:?}");
}

/// The lock files of the two workspaces.
const LOCKS: [&str; 2] = ["Cargo.lock", "crates/fuzz/Cargo.lock"];

fn locked(lock: &str) -> Vec<toml::Value> {
    let text = fs::read_to_string(tree::root().join(lock)).expect("a lock file");
    let lock: toml::Table = text.parse().expect("a lock file in TOML");
    lock["package"].as_array().expect("packages").clone()
}

fn version(package: &toml::Value) -> &str {
    package["version"].as_str().expect("a version")
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
