//! `wharf client`: prints and writes the settings of clients.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;

use testkit::FakeRegistry;

use crate::program::{Program, configuration, registry, run};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_check_asks_as_the_client_would_and_says_what_is_wrong() {
    let hub = FakeRegistry::start().await;
    let mut text = configuration(&registry("docker.io", &hub));
    text.push_str("[[registry]]\nname = \"gone.example\"\nupstream = \"http://127.0.0.1:9\"\n");
    let program = Program::start(&text);
    let directory = tempfile::tempdir().unwrap();
    // The addresses that the system has chosen.
    let text = text.replacen("127.0.0.1:0", &program.address.to_string(), 1);
    let text = text.replacen("127.0.0.1:0", &program.admin.to_string(), 1);
    fs::write(directory.path().join("wharf.toml"), text).unwrap();
    let address = program.address.to_string();
    let check = |tool: &str, more: &[&str]| {
        let mut arguments = vec!["client", tool, "--check"];
        arguments.extend(more);
        run(directory.path(), &arguments)
    };
    for tool in ["k3s", "podman"] {
        let (code, told, complaint) = check(tool, &["--address", &address]);
        assert!(code == Some(0) && told.matches("  ok  ").count() == 2, "{tool}: {told}{complaint}");
    }
    let (code, told, complaint) =
        check("podman", &["--address", &address, "--image", "gone.example/team/app:1"]);
    assert!(code == Some(1) && told.contains("check --online"), "{told}");
    assert!(complaint.contains("1 of 2 registries"), "{complaint}");
    let (code, told, _) = check("k3s", &["--address", "https://"]);
    assert_eq!((code, told.as_str()), (Some(2), ""));
    let (code, told, _) = check("k3s", &["--address", &format!("https://{address}")]);
    assert!(code == Some(1) && told.contains("does not speak TLS"), "{told}");
    // The listener is gone, and with it the port.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, told, _) = check("k3s", &["--address", &port.to_string()]);
    assert!(code == Some(1) && told.contains("nothing listens at"), "{told}");
    // No resolver sends a request for a label of more than 63 characters.
    let (code, told, _) = check("k3s", &["--address", &"a".repeat(64)]);
    assert!(code == Some(1) && told.contains("has no address here"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_trusts_the_authority_that_the_settings_name_and_no_other() {
    let hub = FakeRegistry::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let tls =
        "[server.tls]\nlisten = \"127.0.0.1:0\"\ncert_file = \"tls/cert.pem\"\nkey_file = \"tls/key.pem\"\n";
    let text = configuration(&format!("{tls}{}", registry("docker.io", &hub)));
    fs::write(directory.path().join("wharf.toml"), &text).unwrap();
    assert_eq!(run(directory.path(), &["cert", "--dir", "tls"]).0, Some(0));
    let program = Program::start_in(Arc::clone(&directory), &text, &[]);
    let line = program.wait_for_line("listening on https://");
    let address = format!("https://localhost:{}", line.rsplit_once(':').unwrap().1);
    let check = ["client", "k3s", "--check", "--address", &address];
    let (code, told, complaint) = run(directory.path(), &check);
    assert!(code == Some(0) && told.contains("answers"), "{told}{complaint}");
    let elsewhere = address.replace("localhost", "127.0.0.2");
    let (code, told, _) = run(directory.path(), &["client", "k3s", "--check", "--address", &elsewhere]);
    // The listener has one address.
    assert!(code == Some(1) && told.contains("nothing listens at 127.0.0.2"), "{told}");
    fs::rename(directory.path().join("tls/ca.pem"), directory.path().join("elsewhere.pem")).unwrap();
    let (code, told, _) = run(directory.path(), &check);
    assert!(code == Some(1) && told.contains("is not trusted here"), "{told}");
    let (code, told, _) = run(directory.path(), &[&check[..], &["--ca", "elsewhere.pem"]].concat());
    assert!(code == Some(0), "{told}");
}
