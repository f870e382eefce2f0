use super::*;

fn answer(line: &str, body: &str) -> Answer {
    Answer { line: line.to_owned(), body: body.to_owned() }
}

#[test]
fn an_answer_has_a_status_and_perhaps_the_message_of_its_error() {
    let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no registry was named"}]}"#;
    for (answer, expected) in [
        (answer("HTTP/1.1 200 OK", "{}"), Some((200, None))),
        (answer("HTTP/1.0 404 Not Found", body), Some((404, Some("no registry was named")))),
        (answer("HTTP/1.1 502 Bad Gateway", "<html>"), Some((502, None))),
        (answer("SSH-2.0-OpenSSH_9.2", ""), None),
        (answer("", ""), None),
    ] {
        let told = told(&answer);
        let told = told.as_ref().map(|told| (told.status, told.message.as_deref()));
        assert_eq!(told, expected, "{answer:?}");
    }
}

#[test]
fn the_port_of_the_scheme_stands_in_for_none() {
    let mirror = Mirror { base: String::new(), is_tls: true, authority: None, registries: Vec::new() };
    let trust = trust(&mirror).unwrap();
    for (authority, is_tls, host, port) in [
        ("127.0.0.1", true, "127.0.0.1", 443),
        ("127.0.0.1", false, "127.0.0.1", 80),
        ("127.0.0.1:5000", true, "127.0.0.1", 5000),
        ("[::1]", false, "::1", 80),
        ("[::1]:5000", false, "::1", 5000),
    ] {
        let endpoint = Endpoint::find(authority, is_tls, &trust).unwrap();
        assert_eq!((endpoint.host, endpoint.port), (host, port), "{authority}");
        assert_eq!(endpoint.place, authority);
    }
    // No resolver sends a request for a label of more than 63 characters.
    let long = "a".repeat(64);
    let error = Endpoint::find(&long, false, &trust).err().unwrap();
    assert!(matches!(error, Fault::Name(_)), "{error:?}");
}
