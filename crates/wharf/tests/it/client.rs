//! `wharf client`: prints and writes the settings of clients.

use std::fs;

use crate::program::run;

const CONFIGURATION: &str =
    "[server]\nlisten = [\"0.0.0.0:5000\"]\ndomain = \"cache.example\"\n[[registry]]\nname = \"docker.io\"\n";

#[test]
fn the_settings_follow_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("wharf.toml"), CONFIGURATION).unwrap();
    let (code, told, complaint) = run(directory.path(), &["client", "DOCKER"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{told}");
    let mirror = "{\n  \"registry-mirrors\": [\"http://docker.io.cache.example:5000\"]\n}\n";
    assert!(told.starts_with("# /etc/docker/daemon.json") && told.contains(mirror), "{told}");
    let (code, told, _) = run(directory.path(), &["client", "docker", "--plain"]);
    assert_eq!((code, told.as_str()), (Some(0), mirror));
    let behind = ["client", "podman", "--plain", "--address", "https://cache.example"];
    let (_, told, _) = run(directory.path(), &behind);
    assert!(told.contains("\"docker-io.cache.example\"") && !told.contains("insecure"), "{told}");
}

#[test]
fn a_client_that_is_none_is_wrong_use_and_the_list_needs_no_configuration() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("wharf.toml"), "broken").unwrap();
    let (code, told, _) = run(directory.path(), &["client"]);
    assert!(code == Some(0) && told.contains("\nk3s "), "{told}");
    let (code, _, complaint) = run(directory.path(), &["client", "dokcer"]);
    assert!(code == Some(2) && complaint.contains("no client \"dokcer\""), "{complaint}");
    let (code, _, complaint) = run(directory.path(), &["client", "docker"]);
    assert!(code == Some(1) && complaint.contains("TOML"), "{complaint}");
    fs::write(directory.path().join("wharf.toml"), CONFIGURATION).unwrap();
    let (code, _, complaint) = run(directory.path(), &["client", "containerd", "--plain"]);
    assert!(code == Some(2) && complaint.contains("containerd has 2"), "{complaint}");
}

#[test]
fn a_private_authority_beside_the_certificate_is_part_of_the_settings() {
    let directory = tempfile::tempdir().unwrap();
    let text = CONFIGURATION.replace(
        "[[registry]]",
        "[server.tls]\ncert_file = \"tls/cert.pem\"\nkey_file = \"tls/key.pem\"\n[[registry]]",
    );
    fs::write(directory.path().join("wharf.toml"), text).unwrap();
    assert_eq!(run(directory.path(), &["cert", "--dir", "tls"]).0, Some(0));
    let authority = fs::read_to_string(directory.path().join("tls/ca.pem")).unwrap();
    let (code, told, complaint) = run(directory.path(), &["client", "nerdctl"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{told}");
    assert!(told.contains(&authority) && told.contains("ca = \"/etc/ssl/wharf-ca.pem\""), "{told}");
    let (code, _, complaint) = run(directory.path(), &["client", "nerdctl", "--ca", "tls/key.pem"]);
    assert!(code == Some(1) && complaint.contains("not a certificate"), "{complaint}");
}

#[test]
fn the_settings_are_written_below_a_root_once() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("wharf.toml"), CONFIGURATION).unwrap();
    let apply = ["client", "podman", "--apply", "--root", "."];
    let (code, told, complaint) = run(directory.path(), &apply);
    assert!(code == Some(0) && told.contains("50-wharf.conf: written"), "{told}{complaint}");
    let written = directory.path().join("etc/containers/registries.conf.d/50-wharf.conf");
    assert!(fs::read_to_string(written).unwrap().contains("docker.io.cache.example:5000"));
    let (code, told, _) = run(directory.path(), &apply);
    assert!(code == Some(0) && told.contains("nothing changed"), "{told}");
}
