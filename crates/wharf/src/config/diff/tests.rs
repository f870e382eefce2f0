use std::path::Path;

use super::*;
use crate::config::keys::SECTIONS;

fn parse(text: &str) -> Config {
    Config::parse("wharf.toml", text, &|name| {
        Some(format!("value of {name}")).filter(|_| ["HOME", "TWO"].contains(&name))
    })
    .unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"))
}

/// Texts for each key: a section with one value, and with another one. `AT` stands for a directory with files
/// in it.
const ROWS: &[(&str, &str, &str, &str)] = &[
    ("server", "listen", "\"127.0.0.1:5000\"", "\"127.0.0.1:6000\""),
    ("server", "domain", "\"one.example\"", "\"two.example\""),
    ("server", "hosts", "[\"one.example\"]", "[\"two.example\"]"),
    ("server", "default_registry", "\"a.example\"", "\"b.example\""),
    ("server", "trusted_proxies", "[\"10.0.0.1\"]", "[\"10.0.0.2\"]"),
    ("server", "proxy_protocol", "true\ntrusted_proxies = \"::1\"", "false\ntrusted_proxies = \"::1\""),
    ("access", "users_file", "\"AT/one.users\"", "\"AT/two.users\""),
    ("access", "tokens_file", "\"AT/one.tokens\"", "\"AT/two.tokens\""),
    ("access", "addresses", "[\"10.0.0.0/8\"]", "[\"fd00::/8\"]"),
    ("server.tls", "client_ca_file", "\"AT/one.pem\"", "\"AT/two.pem\""),
    ("access", "client_names", "[\"one\"]", "[\"two\"]"),
    ("access", "require", "\"any\"", "\"all\""),
    ("access", "allow", "[\"one/*\"]", "[\"two/*\"]"),
    ("access", "deny", "[\"one/*\"]", "[\"two/*\"]"),
    (
        "access",
        "rule",
        "[{ addresses = \"10.0.0.1\", deny = \"one/*\" }]",
        "[{ addresses = \"10.0.0.1\", deny = \"two/*\" }]",
    ),
    ("server", "shutdown_grace", "\"10s\"", "\"20s\""),
    ("server", "sendfile", "true", "false"),
    ("server", "sandbox", "true", "false"),
    ("server", "connection_count_max", "100", "200"),
    ("server", "client_connection_count_max", "10", "20"),
    ("server", "answer_count_max", "100", "200"),
    ("server", "body_bytes_max", "100000000", "200000000"),
    ("server.tls", "listen", "\"127.0.0.1:5443\"", "\"127.0.0.1:6443\""),
    ("server.tls", "cert_file", "\"AT/one.pem\"", "\"AT/two.pem\""),
    ("server.tls", "key_file", "\"AT/one.key\"", "\"AT/two.key\""),
    (
        "server.tls",
        "certificate",
        "[{ cert_file = \"AT/three.pem\", key_file = \"AT/three.key\" }]",
        "[{ cert_file = \"AT/two.pem\", key_file = \"AT/two.key\" }]",
    ),
    ("server.tls", "plain", "\"serve\"", "\"redirect\""),
    ("server.tls", "redirect_to", "443\nplain = \"redirect\"", "8443\nplain = \"redirect\""),
    ("server.acme", "contact", "\"a@one.example\"", "\"a@two.example\""),
    ("server.acme", "directory", "\"https://one.example/\"", "\"https://two.example/\""),
    ("server.acme", "ca_file", "\"AT/one.pem\"", "\"AT/two.pem\""),
    ("server.acme", "challenge", "\"http-01\"", "\"tls-alpn-01\""),
    ("server.acme", "names", "[\"one.example\"]", "[\"two.example\"]"),
    (
        "server.acme",
        "wildcard",
        "false\nchallenge = \"dns-01\"\ndns_hook = \"/x\"",
        "true\nchallenge = \"dns-01\"\ndns_hook = \"/x\"",
    ),
    ("server.acme", "state_dir", "\"one\"", "\"two\""),
    ("server.acme", "eab_key_id", "\"one\"\neab_key = \"YWFh\"", "\"two\"\neab_key = \"YWFh\""),
    ("server.acme", "eab_key", "\"YWFh\"\neab_key_id = \"k\"", "\"YmJi\"\neab_key_id = \"k\""),
    (
        "server.acme",
        "eab_key_file",
        "\"AT/one.key64\"\neab_key_id = \"k\"",
        "\"AT/two.key64\"\neab_key_id = \"k\"",
    ),
    (
        "server.acme",
        "dns_server",
        "\"192.0.2.1:53\"\nchallenge = \"dns-01\"\ndns_key_name = \"k\"\ndns_key = \"YWFh\"",
        "\"192.0.2.2:53\"\nchallenge = \"dns-01\"\ndns_key_name = \"k\"\ndns_key = \"YWFh\"",
    ),
    (
        "server.acme",
        "dns_resolver",
        "\"192.0.2.3:53\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key_name = \"k\"\ndns_key = \"YWFh\"",
        "\"192.0.2.4:53\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key_name = \"k\"\ndns_key = \"YWFh\"",
    ),
    (
        "server.acme",
        "dns_key_name",
        "\"one\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key = \"YWFh\"",
        "\"two\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key = \"YWFh\"",
    ),
    (
        "server.acme",
        "dns_key_algorithm",
        "\"hmac-sha256\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key_name = \"k\"\ndns_key = \"YWFh\"",
        "\"hmac-sha512\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key_name = \"k\"\ndns_key = \"YWFh\"",
    ),
    (
        "server.acme",
        "dns_key",
        "\"YWFh\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key_name = \"k\"",
        "\"YmJi\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key_name = \"k\"",
    ),
    (
        "server.acme",
        "dns_key_file",
        "\"AT/one.key64\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key_name = \"k\"",
        "\"AT/two.key64\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key_name = \"k\"",
    ),
    ("server.acme", "dns_hook", "\"/one\"\nchallenge = \"dns-01\"", "\"/two\"\nchallenge = \"dns-01\""),
    (
        "server.acme",
        "dns_hook_variables",
        "[\"HOME\"]\nchallenge = \"dns-01\"\ndns_hook = \"/x\"",
        "[\"TWO\"]\nchallenge = \"dns-01\"\ndns_hook = \"/x\"",
    ),
    (
        "server.acme",
        "dns_wait",
        "\"1s\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key_name = \"k\"\ndns_key = \"YWFh\"",
        "\"2s\"\nchallenge = \"dns-01\"\ndns_server = \"192.0.2.1:53\"\ndns_key_name = \"k\"\ndns_key = \"YWFh\"",
    ),
    ("admin", "listen", "\"127.0.0.1:5001\"", "\"127.0.0.1:6001\""),
    ("admin", "socket_mode", "\"0600\"", "\"0660\""),
    ("admin", "token_file", "\"AT/one\"", "\"AT/two\""),
    ("admin", "hosts", "[\"one.example\"]", "[\"two.example\"]"),
    ("storage", "root", "\"one\"", "\"two\""),
    ("storage", "max_size", "\"1GB\"", "\"off\""),
    ("storage", "free_min", "\"1%\"", "\"2%\""),
    ("storage", "scrub_every", "\"1h\"", "\"off\""),
    ("storage", "scrub_rate", "\"1MB/s\"", "\"2MB/s\""),
    ("log", "level", "\"info\"", "\"debug\""),
    ("log", "format", "\"text\"", "\"json\""),
    ("log", "access", "true", "false"),
    ("warm", "images", "[\"alpine\"]", "[\"redis\"]"),
    ("warm", "files", "\"one.txt\"", "\"two.txt\""),
    ("warm", "every", "\"1h\"", "\"2h\""),
    ("warm", "platforms", "\"linux/amd64\"", "[\"linux/amd64\", \"linux/arm64\"]"),
    ("warm", "referrers", "false", "true"),
    ("registry", "name", "\"one.example\"", "\"two.example\""),
    ("registry", "aliases", "[\"one.example\"]", "[\"two.example\"]"),
    ("registry", "hosts", "[\"one.example\"]", "[\"two.example\"]"),
    ("registry", "upstream", "\"https://one.example\"", "\"https://two.example\""),
    (
        "registry",
        "upstream",
        "[\"https://one.example\", \"https://three.example\"]",
        "[\"https://one.example\", \"https://two.example\"]",
    ),
    ("registry", "root", "\"one\"", "\"two\""),
    ("registry", "username", "\"one\"\npassword = \"p\"", "\"two\"\npassword = \"p\""),
    ("registry", "password", "\"one\"\nusername = \"u\"", "\"two\"\nusername = \"u\""),
    ("registry", "password_file", "\"AT/one\"\nusername = \"u\"", "\"AT/two\"\nusername = \"u\""),
    ("registry", "credentials", "\"helper:one\"", "\"helper:two\""),
    ("registry", "ca_file", "\"AT/one.pem\"", "\"AT/two.pem\""),
    (
        "registry",
        "client_cert",
        "\"AT/one.pem\"\nclient_key = \"AT/one.key\"",
        "\"AT/two.pem\"\nclient_key = \"AT/two.key\"",
    ),
    (
        "registry",
        "client_key",
        "\"AT/one.key\"\nclient_cert = \"AT/one.pem\"",
        "\"AT/two.key\"\nclient_cert = \"AT/one.pem\"",
    ),
    ("registry", "insecure_skip_verify", "false", "true"),
    ("registry", "trusted_hosts", "[\"one.example\"]", "[\"two.example\"]"),
    ("registry", "proxy", "\"http://one.example:1\"", "\"http://two.example:1\""),
    (
        "registry",
        "no_proxy",
        "\"one.example\"\nproxy = \"http://one.example:1\"",
        "\"two.example\"\nproxy = \"http://one.example:1\"",
    ),
    ("registry", "connect_timeout", "\"1s\"", "\"2s\""),
    ("registry", "header_timeout", "\"11s\"", "\"12s\""),
    ("registry", "idle_timeout", "\"11s\"", "\"12s\""),
    ("registry", "connections_per_blob_max", "1", "2"),
    ("registry", "connections_max", "1", "2"),
    ("registry", "read_ahead", "0", "1"),
    ("registry", "upstream_bandwidth", "\"1MB/s\"", "\"off\""),
    ("registry", "client_bandwidth", "\"1MB/s\"", "\"2MB/s\""),
    ("registry", "tag_ttl", "\"1s\"", "\"2s\""),
    ("registry", "tag", "[{ match = \"v*\", ttl = \"1h\" }]", "[{ match = \"v*\", ttl = \"2h\" }]"),
    ("registry", "stale_if_error", "\"1s\"", "\"2s\""),
    ("registry", "on_upstream_404", "\"404\"", "\"serve\""),
    ("registry", "auth_ttl", "\"1s\"", "\"2s\""),
    ("registry", "offline", "false", "true"),
    ("registry", "serve_private", "false", "true"),
    ("registry", "auth", "\"account\"", "\"passthrough\""),
    ("registry", "catalog", "true", "false"),
    ("registry", "max_size", "\"1GB\"", "\"2GB\""),
    ("registry", "unused_for", "\"30d\"", "\"off\""),
    ("registry", "keep_tags", "1", "2"),
    ("registry", "keep", "[\"one\"]", "[\"two:v*\"]"),
];

