mod access;
mod acme;
mod belongs;
mod credential_rules;
mod keep;
mod page;

use std::fs;
use std::time::Duration;

use credentials::SourceSettings;
use policy::freshness::{StaleLimit, Upstream404};
use policy::host::Route;

use super::*;

fn variable(name: &str) -> Option<String> {
    match name {
        "HUB_USER" => Some("hub-user".to_owned()),
        "HUB_PASSWORD" => Some("canary-env-password".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

#[track_caller]
fn parse(text: &str) -> Config {
    Config::parse("wharf.toml", text, &variable).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Asserts that `text` is refused with exactly these remarks, in this order.
#[track_caller]
fn check_refused(text: &str, expected: &[&str]) {
    let mistakes = Config::parse("wharf.toml", text, &variable).unwrap_err();
    let found: Vec<String> = mistakes.lines().collect();
    assert_eq!(found, expected, "\n{mistakes}");
}

/// Asserts that `text` is accepted with exactly these warnings, in this order.
#[track_caller]
fn check_warned(text: &str, expected: &[&str]) {
    let warnings: Vec<String> = parse(text).warnings.lines().collect();
    assert_eq!(warnings, expected);
}

#[test]
fn the_builtin_configuration_is_the_seven_public_registries() {
    let config = Config::parse(BUILTIN_NAME, BUILTIN, &|_| None).unwrap();
    let names: Vec<&str> = config.registries.iter().map(|registry| registry.names.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "docker.io",
            "ghcr.io",
            "quay.io",
            "gcr.io",
            "registry.k8s.io",
            "mcr.microsoft.com",
            "public.ecr.aws"
        ]
    );
    assert!(config.warnings.is_empty());
    assert_eq!(config.server.listen, ["0.0.0.0:5000".parse().unwrap()]);
    assert_eq!(config.admin.unwrap().listen.to_string(), "127.0.0.1:5001");
    assert_eq!(config.log, Log { level: tracing::Level::INFO, format: None, access: true });
    let hub = &config.registries[0];
    assert_eq!(hub.upstream.upstream.as_str(), "https://registry-1.docker.io/");
    assert_eq!(hub.names.aliases, ["registry-1.docker.io", "index.docker.io"]);
    assert!(hub.cache.hub_names && !hub.cache.links && hub.cache.catalog);
    assert!(hub.root.ends_with("wharf-data/docker.io"));
    assert!(!config.registries[1].cache.hub_names);
    assert_eq!(config.registries[1].upstream.upstream.as_str(), "https://ghcr.io/");
}

#[test]
fn an_empty_file_is_the_builtin_configuration() {
    let names = |config: Config| config.registries.into_iter().map(|it| it.names).collect::<Vec<_>>();
    assert_eq!(names(parse("")), names(Config::parse(BUILTIN_NAME, BUILTIN, &|_| None).unwrap()));
}

/// The index of the registry that answers at a bare address.
fn default_of(config: &Config) -> Option<usize> {
    match config.routes.route("10.0.0.5:5000", "/v2/library/alpine/manifests/1", None) {
        Ok(Route::Registry { registry: index, .. }) => Some(index),
        _ => None,
    }
}

#[test]
fn the_bare_address_is_docker_hub_s_unless_a_file_says_otherwise() {
    assert_eq!(default_of(&Config::parse(BUILTIN_NAME, BUILTIN, &|_| None).unwrap()), Some(0));
    assert_eq!(default_of(&parse("")), Some(0));
    assert_eq!(default_of(&parse("[server]\nlisten = \"127.0.0.1:5005\"\n")), Some(0));
    assert_eq!(default_of(&parse("[server]\ndefault_registry = \"ghcr.io\"\n")), Some(1));
    for off in ["", "off"] {
        assert_eq!(default_of(&parse(&format!("[server]\ndefault_registry = {off:?}\n"))), None);
    }
    assert_eq!(
        default_of(&parse("[[registry]]\nname = \"ghcr.io\"\n[[registry]]\nname = \"docker.io\"\n")),
        None
    );
}

#[test]
fn t15_wharf_s_own_names_are_listed() {
    let text = "[server]\ndomain = \"cache.example\"\nhosts = [\"Wharf.tools.svc\", \"me.cache.example\"]\n\
                [admin]\nhosts = \"wharf.tools.svc\"\n[[registry]]\nname = \"ghcr.io\"\n";
    let config = parse(text);
    assert_eq!(config.admin.unwrap().hosts, ["wharf.tools.svc"]);
    for host in ["wharf.tools.svc:5000", "me.cache.example"] {
        assert_eq!(config.routes.route(host, "/v2/", None), Ok(Route::Version), "{host}");
    }
    assert!(config.routes.route("other.tools.svc", "/v2/", None).is_err());
    check_refused(
        "[server]\nhosts = [\"a b\", \"wharf:5000\"]\n[admin]\nhosts = [\"http://wharf\"]\n\
         [[registry]]\nname = \"ghcr.io\"\n",
        &[
            r#"wharf.toml:2: server.hosts: "a b": this is not a host name; use letters, digits, "-" and dots"#,
            r#"wharf.toml:2: server.hosts: "wharf:5000": a port is not allowed here; write the host name alone"#,
            r#"wharf.toml:4: admin.hosts: "http://wharf": a scheme is not allowed here; write the host name alone"#,
        ],
    );
    check_refused(
        "[server]\nhosts = \"hub.example\"\n[[registry]]\nname = \"ghcr.io\"\nhosts = \"hub.example\"\n",
        &[
            r#"wharf.toml:2: server.hosts: "hub.example" is already taken by registry[ghcr.io].hosts (line 5); remove one of the two"#,
        ],
    );
}

/// A configuration with every key there is, and the files that it names.
fn every_key(directory: &tempfile::TempDir) -> String {
    let path = |name: &str| directory.path().join(name).display().to_string();
    let identity = rcgen::generate_simple_self_signed(vec!["wharf".to_owned()]).unwrap();
    fs::write(path("ca.pem"), identity.cert.pem()).unwrap();
    fs::write(path("key.pem"), identity.signing_key.serialize_pem()).unwrap();
    fs::write(path("token"), "admin-token\n").unwrap();
    fs::write(path("password"), "file-password\r\n").unwrap();
    format!(
        r#"
        [server]
        listen = ["127.0.0.1:5000", "[::1]:5000"]
        domain = "Registry.Example.com"
        hosts = ["wharf.example.net"]
        default_registry = "hub"
        shutdown_grace = "90s"
        sendfile = false
        connection_count_max = 2_000
        client_connection_count_max = 100
        answer_count_max = 500
        body_bytes_max = 33_554_432
        [server.tls]
        listen = "127.0.0.1:5443"
        cert_file = "{ca}"
        key_file = "{key}"
        [admin]
        listen = "0.0.0.0:5001"
        hosts = "wharf.example.net"
        token_file = "{token}"
        [storage]
        root = "/srv/wharf"
        [log]
        level = "debug"
        format = "json"
        access = false
        [defaults]
        tag_ttl = "5m"
        stale_if_error = "1h"
        [[registry]]
        name = "docker.io"
        aliases = ["hub"]
        hosts = ["hub.example.com"]
        username = "${{HUB_USER}}"
        password_file = "{password}"
        ca_file = "{ca}"
        client_cert = "{ca}"
        client_key = "{key}"
        trusted_hosts = ["auth.corp.example", "10.1.2.3:9000"]
        proxy = "http://proxy.corp:3128"
        connect_timeout = "1s"
        header_timeout = "2s"
        idle_timeout = "3s"
        connections_per_blob_max = 2
        connections_max = 5
        on_upstream_404 = "serve"
        offline = true
        catalog = false
        [[registry]]
        name = "registry.corp.example:8443"
        upstream = "https://10.0.0.5:8443"
        root = "/srv/other"
        tag_ttl = "forever"
        stale_if_error = "0s"
        "#,
        token = path("token"),
        password = path("password"),
        ca = path("ca.pem"),
        key = path("key.pem"),
    )
}

#[test]
fn every_key_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let config = parse(&every_key(&directory));
    assert_eq!(config.server.listen.len(), 2);
    assert_eq!(config.server.shutdown_grace, Duration::from_secs(90));
    assert!(!config.server.sendfile);
    let wanted = Wanted { connections: Some(2000), per_client: Some(100), answers: Some(500) };
    assert_eq!(config.wanted, wanted);
    assert_eq!(config.body_bytes_max, 32 << 20);
    let tls = config.server.tls.expect("a section for TLS");
    assert_eq!(tls.listen, ["127.0.0.1:5443".parse().unwrap()]);
    assert_eq!(config.admin.unwrap().token.unwrap().expose(), "admin-token");
    assert_eq!(config.domain.as_deref(), Some("registry.example.com"));
    assert_eq!(
        config.log,
        Log { level: tracing::Level::DEBUG, format: Some(LogFormat::Json), access: false }
    );

    let hub = &config.registries[0];
    assert!(matches!(
        &hub.upstream.credentials.rules[0].source,
        SourceSettings::PasswordFile { user, path } if user == "hub-user" && path.is_file()
    ));
    assert_eq!(hub.names.aliases, ["hub", "registry-1.docker.io", "index.docker.io"]);
    assert_eq!(hub.names.hosts, ["hub.example.com"]);
    assert_eq!(hub.root.to_str(), Some("/srv/wharf/docker.io"));
    assert_eq!(hub.upstream.ca.len(), 1);
    assert!(hub.upstream.client_identity.is_some());
    assert_eq!(hub.upstream.trusted_hosts, ["auth.corp.example", "10.1.2.3:9000"]);
    assert!(hub.upstream.proxy.is_some());
    assert_eq!((hub.cache.connections_per_blob_max, hub.cache.connections_max), (2, 5));
    let timeouts = [hub.upstream.connect_timeout, hub.upstream.header_timeout, hub.upstream.idle_timeout];
    assert_eq!(timeouts.map(|timeout| timeout.as_secs()), [1, 2, 3]);
    assert!(hub.cache.links && !hub.cache.catalog && hub.cache.tags.offline);
    assert_eq!(hub.cache.tags.on_upstream_404, Upstream404::Serve);
    assert_eq!(hub.cache.tags.ttl, Duration::from_secs(300));
    assert_eq!(hub.cache.tags.stale_if_error, StaleLimit::For(Duration::from_secs(3600)));

    let corp = &config.registries[1];
    assert_eq!(corp.upstream.upstream.as_str(), "https://10.0.0.5:8443/");
    assert_eq!(corp.root.to_str(), Some("/srv/other"));
    assert_eq!(corp.cache.tags.ttl, Duration::MAX);
    assert_eq!(corp.cache.tags.stale_if_error, StaleLimit::Never);
    let route = config.routes.route("hub.example.com", "/v2/", None).unwrap();
    assert!(matches!(route, Route::Registry { registry: 0, .. }));
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line_and_key() {
    check_refused(
        r#"
[server]
listen = ["0.0.0.0:5000", "127.0.0.1:5000", "5002"]
domian = "example.com"
default_registry = "dcoker.io"
shutdown_grace = 60
[admin]
listen = "0.0.0.0:5001"
[storrage]
root = "/srv"
[log]
level = "loud"
access = "yes"
[defaults]
upstream = "https://x.example"
tag_ttl = "5 minutes"
[[registry]]
name = "docker.io"
username = "${DOCKERHUB_USERNAME}"
password = "hunter2"
password_file = "/nonexistent/password"
trusted_hosts = ["https://auth.example"]
hosts = ["hub.example.com"]
root = "/srv/hub"
[[registry]]
name = "ghcr.io"
username = "me"
hosts = ["hub.example.com"]
root = "/srv/./x/../hub/inside"
upstream = "https://user:hunter2@ghcr.io"
client_cert = "/nonexistent/cert.pem"
[[registry]]
name = "docker.io"
idle_timeout = "0s"
on_upstream_404 = "500"
[[registry]]
aliases = ["quay.io"]
colour = "green"
"#,
        &[
            r#"wharf.toml:3: server.listen: "5002": write an address and a port, such as "0.0.0.0:5000""#,
            r#"wharf.toml:3: server.listen: 127.0.0.1:5000 is already taken by 0.0.0.0:5000 (server.listen); leave one out, or change a port"#,
            r#"wharf.toml:4: server.domian: there is no such key; did you mean "domain"?"#,
            r#"wharf.toml:5: server.default_registry: there is no registry "dcoker.io"; did you mean "docker.io"?"#,
            r#"wharf.toml:6: server.shutdown_grace: the number has no unit; write "60s" if seconds are meant"#,
            r#"wharf.toml:8: admin.listen: can be reached from other machines and needs a token; add token_file, or listen on 127.0.0.1"#,
            r#"wharf.toml:9: storrage: there is no such key; did you mean "storage"?"#,
            r#"wharf.toml:12: log.level: "loud" is not one of "error", "warn", "info", "debug", "trace"; write one of these"#,
            r#"wharf.toml:13: log.access: expected true or false without quotes, found a string"#,
            r#"wharf.toml:15: defaults.upstream: cannot be the same for all registries; move it to a [[registry]]"#,
            r#"wharf.toml:16: defaults.tag_ttl: "5 minutes" is not a length of time; write one such as "0s", "60s", "1h" or "forever""#,
            r#"wharf.toml:19: registry[docker.io].username: the environment variable DOCKERHUB_USERNAME is not set or empty; set it, or write ${DOCKERHUB_USERNAME:-} if it may be empty"#,
            r#"wharf.toml:21: registry[docker.io].password_file: cannot read the file "/nonexistent/password": No such file or directory (os error 2); correct the path, or let this user read it"#,
            r#"wharf.toml:21: registry[docker.io].password_file: password is set as well; keep one of the two"#,
            "wharf.toml:22: registry[docker.io].trusted_hosts: \"https://auth.example\": this is a URL or a path; write the host alone, with a port if it needs one",
            r#"wharf.toml:27: registry[ghcr.io].username: has no password; add password or password_file, or leave username out"#,
            r#"wharf.toml:28: registry[ghcr.io].hosts: "hub.example.com" is already taken by registry[docker.io].hosts (line 23); remove one of the two"#,
            r#"wharf.toml:29: registry[ghcr.io].root: "/srv/hub/inside" lies inside the directory of registry[docker.io].root (line 24); give each registry its own directory"#,
            r#"wharf.toml:30: registry[ghcr.io].upstream: credentials are not allowed in a URL; use username and password"#,
            r#"wharf.toml:31: registry[ghcr.io].client_cert: cannot read the file "/nonexistent/cert.pem": No such file or directory (os error 2); correct the path, or let this user read it"#,
            r#"wharf.toml:31: registry[ghcr.io].client_cert: needs client_key as well; add it, or leave client_cert out"#,
            r#"wharf.toml:33: registry[docker.io].name: "docker.io" is already taken by registry[docker.io].name (line 18); remove one of the two"#,
            r#"wharf.toml:34: registry[docker.io].idle_timeout: a time of zero leaves no time for anything; write a longer one, or leave the key out"#,
            r#"wharf.toml:35: registry[docker.io].on_upstream_404: "500" is not one of "404", "serve"; write one of these"#,
            r#"wharf.toml:36: registry[4]: has no name; write the name of the registry to cache, such as name = "docker.io""#,
            r#"wharf.toml:38: registry[4].colour: there is no such key; the keys here are name, aliases, hosts, upstream, root, username, password, password_file, credentials, serve_private, auth, ca_file, client_cert, client_key, insecure_skip_verify, trusted_hosts, proxy, no_proxy, connect_timeout, header_timeout, idle_timeout, connections_per_blob_max, connections_max, read_ahead, upstream_bandwidth, client_bandwidth, tag_ttl, tag, stale_if_error, on_upstream_404, auth_ttl, offline, catalog, max_size, unused_for, keep_tags, keep, access"#,
        ],
    );
}

#[test]
fn a_file_in_another_format_gets_one_remark() {
    check_refused(
        "version: 0.1\nproxy:\n  remoteurl: https://registry-1.docker.io\n  username: me\n",
        &["wharf.toml:1: this looks like YAML, perhaps of another registry; wharf reads TOML, such as the \
             two lines `[[registry]]` and `name = \"docker.io\"`, and serves public registries without any \
             file"],
    );
    check_refused(
        "{\n  \"http\": { \"port\": 5000 }\n}\n",
        &["wharf.toml:1: this looks like JSON, perhaps of another registry; wharf reads TOML, such as the \
             two lines `[[registry]]` and `name = \"docker.io\"`, and serves public registries without any \
             file"],
    );
}

#[test]
fn keys_of_other_programs_get_advice() {
    check_refused(
        "[storage]\nquota = \"100G\"\n[server]\nport = 5000\nhtpasswd = \"/x\"\n\
         [[registry]]\nname = \"ghcr.io\"\nremoteurl = \"https://ghcr.io\"\n",
        &[
            "wharf.toml:2: storage.quota: there is no such key; write max_size in [storage] for all \
             registries together, or for one [[registry]]",
            "wharf.toml:4: server.port: there is no such key; write listen, as in [server] listen = \
             \"0.0.0.0:5000\"",
            "wharf.toml:5: server.htpasswd: there is no such key; write users_file or tokens_file in [access], \
             or auth = \"passthrough\" in a [[registry]]",
            "wharf.toml:8: registry[ghcr.io].remoteurl: there is no such key; write upstream",
        ],
    );
}

#[test]
fn a_path_that_only_a_shell_understands_is_refused() {
    check_refused(
        "[storage]\nroot = \"~/wharf\"\n[admin]\ntoken_file = \"~wharf/token\"\n\
         [[registry]]\nname = \"ghcr.io\"\nroot = \"~\"\nca_file = \"~/ca.pem\"\n",
        &[
            "wharf.toml:2: storage.root: \"~/wharf\": only a shell expands \"~\"; write the whole \
             path, or \"${HOME}/wharf\"",
            "wharf.toml:4: admin.token_file: \"~wharf/token\": only a shell expands \"~\"; write \
             the whole path; one in the working directory begins with \"./\"",
            "wharf.toml:7: registry[ghcr.io].root: \"~\": only a shell expands \"~\"; write the \
             whole path, or \"${HOME}\"",
            "wharf.toml:8: registry[ghcr.io].ca_file: \"~/ca.pem\": only a shell expands \"~\"; \
             write the whole path, or \"${HOME}/ca.pem\"",
        ],
    );
    assert_eq!(parse("[storage]\nroot = \"./~x\"\n").registries[0].root.to_str(), Some("./~x/docker.io"));
}

#[test]
fn an_invisible_blank_causes_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let registry = |content: &str| {
        let path = directory.path().join("password");
        fs::write(&path, content).unwrap();
        format!("[[registry]]\nname = \"ghcr.io\"\nusername = \"u\"\npassword_file = {path:?}\n")
    };
    let blank = "starts or ends with a space, which counts as part of the secret; remove it if it is not";
    for content in ["canary ", " canary\n", "canary\u{a0}\r\n"] {
        check_warned(
            &registry(content),
            &[&format!("wharf.toml:4: registry[ghcr.io].password_file: {blank}")],
        );
    }
    for content in ["canary\r\n", "\u{feff}canary\n", "can ary"] {
        check_warned(&registry(content), &[]);
    }
}

#[test]
fn the_line_end_of_a_secret_that_came_by_a_variable_is_no_part_of_it() {
    let variables = |name: &str| Some(if name == "USER" { "me\n" } else { "canary\r\n" }.to_owned());
    let text = "[[registry]]\nname = \"ghcr.io\"\nusername = \"${USER}\"\npassword = \"${PASSWORD}\"\n";
    let config = Config::parse("wharf.toml", text, &variables).unwrap();
    assert_eq!(config.registries[0].upstream.credentials, credentials::Settings::password("me", "canary"));
    check_refused(
        "[[registry]]\nname = \"ghcr.io\"\nusername = \"u\"\npassword = \"can\\nary\"\n",
        &["wharf.toml:3: registry[ghcr.io].username: has a password that contains a line end or another \
             control character; correct the password"],
    );
}

#[test]
fn a_name_with_one_typing_mistake_causes_a_warning() {
    check_warned(
        "[[registry]]\nname = \"dockr.io\"\n[[registry]]\nname = \"ghrc.io\"\n[[registry]]\nname = \
         \"icr.io\"\n[[registry]]\nname = \"eu.gcr.io\"\n[[registry]]\nname = \"qay.io\"\nupstream = \
         \"https://qay.io\"\n",
        &[
            r#"wharf.toml:2: registry[dockr.io].name: looks like a typo for "docker.io"; correct it if that is what you meant"#,
            r#"wharf.toml:4: registry[ghrc.io].name: looks like a typo for "ghcr.io"; correct it if that is what you meant"#,
        ],
    );
    check_refused(
        "[[registry]]\nname = \"docker.com\"\n[[registry]]\nname = \"hub.docker.com\"\n",
        &[
            r#"wharf.toml:2: registry[docker.com].name: "docker.com" is another name for "docker.io"; write name = "docker.io""#,
            r#"wharf.toml:4: registry[hub.docker.com].name: "hub.docker.com" is another name for "docker.io"; write name = "docker.io""#,
        ],
    );
}

#[test]
fn mistakes_of_grammar_are_reported_together_with_the_rest() {
    check_refused(
        r#"
[server]
domain = registry.example.com
shutdown_grace = 60s
shutdown_grace = "60s"
lsten = "0.0.0.0:5000"
[[registry]]
name = "ghcr.io"
"#,
        &[
            "wharf.toml:3: a string without quotes; put it in quotes",
            "wharf.toml:4: a string without quotes; put it in quotes",
            "wharf.toml:5: this is not TOML: duplicate key; keep one of them",
            r#"wharf.toml:6: server.lsten: there is no such key; did you mean "listen"?"#,
        ],
    );
}

#[test]
fn a_count_is_a_whole_number_above_zero() {
    check_refused(
        "[defaults]\nconnections_max = 0\n[[registry]]\nname = \"ghcr.io\"\nconnections_per_blob_max = \
         \"4\"\n",
        &[
            "wharf.toml:2: defaults.connections_max: expected a whole number from 1 to 1000, without quotes",
            "wharf.toml:5: registry[ghcr.io].connections_per_blob_max: expected a whole number from 1 to \
             1000, without quotes",
        ],
    );
}

#[test]
fn a_text_that_is_not_toml_gets_no_further_remarks() {
    check_refused(
        "[server\nlisten = \"a\"\n[[registry]]\npassword = \"canary\nname = 5\n",
        &[
            "wharf.toml:1: this is not TOML: unclosed table, expected `]`; correct the line, or the one \
             before it",
            "wharf.toml:4: this is not TOML: invalid basic string, expected `\"`; correct the line, or the \
             one before it",
        ],
    );
}

#[test]
fn a_section_of_the_wrong_shape_says_how_to_write_it() {
    check_refused(
        "server = \"x\"\n[registry.\"docker.io\"]\ntag_ttl = \"5m\"\n",
        &[
            "wharf.toml:1: server: expected a section, found a string; write [server]",
            "wharf.toml:2: registry: write [[registry]] with name = \"docker.io\" in it, one for each registry",
        ],
    );
    check_refused(
        "registry = [1]",
        &["wharf.toml:1: registry: expected a list of sections; write [[registry]], in double brackets, \
             before each one"],
    );
    check_refused(
        "registry = []",
        &["wharf.toml:1: registry: is an empty list; name a registry, or leave the key out for the \
             built-in ones"],
    );
    check_refused(
        "[server]\nlisten = []\ndomain = [\"x\"]\n",
        &[
            r#"wharf.toml:2: server.listen: is off, and without [server.tls] nothing would listen; write an address such as "0.0.0.0:5000""#,
            "wharf.toml:3: server.domain: expected a string, found a list; write one text in quotes",
        ],
    );
}

#[test]
fn control_characters_in_a_key_do_not_reach_the_terminal() {
    let mistakes =
        Config::parse("wharf.toml", "\"a\\u001b[31m\\n\" = 1\n", &variable).unwrap_err().to_string();
    assert_eq!(mistakes.chars().filter(|c| c.is_control()).count(), 0, "{mistakes:?}");
    assert!(mistakes.contains("a\\u{1b}[31m\\n"), "{mistakes}");
}

#[test]
fn credentials_need_both_halves_from_one_place() {
    let half = "has no username; add username, or leave this key out";
    check_refused(
        "[defaults]\nusername = \"all\"\npassword = \"p\"\n[[registry]]\nname = \"ghcr.io\"\npassword = \
         \"x\"\n",
        &[&format!("wharf.toml:6: registry[ghcr.io].password: {half}")],
    );
    check_refused(
        "[[registry]]\nname = \"ghcr.io\"\nusername = \"${EMPTY:-}\"\npassword = \"x\"\n",
        &["wharf.toml:3: registry[ghcr.io].username: is empty, but there is a password; give both, or \
             neither"],
    );
    check_refused(
        "[[registry]]\nname = \"ghcr.io\"\nusername = \"x\"\npassword = \"${EMPTY:-}\"\n",
        &["wharf.toml:3: registry[ghcr.io].username: has an empty password; give both, or neither"],
    );
    check_refused(
        "[[registry]]\nname = \"ghcr.io\"\nusername = \"a:b\"\npassword = \"x\"\n",
        &[
            r#"wharf.toml:3: registry[ghcr.io].username: contains ":" or a control character, which HTTP Basic credentials cannot carry; correct it"#,
        ],
    );
}

#[test]
fn empty_credentials_are_anonymous() {
    let config = parse("[[registry]]\nname = \"ghcr.io\"\nusername = \"${A:-}\"\npassword = \"${B:-}\"\n");
    assert!(config.registries[0].upstream.credentials.is_anonymous());
    assert!(config.warnings.is_empty());
}

#[test]
fn a_text_that_a_variable_leaves_empty_counts_as_unset() {
    let config = parse(
        "[server]\ndomain = \"${A:-}\"\ndefault_registry = \"${A:-}\"\n\
         [[registry]]\nname = \"ghcr.io\"\nproxy = \"${A:-}\"\n",
    );
    assert_eq!(config.domain, None);
    assert!(config.registries[0].upstream.proxy.is_none());
    assert!(
        config.routes.route("localhost", "/v2/a/tags/list", None).is_err(),
        "there is no default registry"
    );
}

#[test]
fn a_registry_hides_the_defaults_key_by_key() {
    let config = parse(
        "[defaults]\ntag_ttl = \"5m\"\nidle_timeout = \"7s\"\n\
         [[registry]]\nname = \"ghcr.io\"\ntag_ttl = \"1s\"\n[[registry]]\nname = \"quay.io\"\n",
    );
    let ttl = config.registries.iter().map(|it| it.cache.tags.ttl.as_secs()).collect::<Vec<_>>();
    assert_eq!(ttl, [1, 300]);
    assert!(config.registries.iter().all(|it| it.upstream.idle_timeout == Duration::from_secs(7)));
    let builtin = parse("[defaults]\ntag_ttl = \"5m\"\n");
    assert_eq!(builtin.registries.len(), 7);
    assert!(builtin.registries.iter().all(|it| it.cache.tags.ttl == Duration::from_secs(300)));
}

#[test]
fn names_that_are_not_the_registrys_own_are_refused() {
    check_refused(
        "[[registry]]\nname = \"registry-1.docker.io\"\n[[registry]]\nname = \"ghcr\"\n\
         [[registry]]\nname = \"https://quay.io\"\n",
        &[
            r#"wharf.toml:2: registry[registry-1.docker.io].name: "registry-1.docker.io" is another name for "docker.io"; write name = "docker.io""#,
            r#"wharf.toml:4: registry[ghcr].name: "ghcr" is another name for "ghcr.io"; write name = "ghcr.io""#,
            "wharf.toml:6: registry[https://quay.io].name: this is a URL or a path; write the host alone, \
             with a port if it needs one",
        ],
    );
}

#[test]
fn labels_that_collide_are_refused() {
    check_refused(
        "[[registry]]\nname = \"a.b\"\n[[registry]]\nname = \"a-b\"\n",
        &["wharf.toml:4: registry[a-b].name: `a-b` would name both `a.b` and `a-b`; rename one, or give it \
             other hosts"],
    );
}

#[test]
fn an_admin_listener_can_be_turned_off() {
    assert!(parse("[admin]\nlisten = \"off\"\n").admin.is_none());
    check_refused(
        "[server]\nlisten = \"127.0.0.1:5001\"\n[admin]\nlisten = \"${UNSET}\"\n",
        &["wharf.toml:4: admin.listen: the environment variable UNSET is not set or empty; set it"],
    );
}

#[test]
fn the_admin_listener_can_be_a_socket_file_and_then_needs_no_token() {
    for (path, mode, expected) in [
        ("unix:/run/wharf/admin.sock", "", 0o660),
        ("unix:///run/wharf/admin.sock", "socket_mode = \"600\"\n", 0o600),
        ("unix:/run/wharf/admin.sock", "socket_mode = \"0666\"\n", 0o666),
    ] {
        let config = parse(&format!("[admin]\nlisten = {path:?}\n{mode}"));
        let listen = config.admin.unwrap().listen;
        assert_eq!(listen.to_string(), "unix:/run/wharf/admin.sock");
        assert_eq!(listen.file().unwrap().mode, expected, "{mode}");
        assert!(listen.ip().is_none());
    }
    let file = "write the whole path of a file behind unix:, such as \"unix:/run/wharf/admin.sock\"";
    for (written, expected) in [
        ("unix:", file),
        ("unix:admin.sock", file),
        ("unix:/run/wharf/", file),
        (
            "unix:@wharf",
            "a socket without a file has no permissions; write a path such as \"unix:/run/wharf/admin.sock\"",
        ),
        (
            &format!("unix:/{}", "x".repeat(107)),
            "the path of a socket has at most 107 bytes; use a shorter one",
        ),
    ] {
        let text = format!("[admin]\nlisten = {written:?}\n");
        check_refused(&text, &[&format!("wharf.toml:2: admin.listen: {written:?}: {expected}")]);
    }
    let octal = "these are no permissions; write three octal digits as for chmod, such as \"0660\"";
    let owner = "the owner needs the right to read and to write; write \"0600\" or more";
    for (written, expected) in
        [("66", octal), ("0o660", octal), ("+60", octal), ("1660", octal), ("0066", owner)]
    {
        let text = format!("[admin]\nlisten = \"unix:/run/a\"\nsocket_mode = {written:?}\n");
        check_refused(&text, &[&format!("wharf.toml:3: admin.socket_mode: {written:?}: {expected}")]);
    }
    check_warned(
        "[admin]\nsocket_mode = \"0600\"\n",
        &["wharf.toml:2: admin.socket_mode: has no effect without listen = \"unix:/PATH\"; leave it out"],
    );
}

/// User 001 of a first day had to invent a plain address that no client was to use.
#[test]
fn the_plain_listener_can_be_turned_off_where_there_is_tls() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let identity = rcgen::generate_simple_self_signed(vec!["wharf".to_owned()]).unwrap();
    fs::write(path("cert.pem"), identity.cert.pem()).unwrap();
    fs::write(path("key.pem"), identity.signing_key.serialize_pem()).unwrap();
    let tls = format!("[server.tls]\ncert_file = {:?}\nkey_file = {:?}\n", path("cert.pem"), path("key.pem"));
    for off in ["[]", "\"off\"", "[\"off\"]"] {
        let config = parse(&format!("[server]\nlisten = {off}\n{tls}listen = \"0.0.0.0:5000\"\n"));
        assert!(config.server.listen.is_empty(), "{off}");
        assert_eq!(config.server.tls.unwrap().listen, ["0.0.0.0:5000".parse().unwrap()]);
        check_refused(
            &format!("[server]\nlisten = {off}\n"),
            &["wharf.toml:2: server.listen: is off, and without [server.tls] nothing would listen; write \
                 an address such as \"0.0.0.0:5000\""],
        );
    }
    check_refused(
        &format!("{tls}listen = []\n"),
        &[r#"wharf.toml:4: server.tls.listen: is an empty list; write an address such as "0.0.0.0:5443""#],
    );
    check_refused(
        &format!("[server]\nlisten = [\"off\", \"127.0.0.1:1\"]\n{tls}"),
        &[
            r#"wharf.toml:2: server.listen: "off": this is not an address to listen on; write one such as "0.0.0.0:5000" or "[::]:5000""#,
        ],
    );
}

#[test]
fn a_certificate_for_no_name_of_a_registry_causes_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let text = |domain: &str| {
        format!(
            "[server]\n{domain}\n[server.tls]\ncert_file = {:?}\nkey_file = {:?}\n[[registry]]\nname = \
             \"ghcr.io\"\n",
            path("cert.pem"),
            path("key.pem")
        )
    };
    for (names, is_warned) in [
        (&["elsewhere.example"][..], true),
        (&["*.cache.example"], false),
        (&["cache.example"], false),
        (&["ghcr.io.cache.example"], false),
    ] {
        let identity =
            rcgen::generate_simple_self_signed(names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let identity = identity.unwrap();
        fs::write(path("cert.pem"), identity.cert.pem()).unwrap();
        fs::write(path("key.pem"), identity.signing_key.serialize_pem()).unwrap();
        let warning = "wharf.toml:4: server.tls.cert_file: covers none of the names that clients use, such as \
                       \"ghcr-io.cache.example\" or \"cache.example\"; use a certificate that does";
        let expected = if is_warned { vec![warning] } else { vec![] };
        check_warned(&text("domain = \"cache.example\""), &expected);
        // Without a domain, wharf does not know the names of clients.
        check_warned(&text(""), &[]);
    }
}

#[test]
fn the_default_of_the_admin_listener_is_an_address_like_another() {
    check_refused(
        "[server]\nlisten = [\"0.0.0.0:5001\"]\n",
        &[
            "wharf.toml:2: server.listen: 0.0.0.0:5001 is the default address of the admin listener; set listen \
             of [admin] to another address or to \"off\", or change this port",
        ],
    );
    assert!(parse("[server]\nlisten = \"127.0.0.1:5001\"\n[admin]\nlisten = \"off\"\n").admin.is_none());
}

#[test]
fn risky_settings_cause_warnings() {
    check_warned(
        r#"
[defaults]
username = "everyone"
password = "p"
serve_private = true
[[registry]]
name = "corp.example:5000"
upstream = "http://corp.example:5000"
[[registry]]
name = "ghcr.io"
username = "${A:-}"
password = "${B:-}"
insecure_skip_verify = true
connect_timeout = "20s"
"#,
        &[
            "wharf.toml:3: defaults.username: goes to every registry that does not set this key; move it to \
             the [[registry]] that it belongs to",
            "wharf.toml:5: defaults.serve_private: anyone who can reach wharf can pull whatever this account can; \
             name in [access] who may pull, or use a read-only account that sees only what they may see",
            "wharf.toml:8: registry[corp.example:5000].upstream: credentials go to this upstream without \
             TLS, readable by anyone on the path",
            "wharf.toml:8: registry[corp.example:5000].upstream: requests to this upstream go without TLS, so \
             anyone on the path can change what a tag names; use https if the upstream offers it",
            "wharf.toml:13: registry[ghcr.io].insecure_skip_verify: anyone can pose as this upstream and \
             receive its credentials; set ca_file instead",
            "wharf.toml:14: registry[ghcr.io].connect_timeout: is more than nine tenths of \
             header_timeout, which starts at the same moment, and is cut to that; raise header_timeout \
             as well",
        ],
    );
}

#[test]
fn k15_a_connect_timeout_that_has_no_effect_is_warned_of() {
    let warned =
        |text: &str| parse(text).warnings.lines().filter(|line| line.contains("connect_timeout")).count();
    let registry = "[[registry]]\nname = \"docker.io\"\n";
    for (text, count) in [
        ("connect_timeout = \"10s\"", 1),
        ("connect_timeout = \"9100ms\"", 1),
        ("connect_timeout = \"9s\"", 0),
        ("connect_timeout = \"20s\"\nheader_timeout = \"30s\"", 0),
        ("connect_timeout = \"28s\"\nheader_timeout = \"30s\"", 1),
        // The shortened timeout is the default.
        ("header_timeout = \"2s\"", 0),
    ] {
        assert_eq!(warned(&format!("{registry}{text}\n")), count, "{text}");
    }
    for (defaults, own) in [
        ("connect_timeout = \"8s\"", "header_timeout = \"4s\""),
        ("header_timeout = \"4s\"", "connect_timeout = \"8s\""),
    ] {
        assert_eq!(warned(&format!("[defaults]\n{defaults}\n{registry}{own}\n")), 1, "{defaults}, {own}");
    }
}

/// Every key that can hold a secret holds one, in a valid configuration and in one with mistakes.
#[test]
fn no_secret_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let identity = rcgen::generate_simple_self_signed(vec!["wharf".to_owned()]).unwrap();
    let key = identity.signing_key.serialize_pem();
    fs::write(path("cert.pem"), identity.cert.pem()).unwrap();
    fs::write(path("key.pem"), &key).unwrap();
    fs::write(path("token"), "canary-token").unwrap();
    fs::write(path("password"), "canary-file-password").unwrap();
    fs::write(path("lines"), "canary-line\ncanary-line\n").unwrap();
    let right = format!(
        "[admin]\ntoken_file = {token:?}\n\
         [[registry]]\nname = \"docker.io\"\nusername = \"u\"\npassword = \"${{HUB_PASSWORD}}\"\n\
         client_cert = {cert:?}\nclient_key = {key:?}\nproxy = \"http://u:canary-proxy@proxy:1\"\n\
         [[registry]]\nname = \"ghcr.io\"\nusername = \"u\"\npassword_file = {password:?}\n",
        token = path("token"),
        cert = path("cert.pem"),
        key = path("key.pem"),
        password = path("password"),
    );
    let wrong = format!(
        "{right}[[registry]]\nname = \"quay.io\"\npassword = \"canary-half\"\n\
         upstream = \"https://u:canary-url@quay.io\"\nproxy = \"ftp://u:canary-proxy@proxy\"\n\
         root = \"\"\nclient_key = {lines:?}\nca_file = {lines:?}\n\
         [[registry]]\nname = \"gcr.io\"\nusername = \"u\"\npassword_file = {lines:?}\n\
         tag_ttl = \"${{HUB_PASSWORD}}\"\ntrusted_hosts = [\"${{HUB_PASSWORD}} x\"]\n\
         on_upstream_404 = \"${{HUB_PASSWORD}}\"\n",
        lines = path("lines"),
    );
    let key_line = key.lines().nth(1).unwrap();
    let config = parse(&right);
    assert!(matches!(
        &config.registries[1].upstream.credentials.rules[0].source,
        SourceSettings::PasswordFile { .. }
    ));
    let mistakes = Config::parse("wharf.toml", &wrong, &variable).unwrap_err();
    assert!(mistakes.count() >= 8, "{mistakes}");
    for shown in
        [format!("{config:?}"), format!("{config:#?}"), mistakes.to_string(), format!("{mistakes:?}")]
    {
        assert!(!shown.contains("canary") && !shown.contains(key_line), "{shown}");
    }
}

#[test]
fn s16_a_grant_holds_for_a_quarter_of_an_hour_unless_another_time_is_set() {
    let config = parse(
        "[defaults]\nauth_ttl = \"1m\"\n[[registry]]\nname = \"ghcr.io\"\n\
         [[registry]]\nname = \"quay.io\"\nauth_ttl = \"forever\"\n\
         [[registry]]\nname = \"docker.io\"\nauth_ttl = \"0s\"\n",
    );
    let of = |config: &Config| config.registries.iter().map(|it| it.cache.auth_ttl).collect::<Vec<_>>();
    assert_eq!(of(&config), [Duration::from_secs(60), Duration::MAX, Duration::ZERO]);
    let builtin = of(&parse(""));
    assert!(builtin.iter().all(|ttl| *ttl == Duration::from_secs(900)), "{builtin:?}");
}

#[test]
fn every_kept_input_keeps_its_promise() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/config");
    let (mut count, mut broken) = (0, Vec::new());
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        if std::panic::catch_unwind(|| fuzzing::check(&input)).is_err() {
            broken.push(path);
        }
        count += 1;
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(count >= 12, "but {count} inputs");
}

