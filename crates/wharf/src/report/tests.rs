use super::entry_point::UNKNOWN_ADDRESS;
use super::*;
use crate::config::Environment;

/// A time in 2027.
const NOW: u64 = 1_800_000_000;

fn config(text: &str) -> Config {
    Config::parse("wharf.toml", text, &|_| None).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Where a server of this configuration listens.
fn listeners(config: &Config, own: Option<Ipv4Addr>) -> Listeners<'_> {
    let tls = config.server.tls.as_ref().map_or(&[][..], |tls| &tls.listen);
    let admin = config.admin.as_ref().map(|admin| &admin.listen);
    Listeners { plain: &config.server.listen, tls, admin, own }
}

#[track_caller]
fn check_start(text: &str, expected: &[&str]) {
    let config = config(text);
    let lines = start(&config, listeners(&config, None));
    assert_eq!(lines, *expected);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(title(&config), format!("wharf {version} with wharf.toml"));
}

#[test]
fn with_a_domain_every_registry_has_its_host() {
    check_start(
        r#"
[server]
listen = ["0.0.0.0:5000", "[::1]:80"]
domain = "registry.example.com"
[[registry]]
name = "docker.io"
[[registry]]
name = "corp.example:8443"
"#,
        &[
            "listening on http://0.0.0.0:5000",
            "listening on http://[::1]:80",
            "admin on http://127.0.0.1:5001/metrics",
            "docker.io -> https://registry-1.docker.io as http://docker.io.registry.example.com:5000 \
             or http://registry.example.com:5000/v2/?ns=docker.io",
            "corp.example:8443 -> https://corp.example:8443 as http://corp.example-8443.registry.example.com:5000 \
             or http://registry.example.com:5000/v2/?ns=corp.example:8443",
            "docker: put {\"registry-mirrors\": [\"http://docker.io.registry.example.com:5000\"]} \
             into /etc/docker/daemon.json",
            "containerd: put [host.\"http://registry.example.com:5000\"] \
             into /etc/containerd/certs.d/_default/hosts.toml",
        ],
    );
}

#[test]
fn newcomer_without_a_domain_the_name_stands_behind_the_address() {
    for (listen, host, base) in [
        ("0.0.0.0:5000", "<address>:5000/ghcr.io", "<address>:5000"),
        ("10.0.0.5:5000", "10.0.0.5:5000/ghcr.io", "10.0.0.5:5000"),
        ("127.0.0.1:5000", "127.0.0.1:5000/ghcr.io", "127.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000/ghcr.io", "[::1]:5000"),
        ("[fd00::1]:5000", "[fd00::1]:5000/ghcr.io", "[fd00::1]:5000"),
    ] {
        check_start(
            &format!(
                "[server]\nlisten = {listen:?}\n[admin]\nlisten = \"off\"\n[[registry]]\nname = \"ghcr.io\"\n"
            ),
            &[
                &format!("listening on http://{listen}"),
                &format!("ghcr.io -> https://ghcr.io as http://{host} or http://{base}/v2/?ns=ghcr.io"),
                &format!(
                    "containerd: put [host.\"http://{base}\"] into /etc/containerd/certs.d/_default/hosts.toml"
                ),
            ],
        );
    }
}

/// Debian's resolver does not resolve `docker.io.localhost`, so no client could use it.
#[test]
fn newcomer_3_no_hint_names_a_host_that_only_browsers_and_curl_resolve() {
    for default in ["", "default_registry = \"docker.io\"\n"] {
        for listen in ["127.0.0.1:5000", "[::1]:5000"] {
            let text = format!(
                "[server]\nlisten = {listen:?}\n{default}[[registry]]\nname = \"docker.io\"\n[[registry]]\n\
                 name = \"corp.example:8443\"\n"
            );
            let config = config(&text);
            let lines =
                [start(&config, listeners(&config, None)), start_short(&config, listeners(&config, None))];
            let told = format!("{}\n{}", lines.concat().join("\n"), check(&config, NOW));
            assert!(!told.contains(".localhost"), "{told}");
            assert!(told.contains(&format!("http://{listen}/corp.example-8443 or ")), "{told}");
            assert!(told.contains(&format!("{{\"registry-mirrors\": [\"http://{listen}\"]}}")), "{told}");
            // At the bare address Docker finds the Hub only if it is the default registry.
            let also = "and default_registry = \"docker.io\" into [server] of wharf";
            assert_eq!(told.contains(also), default.is_empty(), "{told}");
        }
    }
}

