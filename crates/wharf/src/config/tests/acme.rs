//! `[server.acme]`.

use ::acme::{Challenge, Dns};

use super::*;

const SERVER: &str = "[server]\ndomain = \"reg.example\"\n";

fn with(keys: &str) -> String {
    format!("{SERVER}[server.acme]\nterms_agreed = true\n{keys}")
}

#[test]
fn acme_alone_listens_for_tls_and_needs_no_certificate_file() {
    let config = parse(&with(""));
    let acme = config.acme.as_ref().unwrap();
    assert_eq!(acme.settings.directory.as_str(), "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(acme.settings.challenge, Challenge::Http);
    assert!(acme.state_dir.ends_with("wharf-data/_acme") && acme.names.is_none());
    let tls = config.server.tls.as_ref().unwrap();
    assert_eq!(tls.listen, ["0.0.0.0:5443".parse().unwrap()]);
    assert!(tls.certificates.is_empty());
    assert!(parse(SERVER).acme.is_none());
}

#[test]
fn updates_and_hooks_are_read_with_their_keys() {
    let update = "challenge = \"dns-01\"\ndns_server = \"192.0.2.53:53\"\ndns_key_name = \"k\"\ndns_key = \"c2VjcmV0\"\n\
                  wildcard = true\n";
    let Challenge::Dns { by: Dns::Update(update), wait } =
        parse(&with(update)).acme.unwrap().settings.challenge
    else {
        panic!("no updates")
    };
    assert_eq!((update.resolver, wait.as_secs()), (update.server, 10));
    assert_eq!(update.key.expose(), b"secret");
    let hook = "challenge = \"dns-01\"\ndns_hook = \"/bin/hook\"\ndns_wait = \"0s\"\n";
    let acme = parse(&with(hook)).acme.unwrap();
    assert!(acme.settings.challenge.starts_programs());
    let bound = parse(&with("eab_key_id = \"k\"\neab_key = \"c2VjcmV0\"\n")).acme.unwrap();
    assert_eq!(bound.settings.binding.unwrap().key.expose(), b"secret");
}

#[test]
fn each_mistake_is_told_at_its_key() {
    let update = "challenge = \"dns-01\"\ndns_server = \"192.0.2.53:53\"\n";
    for (text, key, told) in [
        (format!("{SERVER}[server.acme]\n"), "server.acme", "terms_agreed must be true"),
        (format!("{SERVER}[server.acme]\nterms_agreed = false\n"), "terms_agreed", "must be true"),
        (with("directory = \"http://ca.example/dir\"\n"), "directory", "no https URL"),
        (with("contact = \"ops\"\n"), "contact", "is no mail address"),
        (with("wildcard = true\n"), "wildcard", "needs challenge = \"dns-01\""),
        (with("challenge = \"http\"\n"), "challenge", "is not one of"),
        (with("challenge = \"dns-01\"\n"), "challenge", "needs dns_server"),
        (with(update), "dns_server", "needs dns_key_name"),
        (with(update), "dns_server", "needs dns_key or dns_key_file"),
        (with(&format!("{update}dns_key_name = \"k\"\ndns_key = \"!\"\n")), "dns_key", "no key in base64"),
        (with(&format!("{update}dns_hook = \"/x\"\n")), "dns_hook", "dns_server is set as well"),
        (with("challenge = \"dns-01\"\ndns_server = \"ns.example\"\n"), "dns_server", "no address"),
        (with("challenge = \"dns-01\"\ndns_hook = \"/x\"\ndns_wait = \"1h\"\n"), "dns_wait", "at most"),
        (with("eab_key_id = \"k\"\n"), "eab_key_id", "needs eab_key or eab_key_file"),
        (with("eab_key = \"c2VjcmV0\"\n"), "eab_key", "needs eab_key_id"),
        (with("").replace("reg.example", "localhost"), "server.acme", "no name that an authority signs for"),
        (with("names = [\"localhost\"]\n"), "names", "no name that an authority signs for"),
        (
            with("").replace("[server]\n", "[server]\nlisten = \"off\"\n"),
            "server.acme",
            "http-01 comes over plain HTTP",
        ),
        (
            with("").replace("[server.acme]", "[server.tls]\ncert_file = \"a.pem\"\n[server.acme]"),
            "server.tls",
            "key_file is missing",
        ),
    ] {
        let mistakes = Config::parse("wharf.toml", &text, &|_| None).unwrap_err();
        let lines: Vec<String> = mistakes.lines().collect();
        assert!(lines.iter().any(|line| line.contains(key) && line.contains(told)), "{told}: {lines:?}");
        assert!(!format!("{lines:?}").contains("c2VjcmV0"), "{lines:?}");
    }
}

#[test]
fn keys_of_the_dns_without_dns_01_get_a_warning() {
    let config = parse(&with("dns_hook = \"/bin/hook\"\n"));
    assert!(config.warnings.lines().any(|line| line.contains("dns_hook: has no effect")));
}
