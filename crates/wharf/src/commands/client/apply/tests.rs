use std::fs;

use clients::{Mirror, Registry};
use tempfile::TempDir;

use super::*;

fn mirror(port: u16) -> Mirror {
    let registry = |name: &str| Registry {
        name: name.to_owned(),
        host: Some(format!("{name}.cache.example:{port}")),
        is_hub: name == "docker.io",
        is_default: false,
        needs_login: false,
    };
    let registries = vec![registry("docker.io"), registry("ghcr.io")];
    Mirror { base: format!("cache.example:{port}"), is_tls: false, authority: None, registries }
}

/// Applies the settings of a client below `root`.
fn run(root: &Path, name: &str, port: u16) -> Result<String, String> {
    let tool = clients::find(name).unwrap();
    let machine = Machine { root: Some(root), home: Some(Path::new("/root")) };
    apply(tool, &tool.settings(&mirror(port)), machine)
}

/// A root with these files.
fn root(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn text(root: &TempDir, path: &str) -> String {
    fs::read_to_string(root.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below the root with its text.
fn all(root: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(self::all(&path)),
            false => all.push((path.clone(), fs::read_to_string(&path).unwrap())),
        }
    }
    all.sort();
    all
}

const DAEMON: &str = "etc/docker/daemon.json";

#[test]
fn the_settings_join_a_file_and_its_first_state_stays_in_a_copy() {
    let first = r#"{"log-driver": "journald"}"#;
    let root = root(&[(DAEMON, first)]);
    let report = run(root.path(), "docker", 5000).unwrap();
    assert!(report.contains("now run\nsystemctl restart docker"), "{report}");
    let joined = text(&root, DAEMON);
    assert!(
        joined.contains("journald") && joined.contains("http://docker.io.cache.example:5000"),
        "{joined}"
    );
    assert_eq!(text(&root, "etc/docker/daemon.json.before-wharf"), first);
    assert!(text(&root, "etc/docker/certs.d/ghcr.io/hosts.toml").contains("referrers"));
    // A further change leaves the copy of the first state alone.
    run(root.path(), "docker", 5001).unwrap();
    assert_eq!(text(&root, "etc/docker/daemon.json.before-wharf"), first);
    assert!(text(&root, DAEMON).contains(":5001"));
}

#[test]
fn a_second_run_changes_nothing_and_says_so() {
    for tool in clients::TOOLS {
        let root = root(&[]);
        let Ok(report) = run(root.path(), tool.name, 5000) else { continue };
        assert!(report.contains(": written"), "{}: {report}", tool.name);
        let before = all(root.path());
        let again = run(root.path(), tool.name, 5000).unwrap();
        assert!(again.ends_with("nothing changed: these settings are in place\n"), "{}: {again}", tool.name);
        assert!(!again.contains("now run"), "{}: {again}", tool.name);
        assert_eq!(all(root.path()), before, "{}", tool.name);
    }
}

#[test]
fn a_file_that_cannot_be_joined_is_named_and_nothing_is_written() {
    for (tool, path, present) in [
        ("docker", DAEMON, "{ broken"),
        ("containerd", "etc/containerd/config.toml", "version = 2\n"),
        ("k3s", "etc/rancher/k3s/registries.yaml", "mirrors: {}\n"),
        ("earthly", "root/.earthly/config.yml", "global: {}\n"),
        (
            "nerdctl",
            "etc/containerd/certs.d/ghcr.io/hosts.toml",
            "[host.\"http://old\"]\n[host.\"http://old\".header]\nAuthorization = \"Basic x\"\n",
        ),
    ] {
        let root = root(&[(path, present)]);
        let error = run(root.path(), tool, 5000).unwrap_err();
        assert!(error.contains(path) && error.contains("by hand"), "{error}");
        assert_eq!(all(root.path()), [(root.path().join(path), present.to_owned())], "{tool}");
    }
}

#[test]
fn a_login_that_the_user_wrote_into_a_hosts_file_stays() {
    let path = "etc/containerd/certs.d/ghcr.io/hosts.toml";
    let root = root(&[]);
    run(root.path(), "nerdctl", 5000).unwrap();
    let host = "http://ghcr.io.cache.example:5000";
    let with_login =
        format!("{}  [host.\"{host}\".header]\n    Authorization = \"Basic x\"\n", text(&root, path));
    fs::write(root.path().join(path), &with_login).unwrap();
    assert!(run(root.path(), "nerdctl", 5000).unwrap().contains("nothing changed"));
    assert_eq!(text(&root, path), with_login);
}

#[test]
fn settings_that_are_a_part_of_a_file_are_not_written() {
    let root = root(&[]);
    for tool in ["github-actions", "kaniko", "gitlab-runner"] {
        let error = run(root.path(), tool, 5000).unwrap_err();
        assert!(error.contains("without --apply"), "{error}");
    }
    assert_eq!(all(root.path()), []);
}

#[test]
fn a_link_out_of_the_root_is_refused() {
    let (root, outside) = (root(&[]), root(&[("docker/daemon.json", "{}")]));
    std::os::unix::fs::symlink(outside.path(), root.path().join("etc")).unwrap();
    let error = run(root.path(), "docker", 5000).unwrap_err();
    assert!(error.contains("by a link"), "{error}");
    assert_eq!(text(&outside, "docker/daemon.json"), "{}");
}
