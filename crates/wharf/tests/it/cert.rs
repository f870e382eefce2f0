//! `wharf cert`, and a server with its certificate.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use testkit::FakeRegistry;
use testkit::client::Connection;

use crate::program::{Program, configuration, registry, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_trusts_the_authority_reaches_each_virtual_host() {
    let hub = FakeRegistry::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let tls =
        "[server.tls]\nlisten = \"127.0.0.1:0\"\ncert_file = \"tls/cert.pem\"\nkey_file = \"tls/key.pem\"\n";
    let text = configuration(&format!("{tls}{}", registry("docker.io", &hub)));
    let text = text.replacen("[server]\n", "[server]\ndomain = \"cache.example\"\n", 1);
    fs::write(directory.path().join("wharf.toml"), &text).unwrap();
    // The files that the configuration names do not exist yet.
    let (code, told, complaint) = run(directory.path(), &["cert", "--dir", "tls"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{told}");
    assert!(told.contains("wharf.toml names this certificate") && !told.contains("[server.tls]"), "{told}");
    let again = run(directory.path(), &["cert", "--dir", "tls"]);
    assert!(again.0 == Some(0) && again.1.contains("nothing changed"), "{again:?}");
    let wrong = run(directory.path(), &["cert", "--name", "https://cache.example"]);
    assert_eq!(wrong.0, Some(2), "{wrong:?}");

    let authority = fs::read_to_string(directory.path().join("tls/ca.pem")).unwrap();
    let program = Program::start_in(directory, &text, &[]);
    let line = program.wait_for_line("listening on https://");
    let address: SocketAddr = line.split_once("https://").unwrap().1.parse().unwrap();
    for host in
        ["cache.example", "docker.io.cache.example", "docker-io.cache.example", "localhost", "127.0.0.1"]
    {
        let mut connection = Connection::open_tls(address, host, &authority).await.unwrap();
        connection.request("GET", host, "/v2/", &[]).await.unwrap();
        assert_eq!(connection.read_response("GET").await.unwrap().status, 200, "{host}");
    }
    assert!(Connection::open_tls(address, "quay-io.cache.example", &authority).await.is_err());
}
