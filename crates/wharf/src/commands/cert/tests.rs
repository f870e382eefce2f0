use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::{Environment, PairRule};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 3600;

fn config(text: &str) -> Config {
    let environment = Environment { pairs: PairRule::None, ..Environment::without_keys(&|_| None) };
    Config::read("wharf.toml", text, &environment).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

const TEXT: &str = "[server]\ndomain = \"cache.example\"\nhosts = \"wharf.example\"\n[[registry]]\nname = \"docker.io\"\n\
                    aliases = \"hub\"\nhosts = \"mirror.example\"\n[[registry]]\nname = \"c.example:8443\"\n";

fn arguments(directory: &Path, names: &[&str], renew: bool) -> CertArguments {
    let names = names.iter().map(|it| name(it).unwrap()).collect();
    CertArguments { dir: directory.join("tls"), names, renew }
}

fn read(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join("tls").join(name)).unwrap()
}

fn mode(directory: &Path, name: &str) -> u32 {
    fs::metadata(directory.join("tls").join(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_certificate_covers_every_virtual_host_and_the_keys_are_secret() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let report =
        cert(&config(TEXT), &arguments(directory, &["203.0.113.7", "Extra.example."], false), NOW).unwrap();
    let certificate = Paths::below(&directory.join("tls")).pair.load().unwrap();
    for host in [
        "cache.example",
        "wharf.example",
        "docker.io.cache.example",
        "docker-io.cache.example",
        "hub.cache.example",
        "mirror.example",
        "c.example-8443.cache.example",
        "c-example-8443.cache.example",
        "localhost",
        "127.0.0.1",
        "::1",
        "203.0.113.7",
        "extra.example",
    ] {
        assert!(certificate.covers(host), "{host}: {certificate:?}");
    }
    assert!(!certificate.covers("docker.io"));
    for (file, expected) in
        [("ca-key.pem", 0o600), ("key.pem", 0o600), ("ca.pem", 0o644), ("cert.pem", 0o644)]
    {
        assert_eq!(mode(directory, file), expected, "{file}");
    }
    for words in
        ["[server.tls]\ncert_file = ", "/etc/docker/certs.d/docker-io.cache.example:5443/ca.crt", "ca_file"]
    {
        assert!(report.contains(words), "{words}: {report}");
    }
    assert!(!report.contains("PRIVATE"), "{report}");
}

#[test]
fn a_second_run_changes_nothing_and_a_later_one_renews_the_certificate_under_the_same_authority() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let run = |text: &str, names: &[&str], renew: bool, now: u64| {
        cert(&config(text), &arguments(directory, names, renew), now).unwrap()
    };
    run(TEXT, &["10.1.2.3"], false, NOW);
    let first = ["ca.pem", "ca-key.pem", "cert.pem", "key.pem"].map(|name| read(directory, name));
    let report = run(TEXT, &[], false, NOW + 100 * DAY);
    assert!(report.contains("nothing changed"), "{report}");
    assert_eq!(["ca.pem", "ca-key.pem", "cert.pem", "key.pem"].map(|name| read(directory, name)), first);
    let changes = |text: &str, renew: bool, now: u64| {
        let before = read(directory, "cert.pem");
        run(text, &[], renew, now);
        assert_eq!(read(directory, "ca.pem"), first[0], "the authority stays");
        let pair = Paths::below(&directory.join("tls")).pair.load().unwrap();
        assert!(pair.covers("10.1.2.3"), "a name of the first run stays");
        read(directory, "cert.pem") != before
    };
    assert!(changes(TEXT, true, NOW), "--renew");
    assert!(changes(&format!("{TEXT}[[registry]]\nname = \"quay.io\"\n"), false, NOW), "a new registry");
    assert!(changes(TEXT, false, NOW + 300 * DAY), "near the end");
    assert!(!changes(TEXT, false, NOW + 301 * DAY));
}

#[test]
fn a_name_that_the_authority_may_not_sign_is_refused_and_nothing_changes() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    cert(&config(TEXT), &arguments(directory, &[], false), NOW).unwrap();
    let before = read(directory, "cert.pem");
    let refused = cert(&config(TEXT), &arguments(directory, &["bank.example"], false), NOW).unwrap_err();
    assert!(refused.contains("name constraints do not allow bank.example"), "{refused}");
    assert_eq!(read(directory, "cert.pem"), before);
}

#[test]
fn half_an_authority_is_never_overwritten() {
    for gone in ["ca.pem", "ca-key.pem"] {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        cert(&config(TEXT), &arguments(directory, &[], false), NOW).unwrap();
        fs::remove_file(directory.join("tls").join(gone)).unwrap();
        let refused = cert(&config(TEXT), &arguments(directory, &[], true), NOW).unwrap_err();
        assert!(refused.contains(gone) && refused.contains("--dir"), "{refused}");
    }
}

#[test]
fn a_key_that_others_may_read_is_told_and_a_renewal_keeps_the_permissions_of_the_old_key() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    cert(&config(TEXT), &arguments(directory, &[], false), NOW).unwrap();
    let set = |name: &str, mode| {
        fs::set_permissions(directory.join("tls").join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("ca-key.pem", 0o640);
    set("key.pem", 0o640);
    let report = cert(&config(TEXT), &arguments(directory, &[], true), NOW).unwrap();
    assert!(report.contains("ca-key.pem can be read by other users"), "{report}");
    assert_eq!(mode(directory, "key.pem"), 0o640, "a group of the server may read it");
}

#[test]
fn names_are_hosts_or_addresses() {
    for (text, is_right) in [
        ("cache.example", true),
        ("*.cache.example", true),
        ("Cache.Example.", true),
        ("::1", true),
        ("192.0.2.1", true),
        ("cache.example:443", false),
        ("https://cache.example", false),
        ("", false),
        ("a..b", false),
        ("*", false),
    ] {
        assert_eq!(name(text).is_ok(), is_right, "{text:?}");
    }
}
