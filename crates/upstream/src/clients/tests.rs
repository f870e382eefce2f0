use url::Url;

use super::{Clients, parse_environment_proxy, proxy_host};
use crate::settings::{ProxySettings, Settings, SettingsError};
use crate::tls::Authorities;

fn settings() -> Settings {
    Settings::new("corp", Url::parse("https://registry.corp.example").unwrap())
}

fn build(settings: &Settings) -> Result<Clients, SettingsError> {
    Clients::new(settings, &Authorities::load())
}

#[test]
fn proxies_of_the_environment_are_read_like_the_http_client_reads_them() {
    let cases = [
        ("http://proxy.corp:3128", Some("proxy.corp")),
        ("http://user:pw@proxy.corp.:3128/", Some("proxy.corp")),
        ("proxy.corp:3128", Some("proxy.corp")),
        ("socks5h://10.0.0.1", Some("10.0.0.1")),
        ("", None),
    ];
    for (value, host) in cases {
        let found = parse_environment_proxy(value).as_ref().and_then(proxy_host);
        assert_eq!(found.as_deref(), host, "{value}");
    }
}

#[test]
fn s02_foreign_text_must_not_name_the_proxy() {
    let proxy = Some(ProxySettings::new(Url::parse("http://proxy.corp:3128").unwrap()));
    let clients = build(&Settings { proxy, ..settings() }).unwrap();
    for (url, is_proxy) in
        [("https://proxy.corp/", true), ("http://PROXY.corp.:80/x", true), ("https://cdn.example/", false)]
    {
        assert_eq!(clients.is_proxy(&Url::parse(url).unwrap()), is_proxy, "{url}");
    }
}

#[test]
fn certificates_that_are_none_are_refused_by_their_key() {
    let empty = Settings { ca: vec![b"hello".to_vec()], ..settings() };
    assert!(matches!(build(&empty).unwrap_err(), SettingsError::Ca { .. }));
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    let broken = Settings { ca: vec![broken], ..settings() };
    assert!(matches!(build(&broken).unwrap_err(), SettingsError::Ca { .. }));
    let nobody = Settings { client_identity: Some(b"hello".to_vec().into()), ..settings() };
    assert!(matches!(build(&nobody).unwrap_err(), SettingsError::ClientIdentity { .. }));
}

#[test]
fn s28_a_bad_proxy_is_reported_without_its_password() {
    let proxy = Some(ProxySettings::new(Url::parse("ftp://user:canary@proxy.corp").unwrap()));
    let error = build(&Settings { proxy, ..settings() }).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
}
