//! `[access]` and `[registry.access]`.

use std::path::PathBuf;

use policy::access::{Decision, Identity, Login, Require};

use super::*;

const USERS: &str = "alice:$2y$04$oG.vyICIXIH/ABp.gsBu2ea9mKi9N4BdHuF4WXwF9xmLCNkqThAZm\n";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Files with users and tokens.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("users", USERS);
        files.write("tokens", &format!("ci:{TOKEN}\n"));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}

fn decision(config: &Config, registry: &str, client: &Identity, path: &str) -> Decision {
    let Some(access) = config.access.as_ref().and_then(|access| access.of(registry)) else {
        return Decision::Allow;
    };
    policy::access::decide(&access.rules, client, &oci::Request::parse(path, None).unwrap())
}

fn alice() -> Identity {
    Identity { login: Some(Login::User("alice".into())), ..stranger() }
}

fn stranger() -> Identity {
    Identity::of_address("192.0.2.7".parse().unwrap())
}

const MANIFEST: &str = "/v2/org/app/manifests/1";

const REGISTRIES: &str = "[[registry]]\nname = \"ghcr.io\"\n[[registry]]\nname = \"quay.io\"\n";

#[test]
fn without_a_section_everyone_may_pull() {
    assert!(parse(REGISTRIES).access.is_none());
}

#[test]
fn a_section_for_all_holds_for_every_registry_and_a_registry_overrides_its_keys() {
    let files = Files::new();
    let config = parse(&format!(
        "[access]\nusers_file = {:?}\n{REGISTRIES}[registry.access]\naddresses = \"192.0.2.0/24\"\nrequire = \"all\"\n",
        files.path("users")
    ));
    assert_eq!(decision(&config, "ghcr.io", &stranger(), MANIFEST), Decision::Challenge);
    assert_eq!(decision(&config, "ghcr.io", &alice(), MANIFEST), Decision::Allow);
    assert_eq!(decision(&config, "quay.io", &stranger(), MANIFEST), Decision::Challenge);
    assert_eq!(decision(&config, "quay.io", &alice(), MANIFEST), Decision::Allow);
    let elsewhere = Identity { address: "198.51.100.1".parse().unwrap(), ..alice() };
    assert_eq!(decision(&config, "ghcr.io", &elsewhere, MANIFEST), Decision::Allow);
    assert!(matches!(decision(&config, "quay.io", &elsewhere, MANIFEST), Decision::Refuse(_)));
    let access = config.access.unwrap();
    let logins = |registry| access.of(registry).unwrap().logins.clone().unwrap();
    assert!(Arc::ptr_eq(&logins("ghcr.io"), &logins("quay.io")), "a login is checked once for both");
    assert_eq!(access.of("quay.io").unwrap().rules.ways.require, Require::All);
}

#[test]
fn one_registry_may_have_rules_of_its_own() {
    let files = Files::new();
    let text = format!("{REGISTRIES}[registry.access]\ntokens_file = {:?}\n", files.path("tokens"));
    let config = parse(&text);
    assert_eq!(decision(&config, "ghcr.io", &stranger(), MANIFEST), Decision::Allow);
    assert_eq!(decision(&config, "quay.io", &stranger(), MANIFEST), Decision::Challenge);
    assert!(config.access.unwrap().common.is_none());
}

#[test]
fn patterns_name_the_repositories_of_their_registry() {
    let config = parse(
        "[access]\nallow = [\"ghcr.io/org/*\", \"hub/team/*\"]\ndeny = [\"org/secret\"]\n\
         [[registry]]\nname = \"ghcr.io\"\n[[registry]]\nname = \"docker.io\"\naliases = [\"hub\"]\n",
    );
    for (registry, repository, is_allowed) in [
        ("ghcr.io", "org/app", true),
        ("ghcr.io", "org/secret", false),
        ("ghcr.io", "team/app", false),
        ("docker.io", "team/app", true),
        ("docker.io", "org/app", false),
    ] {
        let path = format!("/v2/{repository}/manifests/1");
        let decision = decision(&config, registry, &stranger(), &path);
        assert_eq!(decision == Decision::Allow, is_allowed, "{registry} {repository} {decision:?}");
    }
    let asks_upstream = |config: &Config| config.registries.iter().all(|registry| registry.cache.links);
    assert!(asks_upstream(&config), "a denied blob does not come through another repository");
    assert!(!asks_upstream(&parse("[access]\naddresses = [\"10.0.0.0/8\"]\n")));
}