#[test]
fn tls_needs_a_certificate_and_its_own_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    for name in ["one", "other"] {
        let identity = rcgen::generate_simple_self_signed(vec!["wharf".to_owned()]).unwrap();
        fs::write(path(&format!("{name}.pem")), identity.cert.pem()).unwrap();
        fs::write(path(&format!("{name}.key")), identity.signing_key.serialize_pem()).unwrap();
    }
    let text = |keys: &str| format!("[server.tls]\n{keys}");
    let pair = |cert: &str, key: &str| {
        text(&format!("cert_file = \"{}\"\nkey_file = \"{}\"", path(cert), path(key)))
    };
    assert!(Config::parse("wharf.toml", &pair("one.pem", "one.key"), &|_| None).is_ok());
    let mistakes = |text: &str| Config::parse("wharf.toml", text, &|_| None).unwrap_err().to_string();
    let missing = mistakes(&text(""));
    assert!(missing.contains("wharf.toml:1: server.tls: cert_file is missing"), "{missing}");
    assert!(missing.contains("wharf.toml:1: server.tls: key_file is missing"), "{missing}");
    let mixed = mistakes(&pair("one.pem", "other.key"));
    assert!(mixed.contains("wharf.toml:3: server.tls.key_file: the certificate and the key"), "{mixed}");
    let taken = mistakes(&format!("{}\nlisten = \"0.0.0.0:5000\"", pair("one.pem", "one.key")));
    assert!(taken.contains("wharf.toml:4: server.tls.listen"), "{taken}");
}

