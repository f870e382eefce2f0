use std::fs;
use std::path::Path;

use super::*;
use crate::config::{Config, Environment};

fn put(directory: &Path, name: &str, files: &[&str]) {
    let identity = rcgen::generate_simple_self_signed(vec![format!("{name}.example")]).unwrap();
    for (end, text) in [("pem", identity.cert.pem()), ("key", identity.signing_key.serialize_pem())] {
        if files.contains(&end) {
            fs::write(directory.join(format!("{name}.{end}")), text).unwrap();
        }
    }
}

fn text(directory: &Path) -> String {
    let pair = |name: &str| {
        let path = directory.join(name).display().to_string();
        format!("cert_file = \"{path}.pem\"\nkey_file = \"{path}.key\"\n")
    };
    format!("[server.tls]\n{}[[server.tls.certificate]]\n{}", pair("one"), pair("two"))
}

fn read(text: &str, rule: PairRule<'_>) -> Result<Config, Vec<String>> {
    let environment = Environment { pairs: rule, ..Environment::without_keys(&|_| None) };
    Config::read("wharf.toml", text, &environment).map_err(|mistakes| mistakes.lines().collect())
}

fn names(config: &Config) -> Vec<String> {
    let set = &config.server.tls.as_ref().unwrap().certificates;
    set.all().iter().flat_map(|it| it.dns_names().to_vec()).collect()
}

#[test]
fn further_certificates_are_read_behind_the_default() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "one", &["pem", "key"]);
    put(directory.path(), "two", &["pem", "key"]);
    let config = read(&text(directory.path()), PairRule::Each).unwrap();
    assert_eq!(names(&config), ["one.example", "two.example"]);
    assert_eq!(config.warnings.files().len(), 4, "each file is watched");
}

#[test]
fn an_unusable_pair_is_a_mistake_for_a_check_and_a_warning_at_a_start() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "one", &["pem", "key"]);
    put(directory.path(), "two", &["pem", "key"]);
    put(directory.path(), "two", &["pem"]);
    let text = text(directory.path());
    let mistakes = read(&text, PairRule::Each).unwrap_err();
    let expected = "wharf.toml:6: server.tls.certificate[0].key_file: the certificate and the key";
    assert!(mistakes.len() == 1 && mistakes[0].starts_with(expected), "{mistakes:?}");
    let config = read(&text, PairRule::One).unwrap();
    assert_eq!(names(&config), ["one.example"]);
    let warnings: Vec<String> = config.warnings.lines().collect();
    assert!(
        warnings.len() == 1 && warnings[0].contains("is not in use until its files match"),
        "{warnings:?}"
    );
    fs::remove_file(directory.path().join("one.key")).unwrap();
    let mistakes = read(&text, PairRule::One).unwrap_err();
    assert_eq!(mistakes.len(), 2, "without a usable pair wharf cannot serve: {mistakes:?}");
    assert!(read(&text, PairRule::None).is_ok(), "a command serves no clients");
}

#[test]
fn a_pair_in_force_that_matches_no_longer_goes_on_and_the_others_change() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "one", &["pem", "key"]);
    put(directory.path(), "two", &["pem", "key"]);
    let text = text(directory.path());
    let before = read(&text, PairRule::Each).unwrap();
    put(directory.path(), "one", &["key"]);
    put(directory.path(), "two", &["pem", "key"]);
    let after = read(&text, PairRule::Known(&before.pairs)).unwrap();
    let certificate = |config: &Config, index: usize| config.pairs[index].certificate.clone().unwrap();
    assert_eq!(certificate(&after, 0), certificate(&before, 0));
    assert_ne!(certificate(&after, 1), certificate(&before, 1));
    assert!(after.pairs[0].fault.is_some() && after.pairs[1].fault.is_none());
    fs::remove_file(directory.path().join("one.pem")).unwrap();
    let gone = read(&text, PairRule::Known(&after.pairs)).unwrap();
    assert_eq!(certificate(&gone, 0), certificate(&before, 0));
    let typo = text.replace("two.pem", "tow.pem");
    let mistakes = read(&typo, PairRule::Known(&before.pairs)).unwrap_err();
    assert!(mistakes.len() == 1 && mistakes[0].contains("tow.pem"), "a new name is a mistake: {mistakes:?}");
}

#[test]
fn mistakes_in_the_list_have_their_places() {
    let pair = "[server.tls]\ncert_file = \"/x\"\nkey_file = \"/y\"\n";
    for (text, expected) in [
        ("certificate = \"/a.pem\"\n", "wharf.toml:4: server.tls.certificate: expected a list of sections"),
        ("certificate = [5]\n", "wharf.toml:4: server.tls.certificate[0]: expected a section"),
        ("[[server.tls.certificate]]\ncert_file = \"/a\"\n", "server.tls.certificate[0]: has no key_file"),
        (
            "[[server.tls.certificate]]\ncert = \"/a\"\n",
            "server.tls.certificate[0].cert: there is no such key",
        ),
        (
            "[[server.tls.certificate]]\ncert_file = \"/x\"\nkey_file = \"/z\"\n",
            "server.tls.certificate[0].cert_file: is the certificate of another pair",
        ),
    ] {
        let mistakes = read(&format!("{pair}{text}"), PairRule::None).unwrap_err();
        assert!(mistakes.iter().any(|line| line.contains(expected)), "{text}: {mistakes:#?}");
    }
}

#[test]
fn a_variable_lists_pairs() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "one", &["pem", "key"]);
    put(directory.path(), "two", &["pem", "key"]);
    let path = |name: &str| directory.path().join(name).display().to_string();
    let further = format!("{}={}", path("two.pem"), path("two.key"));
    let values = [
        ("WHARF_SERVER_TLS_CERT_FILE", path("one.pem")),
        ("WHARF_SERVER_TLS_KEY_FILE", path("one.key")),
        ("WHARF_SERVER_TLS_CERTIFICATE", further),
    ];
    let variables = |name: &str| values.iter().find(|(it, _)| *it == name).map(|(_, value)| value.clone());
    let names_set = values.iter().map(|(name, _)| (*name).to_owned()).collect();
    let environment = Environment { names: names_set, ..Environment::without_keys(&variables) };
    let config = Config::read("wharf.toml", "", &environment).unwrap();
    assert_eq!(names(&config), ["one.example", "two.example"]);
}
