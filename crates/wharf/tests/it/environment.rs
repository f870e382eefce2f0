//! A container without a file: every key by variables, and the order of sources.

use std::fs;
use std::sync::Arc;

use testkit::{Auth, Behaviour, Endpoint, FakeRegistry, Image};

use crate::program::{Program, command, run};

/// A name with every character that a variable cannot have.
const NAME: &str = "registry-1.corp.test:8443";

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_a_login_is_served_without_any_file() {
    let behaviour = Behaviour { auth: Auth::bearer("robot", "canary"), ..Behaviour::default() };
    let upstream = FakeRegistry::start_with(behaviour).await;
    let image = Image::small("no file");
    upstream.put_image("library/app", "latest", &image);
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let trusted = [Endpoint::Token, Endpoint::Cdn].map(|it| upstream.host_of(it)).join(" ");
    let of_the_registry = |key: &str| format!("WHARF_REGISTRY_REGISTRY_1_CORP_TEST_8443_{key}");
    let variables = [
        ("WHARF_SERVER_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ("WHARF_ADMIN_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ("WHARF_SERVER_DEFAULT_REGISTRY".to_owned(), NAME.to_owned()),
        ("WHARF_STORAGE_ROOT".to_owned(), "./elsewhere".to_owned()),
        // It overrides the default of the image.
        ("WHARF_ROOT".to_owned(), "./nowhere".to_owned()),
        ("WHARF_REGISTRIES".to_owned(), NAME.to_owned()),
        (of_the_registry("UPSTREAM"), upstream.url()),
        (of_the_registry("TRUSTED_HOSTS"), trusted),
        (of_the_registry("USERNAME"), "robot".to_owned()),
        (of_the_registry("PASSWORD"), "canary".to_owned()),
        (of_the_registry("SERVE_PRIVATE"), "true".to_owned()),
    ];
    let mut serve = command(directory.path(), &["serve"]);
    serve.envs(variables);
    let program = Program::run(Arc::clone(&directory), serve);
    let answer = program.get("127.0.0.1", "/v2/library/app/manifests/latest").await.unwrap();
    assert_eq!((answer.status, answer.body), (200, image.manifest.bytes()));
    assert!(directory.path().join("elsewhere").join(NAME).join("VERSION").is_file());
    assert!(!directory.path().join("nowhere").exists());
    program.wait_for_line("containerd: put");
    let log = program.log();
    assert!(log.contains(" with built-in configuration and 10 variables (no ./wharf.toml, "), "{log}");
    assert!(!log.contains("canary") && !log.contains("does not read"), "{log}");
}

const FILE: &str = r#"
[server]
listen = ["127.0.0.1:5000", "127.0.0.1:5005"]
domain = "${DOMAIN}"
[defaults]
tag_ttl = "5m"
proxy = "http://u:canary@proxy.corp.test:3128"
[[registry]]
name = "docker.io"
username = "me"
password = "${PASSWORD}"
"#;

#[test]
fn each_key_is_explained_with_its_value_and_its_source() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("wharf.toml"), FILE).unwrap();
    let mut check = command(
        directory.path(),
        &["check", "--explain", "--set", "registry.docker.io.idle_timeout=7s", "--set", "log.access=false"],
    );
    check.envs([
        ("DOMAIN", "cache.test"),
        ("PASSWORD", "canary"),
        ("WHARF_LOG_LEVEL", "debug"),
        ("WHARF_LOG_ACCESS", "true"),
        ("WHARF_REGISTRY_DOCKER_IO_TRUSTED_HOSTS", "auth.corp.test, 10.1.2.3:9000"),
    ]);
    let output = check.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("wharf.toml and 4 variables: no mistakes\n"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    let rows: Vec<Vec<&str>> = said
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    for row in [
        ["KEY", "VALUE", "FROM", "VARIABLE"],
        ["server.listen", "[\"127.0.0.1:5000\", \"127.0.0.1:5005\"]", "wharf.toml:3", "WHARF_SERVER_LISTEN"],
        ["server.domain", "\"cache.test\"", "wharf.toml:4", "WHARF_SERVER_DOMAIN"],
        ["server.default_registry", "-", "default", "WHARF_SERVER_DEFAULT_REGISTRY"],
        ["server.shutdown_grace", "\"1m\"", "default", "WHARF_SERVER_SHUTDOWN_GRACE"],
        ["server.client_connection_count_max", "5000", "default", "WHARF_SERVER_CLIENT_CONNECTION_COUNT_MAX"],
        ["storage.root", "\"./wharf-data\"", "default", "WHARF_STORAGE_ROOT"],
        ["log.level", "\"debug\"", "WHARF_LOG_LEVEL", "WHARF_LOG_LEVEL"],
        ["log.access", "false", "--set log.access", "WHARF_LOG_ACCESS"],
        ["defaults.tag_ttl", "\"5m\"", "wharf.toml:6", "WHARF_DEFAULTS_TAG_TTL"],
        ["registry[docker.io].name", "\"docker.io\"", "wharf.toml:9", "WHARF_REGISTRIES"],
        [
            "registry[docker.io].upstream",
            "\"https://registry-1.docker.io\"",
            "default",
            "WHARF_REGISTRY_DOCKER_IO_UPSTREAM",
        ],
        ["registry[docker.io].tag_ttl", "\"5m\"", "wharf.toml:6", "WHARF_REGISTRY_DOCKER_IO_TAG_TTL"],
        ["registry[docker.io].password", "(secret)", "wharf.toml:11", "WHARF_REGISTRY_DOCKER_IO_PASSWORD"],
        [
            "registry[docker.io].proxy",
            "\"http://***@proxy.corp.test:3128/\"",
            "wharf.toml:7",
            "WHARF_REGISTRY_DOCKER_IO_PROXY",
        ],
        [
            "registry[docker.io].idle_timeout",
            "\"7s\"",
            "--set registry.docker.io.idle_timeout",
            "WHARF_REGISTRY_DOCKER_IO_IDLE_TIMEOUT",
        ],
        [
            "registry[docker.io].trusted_hosts",
            "[\"auth.corp.test\", \"10.1.2.3:9000\"]",
            "WHARF_REGISTRY_DOCKER_IO_TRUSTED_HOSTS",
            "WHARF_REGISTRY_DOCKER_IO_TRUSTED_HOSTS",
        ],
    ] {
        assert!(rows.iter().any(|it| *it == row), "{row:?} in:\n{said}");
    }
}