fn put_files(directory: &Path) {
    for name in ["one", "two", "three"] {
        let identity = rcgen::generate_simple_self_signed(vec![format!("{name}.example")]).unwrap();
        std::fs::write(directory.join(name), format!("secret-{name}\n")).unwrap();
        let key = name.chars().chain("a".chars()).take(4).collect::<String>();
        std::fs::write(directory.join(format!("{name}.key64")), key).unwrap();
        let hash = format!("$2y$05${}", name.repeat(18).split_at(53).0);
        std::fs::write(directory.join(format!("{name}.users")), format!("alice:{hash}\n")).unwrap();
        std::fs::write(directory.join(format!("{name}.tokens")), format!("ci:{}\n", name.repeat(10)))
            .unwrap();
        std::fs::write(directory.join(format!("{name}.pem")), identity.cert.pem()).unwrap();
        std::fs::write(directory.join(format!("{name}.key")), identity.signing_key.serialize_pem()).unwrap();
    }
}

/// A configuration in which the key has this value.
fn with(directory: &Path, section: &str, key: &str, value: &str) -> Config {
    let tls = match (section, key, value.contains("two")) {
        ("server.tls", "cert_file", true) => "key_file = \"AT/two.key\"",
        ("server.tls", "cert_file", false) => "key_file = \"AT/one.key\"",
        ("server.tls", "key_file", true) => "cert_file = \"AT/two.pem\"",
        ("server.tls", "key_file", false) => "cert_file = \"AT/one.pem\"",
        ("admin", "socket_mode", _) => "listen = \"unix:/run/admin.sock\"",
        ("server.tls", ..) => "cert_file = \"AT/one.pem\"\nkey_file = \"AT/one.key\"",
        _ => "",
    };
    let others = "[[registry]]\nname = \"a.example\"\n[[registry]]\nname = \"b.example\"\n";
    let text = match (section, key) {
        ("registry", "serve_private") => {
            let login = "username = \"u\"\npassword = \"p\"";
            format!("{others}[[registry]]\nname = \"c.example\"\n{login}\n{key} = {value}\n")
        }
        ("registry", "name") => format!("[[registry]]\nname = {value}\n{others}"),
        ("registry", _) => format!("{others}[[registry]]\nname = \"c.example\"\n{key} = {value}\n"),
        ("access", "client_names") => {
            let tls =
                "cert_file = \"AT/one.pem\"\nkey_file = \"AT/one.key\"\nclient_ca_file = \"AT/one.pem\"";
            format!("[server.tls]\n{tls}\n[access]\n{key} = {value}\n{others}")
        }
        ("server.acme", _) => format!(
            "[server]\ndomain = \"reg.example\"\n[server.acme]\nterms_agreed = true\n{key} = {value}\n{others}"
        ),
        _ => format!("[{section}]\n{key} = {value}\n{tls}\n{others}"),
    };
    parse(&text.replace("AT", &directory.display().to_string()))
}

