use secret::Secret;
use url::Url;

use super::{ProxySettings, Settings};

#[test]
fn s28_debug_shows_no_secret() {
    let mut settings = Settings::new("corp", Url::parse("https://registry.corp.example").unwrap());
    settings.credentials = credentials::Settings::password("robot", "canary-1");
    settings.client_identity = Some(Secret::new(b"canary-2".to_vec()));
    settings.proxy = Some(ProxySettings::new(Url::parse("http://user:canary-3@proxy.corp:3128").unwrap()));
    let text = format!("{settings:?}");
    assert!(!text.contains("canary"), "{text}");
    assert!(text.contains("registry.corp.example") && text.contains("proxy.corp:3128"), "{text}");
}
