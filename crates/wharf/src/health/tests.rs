use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use telemetry::error_chain;

use super::*;

/// Asserts the result of `ask` for these bytes of an answer.
#[track_caller]
fn check(answer: &'static [u8], expected: Result<(), &str>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/readyz", listener.local_addr().unwrap())).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(answer).unwrap();
        String::from_utf8(request).unwrap()
    });
    let found = ask(&url).map_err(|error| error.to_string());
    assert_eq!(found, expected.map_err(str::to_owned));
    let request = server.join().unwrap();
    let host = format!("\r\nHost: 127.0.0.1:{}\r\n", url.port().unwrap());
    assert!(request.starts_with("GET /readyz HTTP/1.1\r\n") && request.contains(&host), "{request}");
}

#[test]
fn only_200_is_healthy() {
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n", Ok(()));
    check(
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        Err("the answer was \"HTTP/1.1 503 Service Unavailable\""),
    );
    check(b"\x1b[31mSSH-2.0\r\n", Err("the answer was \"\\u{1b}[31mSSH-2.0\""));
    check(b"", Err("the answer was \"\""));
}

#[test]
fn a_closed_port_is_not_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/readyz", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let error = ask(&url).unwrap_err();
    assert!(matches!(error, HealthError::Io(_)));
    assert_eq!(error_chain(&error), "no answer: Connection refused (os error 111)");
}

#[test]
fn other_schemes_are_refused() {
    for url in ["ftp://127.0.0.1:5000/readyz", "file:///readyz"] {
        assert!(matches!(ask(&Url::parse(url).unwrap()), Err(HealthError::Url)), "{url}");
    }
}

#[test]
fn a_wildcard_address_is_asked_on_loopback() {
    for (listen, url) in [
        ("0.0.0.0:5000", "http://127.0.0.1:5000/readyz"),
        ("[::]:80", "http://[::1]/readyz"),
        ("10.0.0.5:5000", "http://10.0.0.5:5000/readyz"),
    ] {
        let text = format!("[server]\nlisten = {listen:?}\n");
        let config = Config::parse("wharf.toml", &text, &|_| None).unwrap();
        assert_eq!(url_of(&config).as_str(), url);
    }
}

#[test]
fn where_nothing_plain_is_public_the_admin_listener_is_asked_and_else_tls() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let identity = rcgen::generate_simple_self_signed(vec!["cache.example".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), identity.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), identity.signing_key.serialize_pem()).unwrap();
    for (admin, url) in
        [("127.0.0.1:5001", "http://127.0.0.1:5001/readyz"), ("off", "https://127.0.0.1:5443/readyz")]
    {
        let text = format!(
            "[server]\nlisten = \"off\"\n[server.tls]\ncert_file = {:?}\nkey_file = {:?}\n\
             [admin]\nlisten = {admin:?}\n",
            path("cert.pem"),
            path("key.pem")
        );
        let config = Config::parse("wharf.toml", &text, &|_| None).unwrap();
        assert_eq!(url_of(&config).as_str(), url);
    }
}