/// Each key does what its declaration promises: a reload applies it, or names it as waiting for a restart.
#[test]
fn f41_what_a_reload_takes_over_and_what_waits_for_a_restart_is_as_declared() {
    let directory = tempfile::tempdir().unwrap();
    put_files(directory.path());
    for section in SECTIONS {
        for declared in section.keys() {
            let (section, key) = (section.name, declared.name());
            if (section, key) == ("server.acme", "terms_agreed") {
                // It has one value.
                continue;
            }
            let row = ROWS.iter().find(|row| (row.0, row.1) == (section, key));
            let (.., one, two) = row.unwrap_or_else(|| panic!("{section}.{key} has no row"));
            if (section, key) == ("registry", "client_key") {
                // Two private keys never both fit one certificate.
                continue;
            }
            let (running, new) =
                (with(directory.path(), section, key, one), with(directory.path(), section, key, two));
            let diff = Diff::between(&running, &new);
            let in_force = in_force(&running, &new);
            assert!(!diff.is_empty(), "{section}.{key}");
            assert_eq!(diff.waiting.is_empty(), declared.is_reloadable(), "{section}.{key}: {diff:?}");
            let left = Diff::between(&in_force, &new);
            assert_eq!(left.waiting, diff.waiting, "{section}.{key}: what waits goes on waiting");
            let left = Diff { waiting: Vec::new(), ..left };
            assert!(left.is_empty(), "{section}.{key}: the rest is taken over: {left:?}");
            assert!(Diff::between(&new, &new).is_empty(), "{section}.{key}");
            assert!(Diff::between(&running, &running.clone()).is_empty(), "{section}.{key}");
        }
    }
}