#[test]
fn check_says_what_the_bare_address_means() {
    let registries = "[[registry]]\nname = \"ghcr.io\"\n[[registry]]\nname = \"docker.io\"\n";
    let server = "[server]\nlisten = \"10.0.0.5:5000\"\n";
    let text = check(&config(&format!("{server}default_registry = \"ghcr.io\"\n{registries}")), NOW);
    assert!(text.contains("\nbare    http://10.0.0.5:5000 means ghcr.io\n"), "{text}");
    let text = check(&config(&format!("{server}{registries}")), NOW);
    let expected = "\nbare    http://10.0.0.5:5000 serves no default registry; set default_registry in [server] to choose one\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn every_host_that_is_shown_leads_to_its_registry() {
    use policy::host::Route;
    for server in
        ["", "[server]\ndomain = \"registry.example.com\"\n", "[server]\nlisten = \"127.0.0.1:5000\"\n"]
    {
        let text = format!(
            "{server}[[registry]]\nname = \"docker.io\"\n[[registry]]\nname = \"corp.example:8443\"\n\
             [[registry]]\nname = \"10.0.0.5:5000\"\nupstream = \"https://10.0.0.5:5000\"\n"
        );
        let config = config(&text);
        let entry = EntryPoint::of(&config, &config.server.listen, &[], None).unwrap();
        for (expected, registry) in config.registries.iter().enumerate() {
            let address = entry.address_of(registry).unwrap().replace(UNKNOWN_ADDRESS, "192.0.2.1");
            let (host, path) = match address.split_once('/') {
                Some((host, prefix)) => (host, format!("/v2/{prefix}/library/alpine/manifests/1")),
                None => (&*address, "/v2/library/alpine/manifests/1".to_owned()),
            };
            let route = config.routes.route(host, &path, None);
            assert!(
                matches!(&route, Ok(Route::Registry { registry: index, path, .. })
                    if *index == expected && path == "/v2/library/alpine/manifests/1"),
                "{address}: {route:?}"
            );
        }
    }
}

#[test]
fn check_shows_a_table_and_the_warnings() {
    let config = config(
        r#"
[server]
domain = "w.example"
[storage]
root = "/srv/wharf"
[[registry]]
name = "docker.io"
username = "me"
password = "canary"
[[registry]]
name = "[fd00::1]:5000"
upstream = "http://[fd00::1]:5000"
"#,
    );
    let rows = "\
wharf.toml: no mistakes
listen  0.0.0.0:5000
admin   127.0.0.1:5001
bare    http://w.example:5000 serves no default registry; set default_registry in [server] to choose one
any     http://w.example:5000/v2/?ns=REGISTRY, as containerd asks

REGISTRY        UPSTREAM                      ADDRESS                   CREDENTIALS  ROOT
docker.io       https://registry-1.docker.io  docker.io.w.example:5000  password     /srv/wharf/docker.io
[fd00::1]:5000  http://[fd00::1]:5000         -                         no           /srv/wharf/[fd00::1]:5000

";
    let warnings = "\
        only public repositories, although wharf has a login: docker.io; for private ones, name in [access] \
        who may pull, or set serve_private\n\n\
        warning: wharf.toml:12: registry[[fd00::1]:5000].upstream: requests to this upstream go without \
        TLS, so anyone on the path can change what a tag names; use https if the upstream offers it\n";
    assert_eq!(check(&config, NOW), format!("{rows}{warnings}"));
}

#[test]
fn the_hints_name_this_machine_where_its_address_is_known() {
    let config = config("[[registry]]\nname = \"docker.io\"\n");
    let own = Some(Ipv4Addr::new(192, 168, 1, 10));
    let lines = start(&config, listeners(&config, own)).join("\n");
    assert!(!lines.contains(UNKNOWN_ADDRESS), "{lines}");
    assert!(lines.contains("as http://192.168.1.10:5000/docker.io or "), "{lines}");
    assert!(lines.contains("[host.\"http://192.168.1.10:5000\"]"), "{lines}");
}

#[test]
fn without_a_file_the_title_names_the_searched_places() {
    let title = title(&Config::builtin(&Environment::without_keys(&|_| None)).unwrap());
    let expected = "with built-in configuration (no ./wharf.toml, no /etc/wharf/wharf.toml)";
    assert!(title.ends_with(expected), "{title}");
}

/// A configuration with TLS whose certificate is for `names`.
fn tls_config(directory: &tempfile::TempDir, names: &[&str], server: &str) -> Config {
    let path = |name: &str| directory.path().join(name).display().to_string();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let identity = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(path("cert.pem"), identity.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), identity.signing_key.serialize_pem()).unwrap();
    config(&format!(
        "[server]\n{server}\n[server.tls]\nlisten = \"0.0.0.0:443\"\ncert_file = {:?}\nkey_file = {:?}\n\
         [[registry]]\nname = \"docker.io\"\n",
        path("cert.pem"),
        path("key.pem"),
    ))
}

