use super::*;
use crate::config::{Config, Environment};

#[test]
fn a_value_is_written_as_the_file_would_have_it() {
    for (shape, text, expected) in [
        (Shape::Text, "a b", "\"a b\""),
        (Shape::Secret, "canary", "(secret)"),
        (Shape::Proxy, "socks5://u:canary@proxy:1", "\"socks5://***@proxy:1\""),
        (Shape::Flag, "true", "true"),
        (Shape::Time { may_be_zero: true, may_be_forever: true }, "5m", "\"5m\""),
        (Shape::List(&Shape::Host), "a.example, b.example", "[\"a.example\", \"b.example\"]"),
        (Shape::OrOff(&Shape::List(&Shape::Address)), "off", "[\"off\"]"),
        (Shape::OrOff(&Shape::Address), "off", "\"off\""),
    ] {
        assert_eq!(written(shape, text), expected, "{text}");
    }
}

/// A comparison of two configurations must find every key in both.
#[test]
fn every_declared_key_is_explained_once() {
    let config = Config::builtin(&Environment::without_keys(&|_| None)).unwrap();
    let count = |key: &str| config.settings.iter().filter(|setting| setting.key == key).count();
    for section in [&process::SERVER, &process::ADMIN, &process::STORAGE, &process::LOG] {
        for key in section.keys() {
            assert_eq!(count(&format!("{}.{}", section.name, key.name())), 1);
        }
    }
    for registry in &config.registries {
        for key in registry::REGISTRY.keys() {
            assert_eq!(count(&format!("registry[{}].{}", registry.names.name, key.name())), 1);
        }
    }
    assert_eq!(count("server.tls.cert_file"), 0, "without that section, TLS is not spoken");
}