#[test]
fn a_rule_for_another_registry_is_a_mistake_only_where_it_stands_below_one() {
    let files = Files::new();
    let users = format!("users_file = {:?}\n", files.path("users"));
    // The rule of [access] is for quay.io, whatever lists of its own ghcr.io has.
    let rule = "[[access.rule]]\nusers = [\"alice\"]\nallow = [\"quay.io/org/*\"]\ndeny = [\"quay.io/x\"]\n";
    let own = "[registry.access]\nallow = [\"org/*\"]\ndeny = [\"org/secret\"]\n";
    let config = parse(&format!(
        "[access]\n{users}{rule}[[registry]]\nname = \"quay.io\"\n[[registry]]\nname = \"ghcr.io\"\n{own}"
    ));
    assert_eq!(decision(&config, "quay.io", &alice(), MANIFEST), Decision::Allow);
    assert!(matches!(decision(&config, "ghcr.io", &alice(), MANIFEST), Decision::Refuse(_)));
    let rule = "[[registry.access.rule]]\nusers = [\"alice\"]\ndeny = [\"quay.io/x\"]\n";
    let text = format!("[access]\n{users}[[registry]]\nname = \"ghcr.io\"\n[registry.access]\n{rule}");
    let mistakes = Config::parse("wharf.toml", &text, &variable).unwrap_err().to_string();
    assert!(mistakes.contains("names no repository of ghcr.io; move it to [access]"), "{mistakes}");
}

#[test]
fn every_mistake_in_the_rules_is_named() {
    check_refused(
        r#"
[access]
addresses = ["10.0.0.1/8", "x"]
allow = ["org/app:1"]
require = "both"
user_file = "x"
[[access.rule]]
users = ["ci"]
[[access.rule]]
allow = ["a/b"]
[defaults.access]
[[registry]]
name = "ghcr.io"
[registry.access]
deny = ["quay.io/org/app"]
"#,
        &[
            "wharf.toml:3: access.addresses: \"10.0.0.1/8\": bits are set behind the length; write \"10.0.0.0/8\"",
            "wharf.toml:3: access.addresses: \"x\": this is no address and no network; write one such as \
             \"192.0.2.7\", \"10.0.0.0/8\" or \"fd00::/8\"",
            "wharf.toml:4: access.allow: \"org/app:1\" names a tag or a digest, and access is for whole \
             repositories; leave it out",
            "wharf.toml:5: access.require: \"both\" is not one of \"any\", \"all\"; write one of these",
            "wharf.toml:6: access.user_file: there is no such key; did you mean \"users_file\"?",
            "wharf.toml:7: access.rule: names users or tokens, and no file has any; set users_file or \
             tokens_file",
            "wharf.toml:7: access.rule[0]: has neither allow nor deny; write, for example, users = [\"ci-*\"] and \
             allow = [\"team/*\"] below [[access.rule]]",
            "wharf.toml:9: access.rule[1]: names no client; write, for example, users = [\"ci-*\"] and allow = \
             [\"team/*\"] below [[access.rule]]",
            "wharf.toml:11: defaults.access: write [access] for the rules of all registries",
            "wharf.toml:15: registry[ghcr.io].access.deny: \"quay.io/org/app\" names no repository of ghcr.io; move \
             it to [access]",
        ],
    );
}

#[test]
fn s28_a_mistake_in_a_file_of_logins_shows_its_line_and_no_secret() {
    let files = Files::new();
    files.write("users", &format!("{USERS}bob:canary-plain\n"));
    files.write("tokens", "ci:canary-short\n");
    let text = format!(
        "[access]\nusers_file = {:?}\ntokens_file = {:?}\n",
        files.path("users"),
        files.path("tokens")
    );
    let mistakes = Config::parse("wharf.toml", &text, &variable).unwrap_err().to_string();
    assert!(mistakes.contains("users: line 2: ") && mistakes.contains("`htpasswd -nB bob`"), "{mistakes}");
    assert!(mistakes.contains("tokens: line 1: "), "{mistakes}");
    assert!(!mistakes.contains("canary"), "{mistakes}");
}

#[test]
fn s28_the_configuration_shows_no_login() {
    let files = Files::new();
    let text = format!(
        "[access]\nusers_file = {:?}\ntokens_file = {:?}\n",
        files.path("users"),
        files.path("tokens")
    );
    let config = parse(&text);
    let shown = format!("{config:?}");
    assert!(!shown.contains(TOKEN) && !shown.contains("$04$"), "{shown}");
    let watched: Vec<PathBuf> = config.warnings.files().to_vec();
    assert!(watched.contains(&files.path("users")) && watched.contains(&files.path("tokens")));
}

