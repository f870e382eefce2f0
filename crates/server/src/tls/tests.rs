use super::*;

#[test]
fn a_server_name_matches_a_host_of_any_case_port_and_final_dot() {
    let name = TlsName::new("docker-io.Cache.example");
    for host in ["docker-io.cache.example", "DOCKER-IO.cache.example:443", "docker-io.cache.example.:5443"] {
        assert!(name.is_host(host), "{host}");
    }
    for host in ["ghcr-io.cache.example", "cache.example", "docker-io.cache.example:", "", "[::1]:443"] {
        assert_eq!(name.is_host(host), host == "docker-io.cache.example:", "{host}");
    }
}

#[test]
fn a_faulty_certificate_and_a_faulty_key_are_distinguished() {
    let authority = testkit::Authority::new();
    let identity = authority.client_identity();
    let (chain, key) = (identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes());
    assert!(TlsIdentity::from_pem(chain, key).is_ok());
    assert_eq!(TlsIdentity::from_pem(b"", key).unwrap_err(), TlsIdentityError::Chain);
    assert_eq!(TlsIdentity::from_pem(key, key).unwrap_err(), TlsIdentityError::Chain);
    assert_eq!(TlsIdentity::from_pem(chain, chain).unwrap_err(), TlsIdentityError::Key);
    let other = testkit::Authority::new().client_identity();
    let mixed = TlsIdentity::from_pem(chain, other.key_pem.as_bytes());
    assert!(matches!(mixed, Err(TlsIdentityError::Pair(_))), "{mixed:?}");
}

#[test]
fn the_expiry_of_a_certificate_is_read() {
    let identity = testkit::Authority::new().server_identity(testkit::Certificate::Valid);
    let identity =
        TlsIdentity::from_pem(identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let ends = identity.ends().unwrap();
    assert!(ends > now.as_secs() && ends < END_OF_YEAR_9999, "{ends}");
}