/// Table 2, number 2, of a first day: a file that was added to an image lost the cache silently.
#[test]
fn a_file_that_is_added_later_keeps_the_store() {
    let in_an_image = |name: &str| (name == "WHARF_ROOT").then(|| "/data".to_owned());
    let root = |config: &Config| config.registries[0].root.clone();
    assert_eq!(
        root(&Config::parse(BUILTIN_NAME, BUILTIN, &in_an_image).unwrap()).to_str(),
        Some("/data/docker.io")
    );
    for text in ["", "[storage]\nroot = \"/data\"\n", "[[registry]]\nname = \"docker.io\"\n"] {
        let config = Config::parse("wharf.toml", text, &in_an_image).unwrap();
        assert_eq!(root(&config).to_str(), Some("/data/docker.io"), "{text}");
    }
    let elsewhere = Config::parse("wharf.toml", "[storage]\nroot = \"/srv\"\n", &in_an_image).unwrap();
    assert_eq!(root(&elsewhere).to_str(), Some("/srv/docker.io"));
    let empty =
        Config::parse(BUILTIN_NAME, BUILTIN, &|name| (name == "WHARF_ROOT").then(String::new)).unwrap();
    assert_eq!(root(&empty).to_str(), Some("./wharf-data/docker.io"));
}