#[test]
fn s14_without_rules_clients_get_only_public_repositories_unless_the_switch_says_otherwise() {
    let files = Files::new();
    let account = "[[registry]]\nname = \"ghcr.io\"\nusername = \"u\"\npassword = \"p\"\n";
    let switch = "serve_private = true\n";
    let by_login = format!("users_file = {:?}\n", files.path("users"));
    let of_ghcr = |rules: &str| format!("{account}[registry.access]\n{rules}");
    let table = [
        (account.to_owned(), true),
        (format!("{account}{switch}"), false),
        (format!("[defaults]\n{switch}{account}"), false),
        ("[[registry]]\nname = \"ghcr.io\"\n".to_owned(), false),
        ("[[registry]]\nname = \"ghcr.io\"\ncredentials = \"docker-config:/x\"\n".to_owned(), true),
        (format!("[access]\n{by_login}{account}"), false),
        (of_ghcr(&by_login), false),
        (of_ghcr("addresses = [\"10.0.0.0/8\"]\n"), false),
        (of_ghcr("allow = [\"team/*\"]\n"), false),
        // To deny something says of nobody that he may have the rest.
        (of_ghcr("deny = [\"secret/*\"]\n"), true),
        // Rules of another registry say nothing about this one.
        (format!("{account}[[registry]]\nname = \"quay.io\"\n[registry.access]\n{by_login}"), true),
    ];
    for (text, expected) in table {
        assert_eq!(parse(&text).registries[0].public_only, expected, "{text}");
    }
    let directory = tempfile::tempdir().unwrap();
    let identity = rcgen::generate_simple_self_signed(vec!["wharf".to_owned()]).unwrap();
    let (cert, key) = (directory.path().join("cert"), directory.path().join("key"));
    std::fs::write(&cert, identity.cert.pem()).unwrap();
    std::fs::write(&key, identity.signing_key.serialize_pem()).unwrap();
    let text = format!("[[registry]]\nname = \"ghcr.io\"\nclient_cert = {cert:?}\nclient_key = {key:?}\n");
    assert!(parse(&text).registries[0].public_only, "a client certificate counts as a login");
    assert!(parse(&format!("{text}{switch}")).warnings.lines().any(|line| line.contains("serve_private")));
}

#[test]
fn s14_an_account_is_warned_of_if_everyone_may_use_it() {
    let files = Files::new();
    let account = "[[registry]]\nname = \"ghcr.io\"\nusername = \"u\"\npassword = \"p\"\n";
    let is_warned =
        |text: &str| parse(text).warnings.lines().any(|line| line.contains("whatever this account can"));
    assert!(!is_warned(account));
    let shared = format!("{account}serve_private = true\n");
    assert!(is_warned(&shared));
    assert!(is_warned(&format!("{shared}[registry.access]\ndeny = [\"secret/*\"]\n")));
    assert!(is_warned(&format!("{account}[registry.access]\nallow = [\"team/*\"]\n")));
    let by_login = format!("users_file = {:?}\n", files.path("users"));
    assert!(!is_warned(&format!("{shared}[registry.access]\n{by_login}")));
    assert!(!is_warned(&format!("[access]\n{by_login}{shared}")));
    assert!(!is_warned(&format!("{shared}[registry.access]\naddresses = [\"10.0.0.0/8\"]\n")));
}

#[test]
fn passwords_without_tls_are_warned_of() {
    let files = Files::new();
    let is_warned = |server: &str| {
        let text = format!("[server]\n{server}\n[access]\nusers_file = {:?}\n", files.path("users"));
        parse(&text).warnings.lines().any(|line| line.contains("without TLS, readable"))
    };
    assert!(is_warned(""));
    assert!(is_warned("listen = \"192.0.2.1:5000\""));
    assert!(!is_warned("listen = \"127.0.0.1:5000\""));
    assert!(!is_warned("trusted_proxies = [\"10.0.0.1\"]"));
}

#[test]
fn rules_come_from_variables_too() {
    let files = Files::new();
    let path = files.path("users").display().to_string();
    let variables = |name: &str| match name {
        "WHARF_ACCESS_ADDRESSES" => Some("10.0.0.0/8 fd00::/8".to_owned()),
        "WHARF_REGISTRY_GHCR_IO_ACCESS_USERS_FILE" => Some(path.clone()),
        _ => None,
    };
    let names = ["WHARF_ACCESS_ADDRESSES", "WHARF_REGISTRY_GHCR_IO_ACCESS_USERS_FILE"].map(str::to_owned);
    let environment = Environment { names: names.into(), ..Environment::without_keys(&variables) };
    let config = Config::read("wharf.toml", REGISTRIES, &environment).unwrap();
    assert_eq!(decision(&config, "ghcr.io", &stranger(), MANIFEST), Decision::Challenge);
    assert!(matches!(decision(&config, "quay.io", &stranger(), MANIFEST), Decision::Refuse(_)));
    let explained =
        config.settings.iter().find(|it| it.key == "registry[ghcr.io].access.users_file").unwrap();
    assert_eq!(explained.variable, "WHARF_REGISTRY_GHCR_IO_ACCESS_USERS_FILE");
    let set = vec![("registry.quay.io.access.deny".to_owned(), "org/*".to_owned())];
    let environment = Environment { set, ..Environment::without_keys(&variable) };
    let config = Config::read("wharf.toml", REGISTRIES, &environment).unwrap();
    assert!(matches!(decision(&config, "quay.io", &stranger(), MANIFEST), Decision::Refuse(_)));
}

