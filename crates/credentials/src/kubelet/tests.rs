use super::*;

fn target() -> Target {
    Target::new("1234.dkr.ecr.eu-west-1.amazonaws.com", "team")
}

fn response(rest: &str) -> Vec<u8> {
    format!(r#"{{"kind":"CredentialProviderResponse","apiVersion":"{API_VERSION}"{rest}}}"#).into_bytes()
}

#[test]
fn a_response_gives_the_login_of_the_key_that_fits_best() {
    let text = response(
        r#","cacheKeyType":"Registry","cacheDuration":"6h0m0s","auth":{
            "*.dkr.ecr.*.amazonaws.com":{"username":"AWS","password":"all"},
            "1234.dkr.ecr.eu-west-1.amazonaws.com/team":{"username":"AWS","password":"team"},
            "1234.dkr.ecr.eu-west-1.amazonaws.com/other":{"username":"AWS","password":"other"}}"#,
    );
    let grant = read(&text, &target()).unwrap();
    assert_eq!(grant.login, Some(Login::password("AWS", "team").unwrap()));
    assert_eq!(grant.validity.recheck_after, Duration::from_secs(6 * 3600));
    let none = read(&response(r#","cacheKeyType":"Image","cacheDuration":"0s","auth":{}"#), &target());
    assert_eq!(none.unwrap().login, None);
}

#[test]
fn s28_other_documents_are_refused_and_not_quoted() {
    for text in [
        &b"canary-word"[..],
        br#"{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1alpha1"}"#,
        &response(
            r#","cacheDuration":"canary-word",
            "auth":{"*.dkr.ecr.*.amazonaws.com":{"username":"a","password":"canary-word"}}"#,
        ),
        &response(r#","auth":{"*.dkr.ecr.*.amazonaws.com":{"username":"canary:word","password":"b"}}"#),
    ] {
        let failure = read(text, &target()).unwrap_err();
        assert!(!failure.to_string().contains("canary"), "{failure}");
    }
}

#[test]
fn durations_are_read_as_go_writes_them() {
    let table = [
        ("6h0m0s", Some(6.0 * 3600.0)),
        ("1.5h", Some(5400.0)),
        ("300ms", Some(0.3)),
        ("0", Some(0.0)),
        ("0s", Some(0.0)),
        ("1h30m", Some(5400.0)),
        ("", None),
        ("6", None),
        ("h", None),
        ("-1s", None),
        ("1d", None),
        ("99999999999999999999h", None),
    ];
    for (text, seconds) in table {
        assert_eq!(parse_duration(text).map(|length| length.as_secs_f64()), seconds, "{text}");
    }
}
