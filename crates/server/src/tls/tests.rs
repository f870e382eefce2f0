use super::*;

#[test]
fn a_server_name_admits_a_host_of_any_case_port_and_final_dot() {
    let session = TlsSession::new(Some("docker-io.Cache.example"));
    for host in ["docker-io.cache.example", "DOCKER-IO.cache.example:443", "docker-io.cache.example.:5443"] {
        assert!(session.admits(host), "{host}");
    }
    for host in ["ghcr-io.cache.example", "cache.example", "docker-io.cache.example:", "", "[::1]:443"] {
        assert_eq!(session.admits(host), host == "docker-io.cache.example:", "{host}");
    }
    assert!(TlsSession::new(None).admits("anything.example"), "the client sent no name");
}