#[test]
fn certificates_of_clients_need_an_authority() {
    let files = Files::new();
    let identity = rcgen::generate_simple_self_signed(vec!["wharf".to_owned()]).unwrap();
    files.write("cert.pem", &identity.cert.pem());
    files.write("key.pem", &identity.signing_key.serialize_pem());
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let tls = format!("[server.tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n");
    let access = "[access]\nclient_names = [\"*.CI.example\"]\n";
    let mistakes = Config::parse("wharf.toml", &format!("{tls}{access}"), &variable).unwrap_err().to_string();
    assert!(mistakes.contains("set client_ca_file of [server.tls]"), "{mistakes}");
    let config = parse(&format!("{tls}client_ca_file = {cert:?}\n{access}{REGISTRIES}"));
    assert!(config.server.tls.as_ref().unwrap().client_verifier.is_some());
    let with = |name: &str| Identity { certificate: Some([name.to_owned()].into()), ..stranger() };
    assert_eq!(decision(&config, "ghcr.io", &with("a.ci.example"), MANIFEST), Decision::Allow);
    assert!(matches!(decision(&config, "ghcr.io", &with("a.example"), MANIFEST), Decision::Refuse(_)));
}

#[test]
fn with_passthrough_a_clients_login_goes_to_no_second_address() {
    let list = "upstream = [\"https://one.test\", \"https://two.test\"]\n";
    for (defaults, auth) in [("", "auth = \"passthrough\"\n"), ("[defaults]\nauth = \"passthrough\"\n", "")] {
        let registry = format!("{defaults}[[registry]]\nname = \"one.test\"\n{auth}");
        let mistakes = Config::parse("wharf.toml", &format!("{registry}{list}"), &variable).unwrap_err();
        let mistakes = mistakes.to_string();
        assert!(mistakes.contains("registry[one.test].upstream: lists 2 addresses"), "{mistakes}");
        assert!(mistakes.contains("goes to one registry and its token service alone"), "{mistakes}");
        assert!(
            parse(&format!("{registry}upstream = [\"https://one.test\"]\n")).registries[0].cache.passthrough
        );
    }
    let account = format!("[[registry]]\nname = \"one.test\"\nauth = \"account\"\n{list}");
    assert_eq!(parse(&account).registries[0].upstream.stand_ins.len(), 1);
}

#[test]
fn s14_with_passthrough_a_second_login_is_a_contradiction() {
    let files = Files::new();
    let registry = "[[registry]]\nname = \"ghcr.io\"\nauth = \"passthrough\"\n";
    let config = parse(registry);
    let of_ghcr = &config.registries[0];
    assert!(of_ghcr.cache.passthrough && of_ghcr.cache.links && !of_ghcr.public_only);
    for rules in ["addresses = [\"10.0.0.0/8\"]\n", "allow = [\"team/*\"]\n", "deny = [\"team/*\"]\n"] {
        assert!(parse(&format!("{registry}[registry.access]\n{rules}")).registries[0].cache.passthrough);
    }
    let by_login = format!("users_file = {:?}\n", files.path("users"));
    let table = [
        (format!("{registry}username = \"u\"\npassword = \"p\"\n"), "keep one of the two"),
        (format!("{registry}credentials = \"docker-config:/x\"\n"), "keep one of the two"),
        (format!("[defaults]\ncredentials = \"docker-config:/x\"\n{registry}"), "keep one of the two"),
        (format!("{registry}[registry.access]\n{by_login}"), "a request has only one"),
        (format!("[access]\n{by_login}{registry}"), "a request has only one"),
    ];
    for (text, expected) in table {
        let mistakes = Config::parse("wharf.toml", &text, &variable).unwrap_err().to_string();
        assert!(mistakes.contains(expected), "{text}: {mistakes}");
    }
    let warned = |text: &str| parse(text).warnings.lines().any(|line| line.contains("without TLS, readable"));
    assert!(warned(&format!("[server]\nlisten = \"192.0.2.1:5000\"\n{registry}")));
    assert!(warned(&format!(
        "[server]\nlisten = \"127.0.0.1:5000\"\n{registry}upstream = \"http://ghcr.io\"\n"
    )));
    assert!(!warned(&format!("[server]\nlisten = \"127.0.0.1:5000\"\n{registry}")));
}