#[test]
fn without_a_file_the_image_s_root_and_the_built_in_registries_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let output =
        command(directory.path(), &["check", "--explain"]).env("WHARF_ROOT", "/data").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for (key, value, from) in [
        ("storage.root", "\"/data\"", "WHARF_ROOT"),
        ("server.default_registry", "\"docker.io\"", "the built-in configuration"),
        ("registry[quay.io].name", "\"quay.io\"", "the built-in registry quay.io"),
        ("registry[quay.io].root", "\"/data/quay.io\"", "default"),
    ] {
        let line = said.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap();
        assert!(line.contains(value) && line.contains(from), "{line}");
    }
}

#[test]
fn a_mistake_in_a_variable_keeps_it_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    for (name, expected) in [
        (
            "WHARF_SERVER_DOMIAN",
            "WHARF_SERVER_DOMIAN: there is no such variable; did you mean WHARF_SERVER_DOMAIN?",
        ),
        (
            "WHARF_DEFAULTS_TAG_TTL",
            "WHARF_DEFAULTS_TAG_TTL: the number has no unit; write \"5s\" if seconds are meant",
        ),
    ] {
        let output = command(directory.path(), &["serve"]).env(name, "5").output().unwrap();
        let complained = String::from_utf8(output.stderr).unwrap();
        let expected = format!("{expected}\n1 mistake in the configuration; nothing was started\n");
        assert_eq!((output.status.code(), complained), (Some(1), expected));
    }
    let (code, _, complained) = run(directory.path(), &["check", "--set", "server.domain"]);
    assert_eq!(code, Some(2));
    assert!(complained.contains("write KEY=VALUE, such as server.domain=cache.example"), "{complained}");
}
