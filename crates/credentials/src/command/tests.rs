use super::*;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn lifetime(text: &str) -> Option<Duration> {
    read(text.as_bytes(), now()).unwrap().validity.expires_in
}

#[test]
fn an_output_gives_a_login_and_its_end() {
    let grant = read(br#"{"username":"u","password":"p"}"#, now()).unwrap();
    assert_eq!(grant, Grant::until_next_look(Some(Login::password("u", "p").unwrap()), RECHECK));
    assert_eq!(lifetime(r#"{"identity_token":"t","expires_in":3600}"#), Some(Duration::from_secs(3600)));
    let at = r#"{"registry_token":"t","expires_at":"2027-01-15T08:00:30Z"}"#;
    assert_eq!(lifetime(at), Some(Duration::from_secs(30)));
    let zone = r#"{"registry_token":"t","expires_at":"2027-01-15T09:00:30.5+01:00"}"#;
    assert_eq!(lifetime(zone), Some(Duration::from_millis(30_500)));
}

#[test]
fn s28_outputs_without_one_login_are_refused_and_not_quoted() {
    for text in [
        "canary-word",
        "[\"u\",\"canary-word\"]",
        "{}",
        r#"{"username":"u"}"#,
        r#"{"username":"u","password":""}"#,
        r#"{"username":"u","password":"canary-word","identity_token":"t"}"#,
        r#"{"username":"u","password":"canary-word","canary-word":1}"#,
        r#"{"username":"u","password":"canary-word","expires_at":"canary-word"}"#,
        r#"{"username":"u","password":"p","expires_at":"2027-01-15T08:00:30Z","expires_in":1}"#,
        r#"{"username":"u","password":"p","expires_in":-1}"#,
        r#"{"username":"u","password":"p","expires_in":0.001}"#,
        r#"{"username":"u","password":"p","expires_in":4.9}"#,
        r#"{"username":"u","password":"p","expires_at":"2020-01-15T08:00:30Z"}"#,
    ] {
        let failure = read(text.as_bytes(), now()).unwrap_err();
        assert!(!failure.to_string().contains("canary"), "{failure}");
    }
}