#[test]
fn t05_the_memory_for_bodies_has_room_for_the_largest_manifest() {
    assert_eq!(parse("").body_bytes_max, 64 << 20);
    assert_eq!(parse("[server]\nbody_bytes_max = 16_777_216\n").body_bytes_max, 16 << 20);
    check_refused(
        "[server]\nbody_bytes_max = 16_777_215\n",
        &["wharf.toml:2: server.body_bytes_max: is too little for a large manifest; write at least \
             16777216 (16 MiB)"],
    );
    check_refused(
        "[server]\nbody_bytes_max = 0\n",
        &["wharf.toml:2: server.body_bytes_max: expected a whole number from 1 to 1099511627776, without \
             quotes"],
    );
}

#[test]
fn newcomer_an_upstream_that_is_not_where_a_known_registry_is_says_where_that_is() {
    let at = |name: &str, upstream: &str| format!("[[registry]]\nname = {name:?}\nupstream = {upstream:?}\n");
    let hub = "Docker Hub's registry is https://registry-1.docker.io; leave the key out";
    let upstream = "wharf.toml:3: registry[docker.io].upstream";
    for wrong in [
        "https://docker.io",
        "https://hub.docker.com",
        "https://hub.docker.com/v2/",
        "https://index.docker.io/v1/",
        "https://www.docker.com",
        "http://docker.io",
    ] {
        check_refused(&at("docker.io", wrong), &[&format!("{upstream}: {hub}")]);
    }
    // They answer, through other hosts.
    for second_best in
        ["https://index.docker.io", "https://index.docker.io/v2/", "https://registry.hub.docker.com"]
    {
        check_warned(&at("docker.io", second_best), &[&format!("{upstream}: {hub}")]);
    }
    for (name, right) in [
        ("docker.io", "https://registry-1.docker.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("docker.io", "https://docker:5000"),
        ("docker.io", "https://mirror.gcr.io"),
        ("hub.example", "https://docker.io:8443"),
    ] {
        check_warned(&at(name, right), &[]);
    }
    check_refused(
        &at("hub.example", "https://docker.io"),
        &["wharf.toml:3: registry[hub.example].upstream: Docker Hub's registry is \
             https://registry-1.docker.io; write upstream = \"https://registry-1.docker.io\""],
    );
    check_refused(
        &at("ghcr.io", "https://github.com"),
        &["wharf.toml:3: registry[ghcr.io].upstream: ghcr.io's registry is https://ghcr.io; leave the key \
             out"],
    );
}

#[test]
fn newcomer_warnings_are_kept_beside_mistakes() {
    let text = "[[registry]]\nname = \"dockr.io\"\ntag_ttl = 5\n";
    let mistakes = Config::parse("wharf.toml", text, &variable).unwrap_err();
    assert_eq!(mistakes.count(), 1);
    let warnings: Vec<String> = mistakes.warning_lines().collect();
    let typo = "wharf.toml:2: registry[dockr.io].name: looks like a typo for \"docker.io\"; correct it if that is what \
                you meant";
    assert_eq!(warnings, [typo]);
}

#[test]
fn newcomer_half_a_listen_address_gets_advice_at_once() {
    let both = "write an address and a port, such as \"0.0.0.0:5000\"";
    let number = format!("expected a string, found a number; {both}");
    let localhost =
        "write the address as a number, not as a name: \"127.0.0.1:5000\" for localhost, with your port";
    let named = "write the address as a number, not as a name, such as \"0.0.0.0:5000\" with your port";
    for (written, expected) in [
        ("5000", number.clone()),
        ("[5000]", number.clone()),
        ("\"5000\"", format!("\"5000\": {both}")),
        ("\":5000\"", format!("\":5000\": {both}")),
        ("\"localhost:5000\"", format!("\"localhost:5000\": {localhost}")),
        ("\"wharf.example:5000\"", format!("\"wharf.example:5000\": {named}")),
    ] {
        let section = |name: &str| format!("[{name}]\nlisten = {written}\n");
        check_refused(&section("server"), &[&format!("wharf.toml:2: server.listen: {expected}")]);
        if !written.starts_with('[') {
            check_refused(&section("admin"), &[&format!("wharf.toml:2: admin.listen: {expected}")]);
        }
    }
}

#[test]
fn newcomer_a_registry_as_a_subsection_and_a_level_of_another_program_get_advice() {
    for (header, name) in
        [("registry.foo", "foo"), ("registry.\"docker.io\"", "docker.io"), ("registry.ghcr.io", "ghcr.io")]
    {
        check_refused(
            &format!("[{header}]\nupstream = \"https://ghcr.io\"\n"),
            &[&format!(
                "wharf.toml:1: registry: write [[registry]] with name = {name:?} in it, one for each registry"
            )],
        );
    }
    check_refused(
        "[log]\nlevel = \"warning\"\n",
        &["wharf.toml:2: log.level: \"warning\" is not one of \"error\", \"warn\", \"info\", \"debug\", \
             \"trace\"; did you mean \"warn\"?"],
    );
}

#[test]
fn newcomer_an_upstream_that_is_wharf_itself_is_a_mistake() {
    let with = |server: &str, upstream: &str| {
        format!("[server]\n{server}\n[[registry]]\nname = \"corp.example\"\nupstream = {upstream:?}\n")
    };
    let everywhere = "listen = \"0.0.0.0:5000\"";
    let domain = "domain = \"cache.example\"";
    for (server, upstream) in [
        ("", "http://localhost:5000"),
        ("", "http://127.0.0.1:5001"),
        (everywhere, "http://127.0.0.1:5000"),
        (everywhere, "http://0.0.0.0:5000"),
        ("listen = \"[::]:80\"", "http://127.0.0.1"),
        ("listen = \"10.0.0.5:5000\"", "http://10.0.0.5:5000"),
        ("listen = \"[::1]:5000\"", "http://[::1]:5000/v2/mirror"),
        (domain, "http://cache.example:5000"),
        (domain, "http://docker.io.cache.example:5000"),
        (domain, "https://cache.example"),
        ("hosts = [\"wharf.corp\"]", "http://wharf.corp:5000"),
    ] {
        let mistakes =
            Config::parse("wharf.toml", &with(server, upstream), &variable).unwrap_err().to_string();
        let expected = "wharf.toml:5: registry[corp.example].upstream: leads back to wharf itself; write the \
                        registry's own address";
        assert_eq!(mistakes, expected, "{server} {upstream}");
    }
    for (server, upstream) in [
        (everywhere, "http://127.0.0.1:5002"),
        (everywhere, "http://10.0.0.5:5000"),
        ("listen = \"10.0.0.5:5000\"", "http://127.0.0.1:5000"),
        ("listen = \"127.0.0.1:0\"", "http://127.0.0.1:80"),
        (domain, "https://harbor.cache.example"),
        (domain, "http://othercache.example:5000"),
    ] {
        parse(&with(server, upstream));
    }
}

#[test]
fn rules_for_tags_are_read_from_the_file_the_defaults_and_a_variable() {
    let text = "[[defaults.tag]]\nmatch = \"*-rc\"\nttl = \"1m\"\n\
                [[registry]]\nname = \"a.example\"\n[[registry.tag]]\nmatch = \"v*\"\nttl = \"forever\"\n\
                [[registry.tag]]\nmatch = \"library/*:1.*\"\nttl = \"0s\"\n[[registry]]\nname = \"b.example\"\n";
    let shown = |config: &Config| {
        let rules = |registry: &Registry| {
            let rules = registry.cache.tag_ttls.iter();
            rules.map(|rule| (rule.pattern.to_string(), rule.ttl)).collect::<Vec<_>>()
        };
        config.registries.iter().map(rules).collect::<Vec<_>>()
    };
    let file = parse(text);
    let forever = ("v*".to_owned(), Duration::MAX);
    let never = ("library/*:1.*".to_owned(), Duration::ZERO);
    assert_eq!(shown(&file), [vec![forever, never], vec![("*-rc".to_owned(), Duration::from_secs(60))]]);
    let explained = |key: &str| file.settings.iter().find(|it| it.key == key).unwrap().value.clone();
    assert_eq!(explained("registry[a.example].tag"), r#"["v*=forever", "library/*:1.*=0s"]"#);
}

#[test]
fn a_rule_for_tags_of_an_official_image_needs_no_library() {
    let config = parse(
        "[[defaults.tag]]\nmatch = \"alpine:*\"\nttl = \"1m\"\n[[registry]]\nname = \"docker.io\"\n\
         [[registry]]\nname = \"b.example\"\n",
    );
    let names = |index: usize, repository| {
        let registry: &Registry = &config.registries[index];
        registry.cache.tag_ttls[0].pattern.names(repository, "3.20")
    };
    assert!(names(0, "library/alpine") && !names(0, "org/alpine"));
    assert!(names(1, "alpine") && !names(1, "library/alpine"));
}

#[test]
fn a_rule_for_credentials_of_an_official_image_needs_no_library() {
    let of = |registry: &str| {
        let text = format!(
            "[[registry]]\nname = \"{registry}\"\n[[registry.credentials]]\nmatch = \"alp*\"\nsource = \"ecr\"\n"
        );
        let rules = parse(&text).registries.remove(0).upstream.credentials.rules;
        rules[0].pattern.as_ref().map(ToString::to_string)
    };
    assert_eq!(of("docker.io").as_deref(), Some("library/alp*"));
    assert_eq!(of("b.example").as_deref(), Some("alp*"));
}

#[test]
fn a_wrong_rule_for_tags_is_named_with_its_line_and_what_to_write() {
    let cases = [
        ("tag = \"v*\"", "registry[a.example].tag: expected a list of sections, found a string"),
        ("tag = [\"v*\"]", "registry[a.example].tag[0]: expected a section, found a string"),
        ("[[registry.tag]]\nmatch = \"v*\"", "tag[0]: has no ttl; write, for example"),
        ("[[registry.tag]]\nttl = \"1h\"", "tag[0]: has no match; write, for example"),
        ("[[registry.tag]]\nmatch = \"v*\"\nttl = 5", "tag[0].ttl: the number has no unit"),
        (
            "[[registry.tag]]\nmatch = \"a/*\"\nttl = \"1h\"",
            "tag[0].match: \"a/*\": is a pattern for a repository",
        ),
        (
            "[[registry.tag]]\nmatch = \"v*\"\nttl = \"1h\"\ntll = \"1h\"",
            "tag[0].tll: there is no such key; did you mean \"ttl\"?",
        ),
    ];
    for (rule, expected) in cases {
        let text = format!("[[registry]]\nname = \"a.example\"\n{rule}\n");
        let mistakes = Config::parse("wharf.toml", &text, &|_: &str| None).unwrap_err().to_string();
        assert!(mistakes.contains(expected), "{rule}: {mistakes}");
        assert!(mistakes.starts_with("wharf.toml:"), "{mistakes}");
    }
}

#[test]
fn a_senseless_or_unclear_limit_is_refused_with_what_to_write() {
    let cases = [
        ("[storage]\nfree_min = \"100%\"", "storage.free_min: \"100%\" leaves no room for any image"),
        ("[storage]\nmax_size = \"100G\"", "storage.max_size: \"100G\" is no size; write \"100GB\""),
        ("[storage]\nmax_size = \"much\"", "\"much\" is no size; write a number above zero with a unit"),
        (
            "[storage]\nmax_size = 10",
            "the number has no unit; write \"10GB\" for gigabytes, or \"10B\" for bytes",
        ),
    ];
    for (text, expected) in cases {
        let mistakes = Config::parse("wharf.toml", text, &|_: &str| None).unwrap_err().to_string();
        assert!(mistakes.contains(expected), "{text}: {mistakes}");
    }
    let config = parse("[[registry]]\nname = \"a.example\"\nkeep_tags = \"off\"\n");
    assert_eq!(config.registries[0].limits.keep_tags, None);
}

#[test]
fn an_upstream_may_have_several_addresses() {
    let registry = |upstream: &str| format!("[[registry]]\nname = \"corp.example\"\nupstream = {upstream}\n");
    let parse = |upstream: &str| Config::parse("wharf.toml", &registry(upstream), &|_| None);
    let config = parse(r#"["https://a.example", "https://b.example:8443/"]"#).unwrap();
    let upstream = &config.registries[0].upstream;
    assert_eq!(upstream.upstream.as_str(), "https://a.example/");
    let stand_ins: Vec<&str> = upstream.stand_ins.iter().map(Url::as_str).collect();
    assert_eq!(stand_ins, ["https://b.example:8443/"]);
    // One text is a list of one.
    let one = parse(r#""https://a.example""#).unwrap();
    assert!(one.registries[0].upstream.stand_ins.is_empty());
    let many: Vec<String> = (0..9).map(|at| format!("\"https://{at}.example\"")).collect();
    for (wrong, expected) in [
        ("[]".to_owned(), "lists 0 addresses"),
        (format!("[{}]", many.join(", ")), "lists 9 addresses"),
        (r#"["https://a.example", "https://a.example/"]"#.to_owned(), "is listed twice"),
        (r#"["https://a.example", "b.example"]"#.to_owned(), "this is not the URL of a registry"),
        (r#"["https://a.example", "http://127.0.0.1:5000"]"#.to_owned(), "leads back to wharf itself"),
    ] {
        let refused = parse(&wrong).unwrap_err().to_string();
        assert!(refused.contains(expected), "{wrong}: {refused}");
    }
    let plain = parse(r#"["https://a.example", "http://b.example"]"#).unwrap();
    assert!(plain.warnings.to_string().contains("without TLS"), "each address is looked at");
}

#[test]
fn hosts_without_the_proxy_are_read_with_it() {
    let parse = |text: &str| {
        let text = format!("[[registry]]\nname = \"corp.example\"\n{text}");
        Config::parse("wharf.toml", &text, &|_| None)
    };
    let rules = r#"no_proxy = ["corp.example", "10.0.0.0/8", "cdn.example:8443", "*"]"#;
    let config = parse(&format!("proxy = \"http://proxy.example:3128\"\n{rules}\n")).unwrap();
    let proxy = config.registries[0].upstream.proxy.as_ref().unwrap();
    let rules: Vec<String> = proxy.no_proxy.0.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["corp.example", "10.0.0.0/8", "cdn.example:8443", "*"]);
    let unused = parse("no_proxy = \"corp.example\"\n").unwrap();
    assert!(unused.warnings.to_string().contains("has no effect without proxy"));
    let refused = parse("no_proxy = [\"https://corp.example\"]\n").unwrap_err().to_string();
    assert!(refused.contains("this names no hosts"), "{refused}");
}
