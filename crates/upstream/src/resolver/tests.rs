use std::collections::HashSet;
use std::net::IpAddr;

use reqwest::dns::Resolve;

use super::{GuardedResolver, SystemResolver, keep_outside};

async fn resolve(resolver: &impl Resolve, name: &str) -> Result<Vec<IpAddr>, String> {
    let addresses = resolver.resolve(name.parse().unwrap()).await;
    addresses.map(|found| found.map(|address| address.ip()).collect()).map_err(|error| error.to_string())
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn localhost_resolves() {
    for name in ["localhost", "localhost."] {
        let found = resolve(&SystemResolver::default(), name).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{name}: {found:?}");
    }
}

#[tokio::test]
async fn an_address_in_a_url_resolves_to_itself() {
    for (host, address) in [("192.0.2.7", "192.0.2.7"), ("[2001:db8::1]", "2001:db8::1")] {
        assert_eq!(resolve(&SystemResolver::default(), host).await.unwrap(), addresses(&[address]));
    }
    let guarded = GuardedResolver::new(SystemResolver::default(), HashSet::new());
    for host in ["127.0.0.1", "[::1]", "10.0.0.1"] {
        assert!(resolve(&guarded, host).await.unwrap_err().contains("trusted_hosts"), "{host}");
    }
}

#[tokio::test]
async fn s02_a_name_that_leads_inside_is_refused_after_resolution() {
    let guarded = GuardedResolver::new(SystemResolver::default(), HashSet::new());
    for name in ["localhost", "localhost.", "LOCALHOST", "a.localhost"] {
        let error = resolve(&guarded, name).await.unwrap_err();
        assert!(error.contains("a loopback address") && error.contains("trusted_hosts"), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_proxy_may_sit_inside() {
    let exempt = HashSet::from(["localhost".to_owned()]);
    let guarded = GuardedResolver::new(SystemResolver::default(), exempt);
    assert!(!resolve(&guarded, "localhost").await.unwrap().is_empty());
}

#[tokio::test]
async fn f01_a_name_that_does_not_exist_is_an_error() {
    assert!(resolve(&SystemResolver::default(), "registry.invalid").await.is_err());
}

#[test]
fn s02_of_mixed_addresses_only_those_outside_are_used() {
    let kept = keep_outside("a.example", addresses(&["10.0.0.1", "1.1.1.1", "::1", "2606:4700::1111"]));
    assert_eq!(kept.unwrap(), addresses(&["1.1.1.1", "2606:4700::1111"]));
    assert!(keep_outside("a.example", addresses(&["169.254.169.254", "::ffff:10.0.0.1"])).is_err());
    assert_eq!(keep_outside("a.example", Vec::new()).unwrap(), addresses(&[]));
}
