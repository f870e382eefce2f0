use super::*;

const NOW: u64 = 1_800_000_000;

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn authority(names: &[&str]) -> Authority {
    Authority::open(&Authority::make("test", &texts(names), NOW).unwrap(), NOW).unwrap()
}

fn parsed(pair: &PemPair) -> Certificate {
    Certificate::from_pem("", pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap()
}

#[test]
fn an_authority_signs_for_its_names_and_for_private_addresses() {
    let names =
        texts(&["cache.example", "docker.io.cache.example", "localhost", "192.168.1.7", "::1", "192.0.2.7"]);
    let authority = authority(&["cache.example", "192.0.2.7"]);
    let certificate = parsed(&authority.sign(&names, NOW).unwrap());
    for name in &names {
        assert!(certificate.covers(name), "{name}");
    }
    assert!(authority.is_fresh(&certificate, &names, NOW));
    assert!(!authority.is_fresh(&certificate, &texts(&["quay.io.cache.example"]), NOW), "a new name");
    let validity = certificate.validity().unwrap();
    assert_eq!(validity.ends - NOW, CERTIFICATE_SECONDS);
}

#[test]
fn an_authority_signs_for_no_other_name() {
    let authority = authority(&["cache.example"]);
    let asked =
        texts(&["cache.example", "example", "evilcache.example", "docker.io", "8.8.8.8", "2001:db8::1"]);
    let Err(AuthorityError::Outside(outside)) = authority.sign(&asked, NOW) else { panic!("it signed") };
    assert_eq!(outside, asked[1..]);
}

#[test]
fn a_certificate_is_renewed_when_a_third_of_its_time_is_left() {
    let (authority, names) = (authority(&["cache.example"]), texts(&["cache.example"]));
    let certificate = parsed(&authority.sign(&names, NOW).unwrap());
    let third = CERTIFICATE_SECONDS / 3;
    assert!(authority.is_fresh(&certificate, &names, NOW + 2 * third - DAY));
    assert!(!authority.is_fresh(&certificate, &names, NOW + 2 * third + DAY));
}

#[test]
fn a_certificate_of_another_authority_is_renewed() {
    let (one, other) = (authority(&["cache.example"]), authority(&["cache.example"]));
    let names = texts(&["cache.example"]);
    let certificate = parsed(&one.sign(&names, NOW).unwrap());
    assert!(one.is_fresh(&certificate, &names, NOW) && !other.is_fresh(&certificate, &names, NOW));
}

#[test]
fn a_certificate_never_outlives_its_authority_and_an_expired_authority_is_refused() {
    let pair = Authority::make("test", &texts(&["cache.example"]), NOW).unwrap();
    let late = NOW + AUTHORITY_SECONDS - 10 * DAY;
    let authority = Authority::open(&pair, late).unwrap();
    let certificate = parsed(&authority.sign(&texts(&["cache.example"]), late).unwrap());
    assert_eq!(certificate.validity().unwrap().ends, authority.ends());
    let expired = Authority::open(&pair, NOW + AUTHORITY_SECONDS + 1);
    assert!(matches!(expired, Err(AuthorityError::Expired)), "{expired:?}");
}

#[test]
fn a_certificate_that_is_no_authority_is_not_opened_as_one() {
    let authority = authority(&["cache.example"]);
    let pair = authority.sign(&texts(&["cache.example"]), NOW).unwrap();
    let opened = Authority::open(&pair, NOW);
    assert!(matches!(opened, Err(AuthorityError::NoAuthority)), "{opened:?}");
}
