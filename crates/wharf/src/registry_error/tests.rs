use std::fs;
use std::slice;
use std::sync::Arc;

use telemetry::{Metrics, error_chain};
use upstream::{Authorities, SettingsError};

use super::*;
use crate::config::Config;
use crate::registry_set;

fn errors(list: &[(&str, &str)]) -> Vec<RegistryError> {
    list.iter().map(|(name, reason)| RegistryError::new(*name, *reason)).collect()
}

#[test]
fn one_reason_is_one_line() {
    let same = errors(&[("a", "no"), ("b", "no"), ("c", "no"), ("d", "no"), ("e", "no")]);
    assert_eq!(lines(&same, 5), "all registries: no");
    assert_eq!(lines(&same, 6), "a, b, c and 2 more: no");
    assert_eq!(lines(&same[..1], 1), "a: no");
    assert_eq!(lines(&errors(&[("a", "no"), ("b", "never"), ("c", "no")]), 3), "a, c: no\nb: never");
}

/// The file has the marks of a certificate and no certificate between them.
#[test]
fn a_mistake_in_the_settings_keeps_its_causes_and_prints_each_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let text = format!("[[registry]]\nname = \"a.example\"\nca_file = {path:?}\n");
    let config = Config::parse("wharf.toml", &text, &|_| None).unwrap();
    let metrics = Arc::new(Metrics::new(&["a.example".to_owned()]));
    let made = registry_set::upstream(&config.registries[0], &Authorities::load(), &metrics);
    let error = made.expect_err("the file has no certificate");
    let settings = error.source().and_then(|cause| cause.downcast_ref::<SettingsError>()).unwrap();
    let parser = settings.source().expect("the parser's error");
    let printed = lines(slice::from_ref(&error), 2);
    let expected = format!("a.example: {settings}: {parser}");
    assert_eq!(printed, expected);
    assert_eq!(printed.matches(&parser.to_string()).count(), 1, "{printed}");
    assert_eq!(error_chain(parser), parser.to_string(), "no cause is missing");
}
