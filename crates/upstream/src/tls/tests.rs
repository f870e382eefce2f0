use testkit::Authority;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::{Authorities, trusted, verified};

#[test]
fn without_a_system_the_bundled_authorities_are_there() {
    let bundled = Authorities::with_system(Vec::new()).and(&[]).unwrap();
    assert_eq!(bundled.len(), TLS_SERVER_ROOT_CERTS.len());
    assert!(bundled.len() > 100);
}

#[test]
fn the_systems_and_the_operators_authorities_come_on_top() {
    let own = Authority::new().pem();
    let two = format!("{own}{}", Authority::new().pem()).into_bytes();
    let system = vec![TLS_SERVER_ROOT_CERTS[0].clone(), b"damaged".to_vec().into()];
    let shared = Authorities::with_system(system);
    let all = shared.and(&[own.into_bytes(), two]).unwrap();
    assert_eq!(all.len(), TLS_SERVER_ROOT_CERTS.len() + 1 + 3);
    assert_eq!(shared.and(&[]).unwrap().len(), TLS_SERVER_ROOT_CERTS.len() + 1, "nobody else believes them");
}

#[test]
fn only_http1_is_offered() {
    let roots = Authorities::with_system(Vec::new()).and(&[]).unwrap();
    for config in
        [verified(&roots), trusted(&roots, None, true).unwrap(), trusted(&roots, None, false).unwrap()]
    {
        assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    }
}
