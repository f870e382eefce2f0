use std::collections::HashSet;

use super::*;
use crate::config::Config;
use crate::config::outside::texts;

/// A configuration with this file and these variables, or the mistakes.
fn read(text: &str, variables: &[(&str, &str)], set: &[(&str, &str)]) -> Result<Config, String> {
    let names = variables.iter().map(|(name, _)| (*name).to_owned()).collect();
    let value = |name: &str| {
        let found = variables.iter().find(|(it, _)| *it == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let set = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let environment = Environment { names, set, ..Environment::without_keys(&value) };
    let result = match text {
        "" => Config::builtin(&environment),
        text => Config::read("wharf.toml", text, &environment),
    };
    result.map_err(|mistakes| mistakes.to_string())
}

#[track_caller]
fn right(text: &str, variables: &[(&str, &str)]) -> Config {
    read(text, variables, &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[track_caller]
fn check_refused(text: &str, variables: &[(&str, &str)], expected: &[&str]) {
    let Err(mistakes) = read(text, variables, &[]) else { panic!("taken: {variables:?}") };
    assert_eq!(mistakes.lines().collect::<Vec<_>>(), expected);
}

fn names(config: &Config) -> Vec<&str> {
    config.registries.iter().map(|registry| registry.names.name.as_str()).collect()
}

/// A valid value of each key, as a variable would hold it.
fn example(key: &str, directory: &std::path::Path) -> String {
    let file = |name: &str| directory.join(name).display().to_string();
    match key {
        "listen" => "127.0.0.1:0".to_owned(),
        "domain" | "hosts" => "cache.example".to_owned(),
        "default_registry" => "ghcr.io".to_owned(),
        "cert_file" | "ca_file" | "client_ca_file" | "client_cert" => file("cert.pem"),
        "key_file" | "client_key" => file("key.pem"),
        "certificate" => format!("{}={}", file("two.pem"), file("two.key")),
        "plain" => "redirect".to_owned(),
        "redirect_to" => "443".to_owned(),
        "socket_mode" => "0600".to_owned(),
        "token_file" | "password_file" => file("secret"),
        "root" => "/srv/elsewhere".to_owned(),
        "level" => "debug".to_owned(),
        "format" => "json".to_owned(),
        "name" => "ghcr.io".to_owned(),
        "aliases" => "mirror".to_owned(),
        "upstream" => "https://10.0.0.5:8443".to_owned(),
        "username" | "password" => "canary".to_owned(),
        "trusted_hosts" => "auth.example, 10.1.2.3:9000".to_owned(),
        "proxy" => "http://proxy:3128".to_owned(),
        "no_proxy" => "corp.example, 10.0.0.0/8, *.lan:443".to_owned(),
        "on_upstream_404" => "serve".to_owned(),
        "auth" => "account".to_owned(),
        "sendfile"
        | "sandbox"
        | "access"
        | "insecure_skip_verify"
        | "serve_private"
        | "offline"
        | "catalog"
        | "referrers" => "true".to_owned(),
        "body_bytes_max" => "33554432".to_owned(),
        "read_ahead" => "7".to_owned(),
        "max_size" | "free_min" => "500GB".to_owned(),
        "unused_for" | "scrub_every" => "90d".to_owned(),
        "scrub_rate" | "upstream_bandwidth" | "client_bandwidth" => "10MB/s".to_owned(),
        "keep_tags" => "7".to_owned(),
        "credentials" => "docker-config:/etc/wharf/config.json".to_owned(),
        "tag" => "v*=forever library/*:1.*=1h".to_owned(),
        "keep" => "library/alpine:3.*, tools/*".to_owned(),
        key if key.ends_with("_max") => "7".to_owned(),
        key if key.ends_with("timeout") || key.ends_with("ttl") || key.ends_with("grace") => "3s".to_owned(),
        "stale_if_error" => "3s".to_owned(),
        "images" => "alpine:3.20, ghcr.io/org/app".to_owned(),
        "files" => "/etc/wharf/images.txt".to_owned(),
        "every" => "2h".to_owned(),
        "users_file" => file("users"),
        "tokens_file" => file("tokens"),
        "addresses" | "trusted_proxies" => "10.0.0.0/8 fd00::/8".to_owned(),
        "client_names" => "*.ci.example".to_owned(),
        "require" => "all".to_owned(),
        "allow" | "deny" => "library/*, tools/*".to_owned(),
        "rule" => "addresses=10.0.0.1,10.0.0.2;allow=library/* addresses=::1;deny=*".to_owned(),
        "proxy_protocol" => "true".to_owned(),
        "platforms" => "linux/amd64, linux/arm64".to_owned(),
        "terms_agreed" | "wildcard" => "true".to_owned(),
        "contact" => "ops@example.com".to_owned(),
        "directory" => "https://ca.example/dir".to_owned(),
        "challenge" => "dns-01".to_owned(),
        "names" => "one.example two.example".to_owned(),
        "state_dir" => "/srv/acme".to_owned(),
        "eab_key_id" | "dns_key_name" => "the-key".to_owned(),
        "eab_key" | "dns_key" => "Y2FuYXJ5".to_owned(),
        "eab_key_file" | "dns_key_file" => file("key64"),
        "dns_server" | "dns_resolver" => "192.0.2.53:53".to_owned(),
        "dns_key_algorithm" => "hmac-sha512".to_owned(),
        "dns_hook" => "/etc/wharf/hook".to_owned(),
        "dns_hook_variables" => "TOKEN".to_owned(),
        "dns_wait" => "3s".to_owned(),
        key => panic!("the test has no value for {key}"),
    }
}

fn write_files(directory: &std::path::Path) {
    let identity = rcgen::generate_simple_self_signed(vec!["wharf".to_owned()]).unwrap();
    std::fs::write(directory.join("cert.pem"), identity.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), identity.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("two.pem"), identity.cert.pem()).unwrap();
    std::fs::write(directory.join("two.key"), identity.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("key64"), "Y2FuYXJ5\n").unwrap();
    std::fs::write(directory.join("secret"), "canary\n").unwrap();
    std::fs::write(directory.join("users"), format!("alice:$2y$05${}\n", "a".repeat(53))).unwrap();
    std::fs::write(directory.join("tokens"), format!("ci:{}\n", "canary".repeat(5))).unwrap();
}

/// Keys that need one of these in the same section.
fn companions(key: &str) -> &'static [&'static str] {
    match key {
        "username" => &["password"],
        "proxy_protocol" => &["trusted_proxies"],
        "password" | "password_file" => &["username"],
        "no_proxy" => &["proxy"],
        "client_cert" => &["client_key"],
        "client_key" => &["client_cert"],
        "cert_file" => &["key_file"],
        "key_file" => &["cert_file"],
        "eab_key_id" => &["eab_key"],
        "eab_key" | "eab_key_file" => &["eab_key_id"],
        "wildcard" | "challenge" | "dns_wait" | "dns_hook" | "dns_hook_variables" => {
            &["challenge", "dns_hook"]
        }
        "dns_key_file" => &["challenge", "dns_server", "dns_key_name"],
        key if key.starts_with("dns_") => &["challenge", "dns_server", "dns_key_name", "dns_key"],
        _ => &[],
    }
}

/// A container needs no file: a variable alone sets each declared key.
#[test]
fn every_key_is_set_by_its_variable_alone() {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path());
    let mut count = 0;
    let single = single_keys().map(|(path, key)| (path.to_owned(), key));
    let own = REGISTRY.keys().map(|key| ("registry[ghcr.io]".to_owned(), key.name()));
    for (path, key) in single.chain(own) {
        let variable = |key: &str| match path.strip_prefix("registry") {
            Some(_) => variable_of_registry("ghcr.io", key),
            None => variable_of(&path, key),
        };
        let companions = if path == "server.tls" { &["cert_file", "key_file"][..] } else { companions(key) };
        let keys: Vec<&str> = companions.iter().copied().filter(|it| *it != key).chain([key]).collect();
        let mut owned: Vec<(String, String)> =
            keys.iter().map(|key| (variable(key), example(key, directory.path()))).collect();
        if path == "server.acme" {
            owned.push((variable_of("server", "domain"), "reg.example".to_owned()));
            let agreed = variable("terms_agreed");
            if key != "terms_agreed" {
                owned.push((agreed, "true".to_owned()));
            }
        }
        if key == "client_names" {
            let of_tls = ["cert_file", "key_file", "client_ca_file"];
            owned.extend(of_tls.map(|key| (variable_of("server.tls", key), example(key, directory.path()))));
        }
        let variables: Vec<(&str, &str)> =
            owned.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let config = read("", &variables, &[]).unwrap_or_else(|mistakes| panic!("{path}.{key}: {mistakes}"));
        let name = format!("{path}.{key}");
        let setting = config.settings.iter().find(|setting| setting.key == name);
        let setting = setting.unwrap_or_else(|| panic!("{name} is not explained"));
        assert_eq!(
            (setting.from.as_str(), setting.variable.as_str()),
            (variable(key).as_str(), variable(key).as_str())
        );
        assert!(!setting.value.contains("canary") || key == "username", "{name}: {}", setting.value);
        count += 1;
    }
    assert!(count > 60, "{count}");
}

#[test]
fn no_two_keys_have_one_variable() {
    let mut all: Vec<String> = single_keys().map(|(path, key)| variable_of(path, key)).collect();
    all.extend(REGISTRY.keys().map(|key| variable_of_registry("docker.io", key.name())));
    all.push("WHARF_CONFIG".to_owned());
    all.push("WHARF_ROOT".to_owned());
    let distinct: HashSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    for name in &all {
        assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'));
        // Kubernetes sets such variables in each pod.
        assert!(!foreign::is_of_a_service(name), "{name}");
    }
}

#[test]
fn a_variable_comes_before_the_file_and_the_command_line_before_both() {
    let file = "[server]\ndomain = \"file.example\"\n[defaults]\ntag_ttl = \"1s\"\n\
                [[registry]]\nname = \"ghcr.io\"\ntag_ttl = \"2s\"\n[[registry]]\nname = \"quay.io\"\n";
    let ttl =
        |config: &Config| config.registries.iter().map(|it| it.cache.tags.ttl.as_secs()).collect::<Vec<_>>();
    let variables = [("WHARF_SERVER_DOMAIN", "variable.example"), ("WHARF_DEFAULTS_TAG_TTL", "3s")];
    let config = right(file, &variables);
    assert_eq!(config.domain.as_deref(), Some("variable.example"));
    assert_eq!(ttl(&config), [2, 3], "what a registry says itself comes before any default");
    let variables = [("WHARF_REGISTRY_GHCR_IO_TAG_TTL", "4s"), ("WHARF_SERVER_DOMAIN", "")];
    let config = right(file, &variables);
    assert_eq!((config.domain.as_deref(), ttl(&config)), (Some("file.example"), vec![4, 1]));
    let set =
        [("server.domain", "option.example"), ("registry.ghcr.io.tag_ttl", "5s"), ("defaults.tag_ttl", "6s")];
    let variables = [
        ("WHARF_SERVER_DOMAIN", "variable.example"),
        ("WHARF_REGISTRY_GHCR_IO_TAG_TTL", "4s"),
        ("WHARF_DEFAULTS_TAG_TTL", "3s"),
    ];
    let config = read(file, &variables, &set).unwrap();
    assert_eq!((config.domain.as_deref(), ttl(&config)), (Some("option.example"), vec![5, 6]));
}

#[test]
fn registries_are_named_in_one_variable() {
    let config =
        right("", &[("WHARF_REGISTRIES", "docker.io ghcr.io,registry.corp.example:8443\n[fd00::1]:5000")]);
    assert_eq!(names(&config), ["docker.io", "ghcr.io", "registry.corp.example:8443", "[fd00::1]:5000"]);
    assert!(config.warnings.is_empty());
    // As in a file that names registries, none of them is the default.
    assert!(config.routes.route("10.0.0.5:5000", "/v2/library/alpine/manifests/1", None).is_err());
    let variables = [
        ("WHARF_REGISTRIES", "registry-1.corp.example:8443, [fd00::1]:5000"),
        ("WHARF_REGISTRY_REGISTRY_1_CORP_EXAMPLE_8443_UPSTREAM", "https://10.0.0.5:8443"),
        ("WHARF_REGISTRY__FD00__1__5000_TAG_TTL", "5m"),
        ("WHARF_SERVER_DEFAULT_REGISTRY", "registry-1.corp.example:8443"),
    ];
    let config = right("", &variables);
    assert_eq!(config.registries[0].upstream.upstream.as_str(), "https://10.0.0.5:8443/");
    assert_eq!(config.registries[1].cache.tags.ttl.as_secs(), 300);
    assert!(config.routes.route("10.0.0.5:5000", "/v2/library/alpine/manifests/1", None).is_ok());
    assert_eq!(names(&right("", &[("WHARF_REGISTRIES", "")])).len(), 7, "an empty variable is none");
}

#[test]
fn a_list_of_registries_says_which_of_the_file_are_served() {
    let file = "[[registry]]\nname = \"quay.io\"\ntag_ttl = \"2s\"\n[[registry]]\nname = \"ghcr.io\"\n";
    let config =
        right(file, &[("WHARF_REGISTRIES", "docker.io Quay.IO"), ("WHARF_REGISTRY_DOCKER_IO_TAG_TTL", "1s")]);
    assert_eq!(names(&config), ["docker.io", "quay.io"]);
    let ttl: Vec<u64> = config.registries.iter().map(|it| it.cache.tags.ttl.as_secs()).collect();
    assert_eq!(ttl, [1, 2]);
    let warnings: Vec<String> = config.warnings.lines().collect();
    assert_eq!(
        warnings,
        ["wharf.toml:4: registry[ghcr.io]: is not served, because WHARF_REGISTRIES does not name it"]
    );
}

#[test]
fn the_built_in_registries_have_variables_too() {
    let variables =
        [("WHARF_REGISTRY_DOCKER_IO_USERNAME", "me"), ("WHARF_REGISTRY_DOCKER_IO_PASSWORD", "canary")];
    let config = right("", &variables);
    assert_eq!(config.registries.len(), 7);
    assert_eq!(config.registries[0].upstream.credentials, credentials::Settings::password("me", "canary"));
    assert!(config.registries[1].upstream.credentials.is_anonymous());
    assert_eq!(config.origin(), "built-in configuration and 2 variables");
    // A user name in the file and its password outside are one login of one section.
    let file = "[[registry]]\nname = \"docker.io\"\nusername = \"me\"\n";
    let config = right(file, &[variables[1]]);
    assert!(!config.registries[0].upstream.credentials.is_anonymous());
    assert_eq!(config.origin(), "wharf.toml and WHARF_REGISTRY_DOCKER_IO_PASSWORD");
}

#[test]
fn mistakes_name_the_variable_beside_those_of_the_file() {
    check_refused(
        "[server]\ndomian = \"a.example\"\n[[registry]]\nname = \"ghcr.io\"\n",
        &[
            ("WHARF_SERVER_LISTEN", "5000"),
            ("WHARF_SERVER_SENDFILE", "yes"),
            ("WHARF_SERVER_ANSWER_COUNT_MAX", "many"),
            ("WHARF_SERVER_SHUTDOWN_GRACE", "60"),
            ("WHARF_SERVER_TLS_KEY_FILE", "/nonexistent/key"),
            ("WHARF_LOG_LEVEL", "warning"),
            ("WHARF_STORAGE_ROOT", "~/wharf"),
            ("WHARF_REGISTRY_GHCR_IO_UPSTREAM", "https://u:canary@ghcr.io"),
            ("WHARF_REGISTRY_GHCR_IO_PASSWORD", "canary"),
        ],
        &[
            r#"wharf.toml:2: server.domian: there is no such key; did you mean "domain"?"#,
            r#"WHARF_LOG_LEVEL: "warning" is not one of "error", "warn", "info", "debug", "trace"; did you mean "warn"?"#,
            "WHARF_REGISTRY_GHCR_IO_PASSWORD: has no username; add username, or leave this key out",
            "WHARF_REGISTRY_GHCR_IO_UPSTREAM: credentials are not allowed in a URL; use username and password",
            "WHARF_SERVER_ANSWER_COUNT_MAX: expected a whole number from 1 to 16777216",
            r#"WHARF_SERVER_LISTEN: "5000": write an address and a port, such as "0.0.0.0:5000""#,
            r#"WHARF_SERVER_SENDFILE: "yes" is neither true nor false"#,
            r#"WHARF_SERVER_SHUTDOWN_GRACE: the number has no unit; write "60s" if seconds are meant"#,
            "WHARF_SERVER_TLS_KEY_FILE: cannot read the file \"/nonexistent/key\": No such file or directory \
             (os error 2); correct the path, or let this user read it",
            "WHARF_SERVER_TLS_KEY_FILE: cert_file is missing; name a file in PEM form with \
             WHARF_SERVER_TLS_CERT_FILE",
            "WHARF_STORAGE_ROOT: \"~/wharf\": only a shell expands \"~\"; write the whole path, or \
             \"${HOME}/wharf\"",
        ],
    );
    check_refused(
        "",
        &[("WHARF_REGISTRIES", " , ")],
        &["WHARF_REGISTRIES: names no registry; write names separated by blanks"],
    );
    check_refused(
        "",
        &[("WHARF_REGISTRIES", "ghcr.io GHCR.IO docker https://quay.io")],
        &[
            "WHARF_REGISTRIES: \"docker\" is another name for \"docker.io\"; write name = \"docker.io\"",
            "WHARF_REGISTRIES: \"ghcr.io\" is already taken by WHARF_REGISTRIES; remove one of the two",
            "WHARF_REGISTRIES: this is a URL or a path; write the host alone, with a port if it needs one",
        ],
    );
}

#[test]
fn an_unknown_variable_that_looks_like_a_key_is_a_mistake() {
    for (name, expected) in [
        ("WHARF_SERVER_DOMIAN", "there is no such variable; did you mean WHARF_SERVER_DOMAIN?"),
        ("WHARF_SEVER_DOMAIN", "there is no such variable; did you mean WHARF_SERVER_DOMAIN?"),
        ("WHARF_LISTEN", "there is no such variable; did you mean WHARF_SERVER_LISTEN?"),
        ("WHARF_ROOTS", "there is no such variable; did you mean WHARF_ROOT?"),
        ("WHARF_REGISTRY", "there is no such variable; did you mean WHARF_REGISTRIES?"),
        (
            "WHARF_TAG_TTL",
            "there is no such variable; did you mean WHARF_REGISTRY_<NAME>_TAG_TTL or \
             WHARF_DEFAULTS_TAG_TTL?",
        ),
        (
            "WHARF_STORAGE_QUOTA",
            "there is no such variable; write max_size in [storage] for all registries together, or for one \
             [[registry]]",
        ),
        (
            "WHARF_STORAGE_COLOUR",
            "there is no such variable; the keys of [storage] are root, max_size, free_min, scrub_every, scrub_rate",
        ),
        (
            "WHARF_REGISTRY_DOCKER_IO_USERNAM",
            "there is no such key; did you mean WHARF_REGISTRY_DOCKER_IO_USERNAME?",
        ),
        ("WHARF_DEFAULTS_FREE_MIN", "there is no such variable; did you mean WHARF_STORAGE_FREE_MIN?"),
        (
            "WHARF_SERVER_TAG_TTL",
            "there is no such variable; did you mean WHARF_REGISTRY_<NAME>_TAG_TTL or \
             WHARF_DEFAULTS_TAG_TTL?",
        ),
        ("WHARF_DEFAULTS_UPSTREAM", "there is no such variable; each registry has its own upstream"),
        ("WHARF_REGISTRY_DOCKER_IO_FREE_MIN", "there is no such key; did you mean WHARF_STORAGE_FREE_MIN?"),
        ("WHARF_REGISTRY_DOCKER_IO_NAME", "the names of registries are in WHARF_REGISTRIES"),
        ("WHARF_REGISTRY_DOCKER_IO_REMOTEURL", "there is no such key; write upstream"),
        (
            "WHARF_REGISTRY_DOCKERIO_USERNAME",
            "belongs to no configured registry; did you mean WHARF_REGISTRY_DOCKER_IO_USERNAME?",
        ),
        (
            "WHARF_REGISTRY_CORP_EXAMPLE_UPSTREAM",
            "belongs to no configured registry; configured are docker.io, ghcr.io, quay.io, gcr.io, \
             registry.k8s.io, mcr.microsoft.com, public.ecr.aws; add its name to WHARF_REGISTRIES, or a \
             [[registry]] to the file",
        ),
    ] {
        check_refused("", &[(name, "canary")], &[&format!("{name}: {expected}")]);
    }
}

#[test]
fn a_variable_for_another_program_is_no_mistake() {
    let of_services = [
        "WHARF_PORT",
        "WHARF_SERVICE_HOST",
        "WHARF_SERVER_PORT_5000_TCP_ADDR",
        "WHARF_REGISTRY_SERVICE_HOST",
        "WHARF_REGISTRY_PORT",
        "WHARF_ADMIN_SERVICE_PORT_HTTP",
    ];
    // Variables of compose files and scripts, and of wharf's own tests.
    let of_others = [
        "WHARF_IMAGE",
        "WHARF_VERSION",
        "WHARF_BIN",
        "WHARF_SEED",
        "WHARF_SEEDS",
        "WHARF_GRAPH",
        "WHARF_GRAPHS",
        "WHARF_KILLS",
        "WHARF_FLIPS",
        "WHARF_LONG",
        "WHARF_FAULTS",
        "WHARF_POWER_CUTS",
        "WHARF_MALFORMED_COUNT",
        "WHARF_MODERN_BIN",
        "WHARF_REQUIRE_CLIENTS",
        "HOME",
    ];
    for name in of_services.into_iter().chain(of_others) {
        right("", &[(name, "tcp://10.0.0.1:5000")]);
    }
}

/// `trusted_hosts` ends as `hosts` does, so one variable can mean keys of two registries.
#[test]
fn a_variable_that_can_mean_two_things_is_refused() {
    let listed = ("WHARF_REGISTRIES", "a.example a.example.trusted");
    check_refused(
        "",
        &[listed, ("WHARF_REGISTRY_A_EXAMPLE_TRUSTED_HOSTS", "x.example")],
        &["WHARF_REGISTRY_A_EXAMPLE_TRUSTED_HOSTS: could be trusted_hosts of \"a.example\" and hosts of \
             \"a.example.trusted\"; write it into the configuration file, or with --set"],
    );
    let set = [("registry.a.example.trusted.hosts", "x.example")];
    let config = read("", &[listed], &set).unwrap();
    assert_eq!(config.registries[1].names.hosts, ["x.example"]);
    // Clients cannot distinguish two registries with the same variables either.
    check_refused(
        "",
        &[("WHARF_REGISTRIES", "a-b.example a.b.example")],
        &["WHARF_REGISTRIES: `a-b-example` would name both `a-b.example` and `a.b.example`; rename one, or \
             give it other hosts"],
    );
}

/// The list of processes shows a command line to every user, and a shell keeps it in its history.
#[test]
fn s28_a_secret_on_the_command_line_is_refused_by_the_name_of_its_key() {
    let mut secrets: Vec<(String, &str, String)> = Vec::new();
    for (path, section) in sections() {
        let is_registry = path == DEFAULTS;
        for key in section.keys().filter(|key| matches!(key.shape(), Shape::Secret)) {
            let is_shared = section.shared_keys().any(|shared| shared.name() == key.name());
            if !is_registry || is_shared {
                secrets.push((path.to_owned(), key.name(), variable_of(path, key.name())));
            }
            if is_registry {
                let variable = variable_of_registry("ghcr.io", key.name());
                secrets.push(("registry.ghcr.io".to_owned(), key.name(), variable));
            }
        }
    }
    assert!(secrets.len() > 2, "{secrets:?}");
    for (path, key, variable) in secrets {
        let mistakes = read("", &[], &[(&format!("{path}.{key}"), "canary")]).unwrap_err();
        let expected = format!(
            "--set {path}.{key}: holds a secret, and every user of this machine can read the arguments of a \
             process; write it into the configuration file or the variable {variable}, or name a file with \
             {key}_file"
        );
        assert!(mistakes.lines().any(|line| line == expected), "{mistakes}");
        assert!(!mistakes.contains("canary"), "{mistakes}");
    }
    for path in ["defaults", "registry.ghcr.io"] {
        let key = format!("{path}.proxy");
        for login in ["me:canary@", "canary@"] {
            let mistakes = read("", &[], &[(&key, &format!("http://{login}proxy:3128"))]).unwrap_err();
            let begin = format!("--set {path}.proxy: holds a secret, and ");
            assert!(mistakes.starts_with(&begin) && mistakes.ends_with("_PROXY"), "{mistakes}");
            assert!(!mistakes.contains("canary"), "{mistakes}");
        }
        read("", &[], &[(&key, "http://proxy:3128")]).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path());
    let file = directory.path().join("secret").display().to_string();
    read("", &[], &[("registry.ghcr.io.username", "me"), ("registry.ghcr.io.password_file", &file)]).unwrap();
}

#[test]
fn an_option_that_sets_no_key_names_the_keys() {
    for (key, expected) in [
        ("server.domian", "did you mean \"server.domain\"?"),
        ("domain", "did you mean \"server.domain\"?"),
        ("registry.docker.io.free_min", "did you mean \"storage.free_min\"?"),
        ("colour", "write one such as server.domain, defaults.tag_ttl or registry.docker.io.tag_ttl"),
        ("registry.docker.io.name", "write one such as"),
        (
            "registry.corp.example.tag_ttl",
            "there is no registry \"corp.example\"; configured are docker.io, ghcr.io",
        ),
    ] {
        let mistakes = read("", &[], &[(key, "canary")]).unwrap_err();
        assert!(mistakes.starts_with(&format!("--set {key}: there is no")), "{mistakes}");
        assert!(mistakes.contains(expected) && !mistakes.contains("canary"), "{mistakes}");
    }
}

#[test]
fn a_list_in_a_variable_has_blanks_or_commas_between_its_texts() {
    for (list, expected) in
        [("a", &["a"][..]), ("a,b", &["a", "b"]), (" a,  b\n\tc ,", &["a", "b", "c"]), (" , ", &[])]
    {
        assert_eq!(texts(list).collect::<Vec<_>>(), expected, "{list:?}");
    }
}

#[test]
fn a_variable_and_the_file_read_a_list_of_images_alike() {
    let name = "[[registry]]\nname = \"docker.io\"\n";
    for list in ["alpine  redis,nginx", "alpine:3.*,redis", "docker.io/library/alpine:*"] {
        let in_file = right(&format!("{name}keep = {list:?}\n"), &[]);
        let outside = right(name, &[("WHARF_REGISTRY_DOCKER_IO_KEEP", list)]);
        assert_eq!(outside.registries[0].limits.keep, in_file.registries[0].limits.keep, "{list}");
    }
}

#[test]
fn a_variable_of_wharf_that_is_no_text_is_refused_by_name() {
    let not_text =
        ["WHARF_SERVER_DOMAIN", "WHARF_ROOT", "WHARF_CONFIG", "WHARF_REGISTRIES", "WHARF_\u{fffd}"];
    for wrong in not_text {
        let value = |name: &str| (name != wrong).then(|| "x".to_owned());
        let names = vec![wrong.to_owned(), "LS_COLORS".to_owned()];
        let environment = Environment { names, ..Environment::without_keys(&value) };
        let mistakes = Config::builtin(&environment).unwrap_err().to_string();
        let expected = "is not UTF-8 text; set it again, or unset it";
        assert_eq!(mistakes, format!("{wrong}: {expected}"));
    }
    let nothing = |_: &str| None;
    let environment =
        Environment { names: vec!["LS_COLORS".to_owned()], ..Environment::without_keys(&nothing) };
    assert!(Config::builtin(&environment).is_ok(), "a variable of another program may be anything");
}
