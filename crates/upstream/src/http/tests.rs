mod graphs;

use telemetry::Metrics;
use url::Url;

use super::HttpUpstream;
use crate::settings::{Settings, SettingsError};
use crate::tls::Authorities;

fn build(upstream: &str, trusted: &[&str]) -> Result<HttpUpstream, SettingsError> {
    let mut settings = Settings::new("corp", Url::parse(upstream).unwrap());
    settings.trusted_hosts = trusted.iter().map(|&text| text.to_owned()).collect();
    HttpUpstream::new(settings, &Authorities::load(), Metrics::new(&["corp".to_owned()]).registry("corp"))
}

#[test]
fn an_upstream_that_is_no_plain_url_is_refused() {
    let refused = [
        "ftp://a.example",
        "https://u@a.example",
        "https://:p@a.example",
        "https://a.example?x=y",
        "https://a#b",
    ];
    for upstream in refused {
        assert!(matches!(build(upstream, &[]).unwrap_err(), SettingsError::Upstream), "{upstream}");
    }
}

#[test]
fn a_trusted_host_that_is_none_is_named() {
    let error = build("https://a.example", &["b.example", "https://c.example"]).unwrap_err();
    assert!(error.to_string().contains("https://c.example"), "{error}");
}
