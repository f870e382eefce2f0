use super::*;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, date_time_ymd};

fn made(names: &[&str], key: &KeyPair) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2025, 1, 1);
    params.self_signed(key).unwrap().pem()
}

#[test]
fn a_chain_and_its_key_are_read_and_anything_else_is_refused() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (chain, key_pem) = (made(&["one.example"], &key), key.serialize_pem());
    let parse = |chain: &str, key: &str| Certificate::from_pem("one.pem", chain.as_bytes(), key.as_bytes());
    assert!(parse(&chain, &key_pem).is_ok());
    assert_eq!(parse("", &key_pem).unwrap_err(), CertificateError::Chain);
    assert_eq!(parse(&key_pem, &key_pem).unwrap_err(), CertificateError::Chain);
    assert_eq!(parse(&chain, &chain).unwrap_err(), CertificateError::Key);
    let mixed = parse(&chain, &other.serialize_pem());
    assert!(matches!(mixed, Err(CertificateError::Pair(_))), "{mixed:?}");
    let upside_down = format!("{}{chain}", made(&["authority.example"], &other));
    assert_eq!(parse(&upside_down, &key_pem).unwrap_err(), CertificateError::Order(2));
}

#[test]
fn names_addresses_and_validity_are_known() {
    let key = KeyPair::generate().unwrap();
    let names = ["One.Example", "*.one.example", "192.0.2.7", "2001:db8::7"];
    let chain = made(&names, &key);
    let certificate = Certificate::from_pem("", chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(certificate.dns_names(), ["one.example", "*.one.example"]);
    let addresses: Vec<String> = certificate.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.7", "2001:db8::7"]);
    let validity = certificate.validity().unwrap();
    assert_eq!((validity.begins, validity.ends), (1_704_067_200, 1_735_689_600));
    for (now, holds) in [(0, false), (1_704_067_199, false), (1_704_067_200, true), (1_735_689_601, false)] {
        assert_eq!(validity.holds(now), holds, "{now}");
    }
    for (host, covered) in [
        ("one.example", true),
        ("docker-io.one.example", true),
        ("docker.io.one.example", false),
        ("two.example", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("2001:db8::7", true),
        ("no host", false),
    ] {
        assert_eq!(certificate.covers(host), covered, "{host}");
    }
}

#[test]
fn a_key_signs_for_clients_that_can_check_its_kind() {
    let signs = |key: &KeyPair, scheme| {
        let chain = made(&["one.example"], key);
        let certificate = Certificate::from_pem("", chain.as_bytes(), key.serialize_pem().as_bytes());
        certificate.unwrap().signs_for(&[scheme])
    };
    let ecdsa = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    assert!(signs(&ecdsa, SignatureScheme::ECDSA_NISTP256_SHA256));
    assert!(!signs(&ecdsa, SignatureScheme::ECDSA_NISTP384_SHA384));
    assert!(!signs(&ecdsa, SignatureScheme::RSA_PSS_SHA256));
    let edwards = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    assert!(signs(&edwards, SignatureScheme::ED25519));
}

#[test]
fn debug_output_holds_no_key() {
    let key = KeyPair::generate().unwrap();
    let chain = made(&["one.example"], &key);
    let certificate = Certificate::from_pem("f", chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let expected =
        "Certificate { source: \"f\", names: Names { dns: [\"one.example\"], addresses: [] }, .. }";
    assert_eq!(format!("{certificate:?}"), expected);
}
