use super::*;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use time::OffsetDateTime;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 3600;
const EC: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

/// A certificate called `source` for `names`, valid from `begins` to `ends`, in days from now.
fn certificate(source: &str, names: &[&str], begins: i64, ends: i64, is_rsa: bool) -> Certificate {
    let algorithm = if is_rsa { &PKCS_RSA_SHA256 } else { &PKCS_ECDSA_P256_SHA256 };
    let key = KeyPair::generate_for(algorithm).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let at = |days: i64| OffsetDateTime::from_unix_timestamp(NOW as i64 + days * DAY as i64).unwrap();
    (params.not_before, params.not_after) = (at(begins), at(ends));
    let chain = params.self_signed(&key).unwrap().pem();
    Certificate::from_pem(source, chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
}

fn valid(source: &str, names: &[&str]) -> Certificate {
    certificate(source, names, -1, 30, false)
}

/// The source of the certificate that a client gets.
fn shown<'s>(
    set: &'s CertificateSet,
    name: Option<&str>,
    address: Option<&str>,
    offered: &[SignatureScheme],
) -> &'s str {
    let address = address.map(|address| address.parse().unwrap());
    let key = set.choose(Hello { name, address, offered, now: NOW }).unwrap();
    set.all().iter().find(|it| Arc::ptr_eq(it.key(), key)).unwrap().source()
}

#[test]
fn a_name_comes_before_a_wildcard_and_the_default_comes_last() {
    let set = CertificateSet::new(vec![
        valid("default", &["wharf.example"]),
        valid("wildcard", &["*.cache.example", "cache.example"]),
        valid("deep", &["*.io.cache.example"]),
        valid("exact", &["quay-io.cache.example"]),
    ]);
    for (name, expected) in [
        (Some("wharf.example"), "default"),
        (Some("cache.example"), "wildcard"),
        (Some("docker-io.cache.example"), "wildcard"),
        (Some("quay-io.cache.example"), "exact"),
        (Some("quay-io.cache.example."), "exact"),
        (Some("docker.io.cache.example"), "deep"),
        // A wildcard stands for one label.
        (Some("a.b.c.cache.example"), "default"),
        (Some("elsewhere.example"), "default"),
        (Some("example"), "default"),
        (None, "default"),
    ] {
        assert_eq!(shown(&set, name, None, &[EC]), expected, "{name:?}");
    }
}

#[test]
fn a_client_without_a_name_gets_the_certificate_for_the_address() {
    let set = CertificateSet::new(vec![
        valid("default", &["wharf.example"]),
        valid("four", &["192.0.2.7"]),
        valid("six", &["2001:db8::7"]),
    ]);
    for (address, expected) in [
        ("192.0.2.7", "four"),
        // A socket for both families maps addresses of the older one.
        ("::ffff:192.0.2.7", "four"),
        ("2001:db8::7", "six"),
        ("192.0.2.8", "default"),
    ] {
        assert_eq!(shown(&set, None, Some(address), &[EC]), expected, "{address}");
    }
    assert_eq!(shown(&set, Some("wharf.example"), Some("192.0.2.7"), &[EC]), "default");
}

#[test]
fn of_several_for_one_name_a_valid_one_that_the_client_can_check_and_that_ends_last_is_shown() {
    let name = &["cache.example"];
    let rsa = certificate("rsa", name, -1, 90, true);
    let of = |others: Vec<Certificate>| {
        let default = valid("default", &["wharf.example"]);
        CertificateSet::new([default].into_iter().chain(others).collect())
    };
    let (short, long) = (certificate("short", name, -1, 10, false), certificate("long", name, -1, 40, false));
    let expired = certificate("expired", name, -90, -1, false);
    let future = certificate("future", name, 1, 400, false);
    let seen = |others: &[&Certificate], offered: &[SignatureScheme]| {
        let set = of(others.iter().map(|it| (*it).clone()).collect());
        shown(&set, Some("cache.example"), None, offered).to_owned()
    };
    assert_eq!(seen(&[&short, &long], &[EC]), "long");
    assert_eq!(seen(&[&long, &short], &[EC]), "long");
    assert_eq!(seen(&[&rsa, &long], &[RSA, EC]), "long");
    assert_eq!(seen(&[&rsa, &long], &[RSA]), "rsa");
    assert_eq!(seen(&[&long, &rsa], &[EC]), "long");
    assert_eq!(seen(&[&expired, &rsa], &[EC, RSA]), "rsa");
    assert_eq!(seen(&[&future, &short], &[EC]), "short");
    // The right name tells more than another certificate, which fails too.
    assert_eq!(seen(&[&expired], &[EC]), "expired");
    assert_eq!(seen(&[&rsa], &[EC]), "default");
}

#[test]
fn a_wildcard_that_is_valid_stands_in_for_an_expired_name() {
    let set = CertificateSet::new(vec![
        certificate("expired", &["quay-io.cache.example"], -90, -1, false),
        valid("wildcard", &["*.cache.example"]),
    ]);
    assert_eq!(shown(&set, Some("quay-io.cache.example"), None, &[EC]), "wildcard");
}

#[test]
fn the_default_has_a_twin_for_clients_that_cannot_check_its_signature() {
    let twin = certificate("rsa", &["wharf.example"], -1, 90, true);
    let set = CertificateSet::new(vec![valid("default", &["wharf.example"]), twin]);
    for (offered, expected) in [(&[EC, RSA][..], "default"), (&[RSA], "rsa"), (&[], "default")] {
        assert_eq!(shown(&set, None, None, offered), expected);
    }
}

#[test]
fn an_empty_set_has_nothing_to_show() {
    let hello = Hello { name: None, address: None, offered: &[EC], now: NOW };
    assert!(CertificateSet::default().choose(hello).is_none());
    assert!(CertificateSet::default().is_empty());
}

#[test]
fn a_name_is_covered_only_by_a_valid_certificate() {
    let set = CertificateSet::new(vec![
        certificate("expired", &["quay-io.cache.example"], -90, -1, false),
        valid("valid", &["cache.example"]),
    ]);
    assert!(set.covers("cache.example", NOW) && !set.covers("quay-io.cache.example", NOW));
}
