//! Rules that hold for every client.

use std::collections::BTreeSet;

use clients::{Placement, TOOLS, find};

use crate::golden::{bare, plain, private};

#[test]
fn a_name_or_an_alias_finds_exactly_one_client() {
    let mut names = BTreeSet::new();
    for tool in TOOLS {
        for name in [tool.name].iter().chain(tool.aliases) {
            assert!(names.insert(*name), "{name} is there twice");
            assert_eq!(find(&name.to_ascii_uppercase()).map(|found| found.name), Some(tool.name));
        }
    }
    assert!(find("").is_none() && find("docker ").is_none());
}

#[test]
fn a_mirror_over_tls_has_no_plain_address_and_no_setting_for_one() {
    for tool in TOOLS {
        // Dragonfly's own proxy on the node is plain HTTP.
        let text = tool.settings(&private()).text().replace("http://127.0.0.1:4001", "");
        for word in ["http://", "insecure", "http = true"] {
            assert!(!text.contains(word), "{}: {word} in\n{text}", tool.name);
        }
    }
}

#[test]
fn no_client_may_push_to_the_mirror_or_skip_the_check_of_certificates() {
    for mirror in [plain(), private(), bare()] {
        for file in TOOLS.iter().flat_map(|tool| tool.settings(&mirror).files) {
            for word in
                ["push", "skip_verify", "skip-tls-verify", "insecure_skip_verify", "insecureSkipVerify"]
            {
                assert!(!file.contents.contains(word), "{word} in {}", file.path);
            }
        }
    }
}

/// A file that is written as it is must not send a login that does not exist.
#[test]
fn a_placeholder_of_a_login_stands_in_comments_alone() {
    for tool in TOOLS {
        for file in tool.settings(&private()).files {
            let mut in_force = file.contents.lines().filter(|line| !line.trim_start().starts_with('#'));
            let placeholder = in_force.find(|line| line.contains("BASE64") || line.contains("PASSWORD"));
            assert_eq!(placeholder, None, "{}: {}", tool.name, file.path);
        }
    }
}

#[test]
fn a_client_asks_by_the_host_else_by_ns_or_a_path() {
    let way = |tool: &str, mirror: &clients::Mirror, index: usize| {
        let way = find(tool).unwrap().way(mirror, &mirror.registries[index])?;
        Some(format!("{}/v2/{}?ns={}", way.host, way.prefix, way.ns.unwrap_or_default()))
    };
    for (tool, mirror, expected) in [
        ("k3s", plain(), Some("ghcr.io.registry.example.com:5000/v2/?ns=ghcr.io")),
        ("k3s", bare(), Some("192.168.1.10:5000/v2/?ns=ghcr.io")),
        ("podman", plain(), Some("ghcr.io.registry.example.com:5000/v2/?ns=")),
        ("podman", bare(), Some("192.168.1.10:5000/v2/ghcr.io/?ns=")),
        ("nydus", plain(), Some("ghcr.io.registry.example.com:5000/v2/?ns=")),
        ("nydus", bare(), None),
    ] {
        assert_eq!(way(tool, &mirror, 1).as_deref(), expected, "{tool}");
    }
    assert_eq!(way("nydus", &bare(), 0).as_deref(), Some("192.168.1.10:5000/v2/?ns="));
}

#[test]
fn no_client_writes_one_path_twice() {
    for mirror in [plain(), private(), bare()] {
        for tool in TOOLS {
            let files = tool.settings(&mirror).files;
            let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
            assert_eq!(paths.len(), files.len(), "{}", tool.name);
            assert!(files.iter().all(|file| file.contents.ends_with('\n')), "{}", tool.name);
            let parts = files.iter().filter(|file| file.placement == Placement::Part);
            assert!(parts.count() <= 1, "{}", tool.name);
        }
    }
}