#[test]
fn f41_a_summary_names_what_changed_in_one_line() {
    let running = parse(
        "[log]\nlevel = \"info\"\n[[registry]]\nname = \"a.example\"\n[[registry]]\nname = \"b.example\"\n\
         tag_ttl = \"1s\"\n[[registry]]\nname = \"c.example\"\n",
    );
    let new = parse(
        "[server]\nlisten = \"127.0.0.1:6000\"\n[log]\nlevel = \"debug\"\n[[registry]]\nname = \"b.example\"\n\
         tag_ttl = \"2s\"\nusername = \"u\"\npassword = \"p\"\n[[registry]]\nname = \"c.example\"\n\
         [[registry]]\nname = \"d.example\"\n",
    );
    let diff = Diff::between(&running, &new);
    assert_eq!(
        diff.to_string(),
        "added d.example; removed a.example; changed b.example (upstream, rules); changed log"
    );
    assert_eq!(
        diff.waiting.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["listen of [server] needs a restart; until then it is 0.0.0.0:5000"]
    );
    assert_eq!(Diff::between(&new, &new).to_string(), "nothing changed");
}

/// A reload that removes the token for a new listener on loopback must not open the public listener.
#[test]
fn f41_an_admin_listener_that_stays_keeps_its_token() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let running = parse(&format!("[admin]\nlisten = \"0.0.0.0:5001\"\ntoken_file = {token:?}\n"));
    for text in ["[admin]\nlisten = \"127.0.0.1:5001\"\n", "[admin]\nlisten = \"off\"\n"] {
        let admin = in_force(&running, &parse(text)).admin.unwrap();
        assert_eq!(admin.listen.to_string(), "0.0.0.0:5001");
        assert_eq!(admin.token.unwrap().expose(), "s3cret");
    }
    let none = in_force(&parse("[admin]\nlisten = \"off\"\n"), &running).admin;
    assert!(none.is_none());
}

#[test]
fn f41_the_order_of_registries_is_no_change() {
    let one = parse("[[registry]]\nname = \"a.example\"\n[[registry]]\nname = \"b.example\"\n");
    let other = parse("[[registry]]\nname = \"b.example\"\n[[registry]]\nname = \"a.example\"\n");
    assert!(Diff::between(&one, &other).is_empty());
}
