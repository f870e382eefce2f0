use super::*;

#[test]
fn a_name_is_a_host_whatever_its_case_port_and_last_dot() {
    let name = TlsName::new("docker-io.Cache.example");
    for host in ["docker-io.cache.example", "DOCKER-IO.cache.example:443", "docker-io.cache.example.:5443"] {
        assert!(name.is_host(host), "{host}");
    }
    for host in ["ghcr-io.cache.example", "cache.example", "docker-io.cache.example:", "", "[::1]:443"] {
        assert_eq!(name.is_host(host), host == "docker-io.cache.example:", "{host}");
    }
}

#[test]
fn what_is_no_certificate_or_no_key_is_told_apart() {
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
fn a_certificate_says_when_it_ends() {
    let identity = testkit::Authority::new().server_identity(testkit::Certificate::Valid);
    let identity =
        TlsIdentity::from_pem(identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let ends = identity.ends().unwrap();
    assert!(ends > now.as_secs() && ends < END_OF_YEAR_9999, "{ends}");
}
