//! Which crate may import which: the table of ARCHITECTURE.md, "Layers". A new corridor means a change here.

use std::collections::BTreeMap;

use crate::tree;

/// Each crate with the crates of this workspace that it may use.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("access", &["oci", "policy", "secret"]),
    ("acme", &["certificates", "credentials", "policy", "secret", "telemetry"]),
    ("budget", &[]),
    ("certificates", &[]),
    ("clients", &[]),
    ("oci", &[]),
    ("policy", &["oci", "suffix"]),
    ("sandbox", &[]),
    ("secret", &[]),
    ("suffix", &[]),
    ("telemetry", &[]),
    ("storage", &["budget", "oci", "policy", "telemetry"]),
    ("archive", &["inventory", "oci", "policy", "storage"]),
    ("inventory", &["oci", "policy", "storage", "telemetry"]),
    ("credentials", &["oci", "policy", "secret"]),
    ("upstream", &["budget", "credentials", "oci", "policy", "secret", "telemetry"]),
    ("cache", &["access", "budget", "inventory", "oci", "policy", "storage", "telemetry", "upstream"]),
    ("server", &["access", "cache", "certificates", "oci", "policy", "storage", "telemetry"]),
    (
        "admin",
        &["archive", "cache", "inventory", "oci", "policy", "secret", "server", "storage", "telemetry"],
    ),
    (
        "wharf",
        &[
            "access",
            "acme",
            "admin",
            "archive",
            "budget",
            "cache",
            "certificates",
            "clients",
            "credentials",
            "inventory",
            "oci",
            "policy",
            "sandbox",
            "secret",
            "server",
            "storage",
            "telemetry",
            "upstream",
        ],
    ),
    ("testkit", &[]),
    (
        "testlab",
        &[
            "access",
            "budget",
            "cache",
            "inventory",
            "policy",
            "server",
            "storage",
            "telemetry",
            "testkit",
            "upstream",
        ],
    ),
    ("bench", &["testkit"]),
    ("tidy", &[]),
    ("properties", &["archive", "oci", "policy", "server", "storage", "upstream"]),
    // The program's configuration is compiled into one of its targets, with all that it needs.
    (
        "fuzz",
        &[
            "access",
            "acme",
            "admin",
            "budget",
            "cache",
            "certificates",
            "credentials",
            "inventory",
            "oci",
            "policy",
            "properties",
            "secret",
            "server",
            "telemetry",
            "upstream",
        ],
    ),
];

/// Crates from outside that only the named crates may use.
const RESERVED: &[(&str, &[&str])] = &[
    (
        "tokio",
        &[
            "access",
            "acme",
            "archive",
            "credentials",
            "storage",
            "upstream",
            "inventory",
            "cache",
            "server",
            "admin",
            "wharf",
            "testkit",
            "testlab",
            "bench",
        ],
    ),
    ("axum", &["admin"]),
    ("tower-service", &["admin"]),
    ("hyper", &["server", "testkit", "bench"]),
    ("hyper-util", &["server", "testkit", "bench"]),
    ("reqwest", &["upstream"]),
    ("psl", &["suffix"]),
    ("toml", &["wharf", "fuzz"]),
    ("clap", &["wharf", "bench"]),
    ("tracing-subscriber", &["wharf"]),
    ("dashmap", &["cache"]),
    ("prometheus-client", &["telemetry"]),
];

#[test]
fn every_crate_imports_only_what_lies_below_it() {
    let may_import: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut breaches = Vec::new();
    for (path, manifest) in manifests() {
        let name = tree::crate_of(&path).to_owned();
        let Some(allowed) = may_import.get(name.as_str()) else {
            breaches.push(format!("{name} has no row in the table of layers"));
            continue;
        };
        for dependency in dependencies(&manifest) {
            let is_ours = may_import.contains_key(dependency.as_str());
            if is_ours && !allowed.contains(&dependency.as_str()) {
                breaches.push(format!("{name} imports {dependency}"));
            }
            let reserved = RESERVED.iter().find(|(reserved, _)| *reserved == dependency);
            if reserved.is_some_and(|(_, users)| !users.contains(&name.as_str())) {
                breaches.push(format!("{name} imports {dependency}, which is not its business"));
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn the_pure_rooms_do_no_io_and_read_no_clock() {
    let forbidden =
        ["std::fs", "std::net::Tcp", "SystemTime::now", "Instant::now", "std::env", "std::thread"];
    let mut breaches = Vec::new();
    for (path, text) in tree::files("crates", "rs") {
        if ["budget", "clients", "oci", "policy", "secret", "suffix"].contains(&tree::crate_of(&path))
            && !tree::is_test(&path)
        {
            let found = forbidden.iter().filter(|word| text.contains(**word));
            breaches.extend(found.map(|word| format!("{path}: {word}")));
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

/// The search for inputs has a lock file of its own, which no other command looks at.
#[test]
fn the_lock_file_of_the_search_knows_every_dependency() {
    let lock = std::fs::read_to_string(tree::root().join("crates/fuzz/Cargo.lock")).expect("a lock file");
    let lock: toml::Table = lock.parse().expect("a lock file in TOML");
    let packages = lock["package"].as_array().expect("packages");
    let mut missing = Vec::new();
    for (path, manifest) in manifests() {
        let name = tree::crate_of(&path);
        let Some(locked) = packages.iter().find(|package| package["name"].as_str() == Some(name)) else {
            continue;
        };
        let known = locked.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
        // "name", or "name version" where there are several.
        let known: Vec<_> = known.filter_map(|entry| entry.as_str()?.split(' ').next()).collect();
        let unknown =
            dependencies(&manifest).into_iter().filter(|dependency| !known.contains(&dependency.as_str()));
        missing.extend(unknown.map(|dependency| format!("{name}: {dependency}")));
    }
    assert!(missing.is_empty(), "run `cargo update -w --manifest-path crates/fuzz/Cargo.toml`: {missing:#?}");
}

fn manifests() -> Vec<(String, toml::Table)> {
    let manifests =
        tree::files("crates", "toml").into_iter().filter(|(path, _)| path.ends_with("Cargo.toml"));
    manifests.map(|(path, text)| (path, text.parse().expect("a manifest in TOML"))).collect()
}

fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let table = manifest.get("dependencies").and_then(toml::Value::as_table);
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}
