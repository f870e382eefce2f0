use url::Url;

use super::{HOST_COUNT_MAX, Realm, Scheme, Schemes};
use crate::auth::hop::{Hop, HopRole};
use crate::auth::scope::{Need, Scope};

fn host(url: &str, role: HopRole) -> Hop {
    let url = Url::parse(url).unwrap();
    Hop { url, role, repository: "library/alpine".parse().unwrap(), need: Need::Content, login: None }
}

fn bearer(realm: &str) -> Scheme {
    Scheme::Bearer { realm: Realm { url: Url::parse(realm).unwrap(), is_trusted: false }, service: None }
}

#[test]
fn k1_each_host_is_answered_as_it_asked() {
    let schemes = Schemes::default();
    let home = host("https://lscr.io/v2/a", HopRole::Home);
    let real = host("https://ghcr.io/v2/a", HopRole::Other);
    assert!(schemes.learn(&real, &bearer("https://ghcr.io/token"), Some(&Scope::Fixed("aws".to_owned()))));
    assert_eq!(schemes.of(&home), None);
    assert!(schemes.of(&host("https://ghcr.io:8443/v2/a", HopRole::Other)).is_none());
    assert!(schemes.of(&host("http://ghcr.io/v2/a", HopRole::Other)).is_none());
    let (scheme, scope) = schemes.of(&host("https://ghcr.io/another/path", HopRole::Other)).unwrap();
    assert_eq!((scheme, scope.as_str()), (bearer("https://ghcr.io/token"), "aws"));
    assert!(!schemes.learn(&real, &bearer("https://ghcr.io/token"), None), "that is known");
    assert!(schemes.learn(&real, &bearer("https://ghcr.io/other"), None));
}

#[test]
fn k1_the_hosts_that_are_remembered_are_bounded_and_the_registry_is_among_them() {
    let schemes = Schemes::default();
    let home = host("https://lscr.io/v2/a", HopRole::Home);
    schemes.learn(&home, &Scheme::Basic, None);
    for number in 0..5 * HOST_COUNT_MAX {
        let other = host(&format!("https://h{number}.example/"), HopRole::Other);
        schemes.learn(&other, &bearer("https://auth.example/token"), None);
        assert!(schemes.of(&other).is_some());
    }
    assert_eq!(schemes.lock().len(), HOST_COUNT_MAX);
    assert!(schemes.of(&home).is_some());
}