#[test]
fn with_tls_the_hints_use_names_of_the_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let own = Some(Ipv4Addr::new(192, 168, 1, 10));
    let domain = "domain = \"cache.example\"\nlisten = \"off\"";
    for (names, server, expected) in [
        (
            &["*.cache.example", "cache.example"][..],
            domain,
            "https://docker-io.cache.example or https://cache.example/v2/",
        ),
        (
            &["docker.io.cache.example"],
            domain,
            "https://docker.io.cache.example or https://cache.example/v2/",
        ),
        (
            &["192.168.1.10"],
            "listen = []",
            "as https://192.168.1.10/docker.io or https://192.168.1.10/v2/?ns=docker.io",
        ),
    ] {
        let config = tls_config(&directory, names, server);
        let lines = start(&config, listeners(&config, own)).join("\n");
        assert!(lines.contains(expected) && !lines.contains("http://docker"), "{lines}");
        assert!(
            lines.contains("listening on https://0.0.0.0:443") && !lines.contains("on http://0"),
            "{lines}"
        );
        assert!(lines.contains("containerd: put [host.\"https://"), "{lines}");
    }
    let config = tls_config(&directory, &["*.cache.example"], domain);
    let text = check(&config, NOW);
    let expected = "listen  0.0.0.0:443 (TLS)\nadmin   127.0.0.1:5001\n\
                    bare    https://cache.example serves no default registry; set default_registry in \
                    [server] to choose one\n\
                    any     https://cache.example/v2/?ns=REGISTRY, as containerd asks\n";
    assert!(text.contains(expected) && text.contains("  docker-io.cache.example  "), "{text}");
}

#[test]
fn a_bare_address_that_means_the_hub_is_dockers_mirror() {
    let own = Some(Ipv4Addr::new(192, 168, 1, 10));
    let config = config("[server]\ndefault_registry = \"docker.io\"\n[[registry]]\nname = \"docker.io\"\n");
    let lines = start(&config, listeners(&config, own)).join("\n");
    assert!(lines.contains("docker: put {\"registry-mirrors\": [\"http://192.168.1.10:5000\"]}"), "{lines}");
    // In a container wharf does not know its address; the result is the same.
    let lines = start(&config, listeners(&config, None)).join("\n");
    assert!(lines.contains("docker: put {\"registry-mirrors\": [\"http://<address>:5000\"]}"), "{lines}");
}

#[test]
fn a_person_sees_in_a_few_lines_that_it_runs_and_the_next_step() {
    let config = config(
        "[server]\ndefault_registry = \"docker.io\"\n[[registry]]\nname = \"docker.io\"\n[[registry]]\nname = \"ghcr.io\"\n",
    );
    let lines = start_short(&config, listeners(&config, Some(Ipv4Addr::new(192, 168, 1, 10))));
    assert_eq!(
        lines,
        [
            "listening on http://0.0.0.0:5000; admin on http://127.0.0.1:5001/metrics",
            "registries  docker.io ghcr.io",
            "docker      {\"registry-mirrors\": [\"http://192.168.1.10:5000\"]} into /etc/docker/daemon.json",
            "containerd  [host.\"http://192.168.1.10:5000\"] into /etc/containerd/certs.d/_default/hosts.toml",
        ]
    );
    assert!(lines.iter().all(|line| line.len() <= 110), "{lines:?}");
}

/// Writes a certificate for `names`, valid until `ends`, in days from [`NOW`].
fn put_certificate(directory: &tempfile::TempDir, file: &str, names: &[&str], ends: i64) {
    let at = |days: i64| time::OffsetDateTime::from_unix_timestamp(NOW as i64 + days * 86_400).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    (params.not_before, params.not_after) = (at(-30), at(ends));
    let key = rcgen::KeyPair::generate().unwrap();
    let path = |end: &str| directory.path().join(format!("{file}.{end}"));
    std::fs::write(path("pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(path("key"), key.serialize_pem()).unwrap();
}

#[test]
fn a_check_names_the_certificate_of_each_virtual_host() {
    let directory = tempfile::tempdir().unwrap();
    put_certificate(&directory, "one", &["cache.example", "*.cache.example"], 10);
    put_certificate(&directory, "two", &["hub.example"], -1);
    let pair = |file: &str| {
        let path = directory.path().join(file).display().to_string();
        format!("cert_file = \"{path}.pem\"\nkey_file = \"{path}.key\"\n")
    };
    let config = config(&format!(
        "[server]\ndomain = \"cache.example\"\nhosts = \"wharf.example\"\n[server.tls]\n{}\
         [[server.tls.certificate]]\n{}[[registry]]\nname = \"docker.io\"\nhosts = \"hub.example\"\n",
        pair("one"),
        pair("two"),
    ));
    let text = check(&config, NOW);
    let table: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let [one, two] =
        ["one", "two"].map(|file| directory.path().join(format!("{file}.pem")).display().to_string());
    for row in [
        format!("cache.example {one} 2027-01-25"),
        "wharf.example - no certificate covers this name".to_owned(),
        "docker.io.cache.example - no certificate covers this name".to_owned(),
        format!("docker-io.cache.example {one} 2027-01-25"),
        format!("hub.example {two} expired 2027-01-14"),
        format!("warning: {two}: the certificate is not valid: expired 2027-01-14"),
    ] {
        assert!(table.contains(&row), "{row}\n{text}");
    }
    assert!(!check(&config_without_tls(), NOW).contains("CERTIFICATE"));
}

fn config_without_tls() -> Config {
    config("[[registry]]\nname = \"docker.io\"\n")
}
