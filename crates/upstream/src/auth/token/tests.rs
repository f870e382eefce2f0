use std::time::Duration;

use super::{LIFETIME_DEFAULT, LIFETIME_MAX, parse};

fn lifetime(expires_in: &str) -> Duration {
    parse(format!(r#"{{"token":"t","expires_in":{expires_in}}}"#).as_bytes()).unwrap().lifetime
}

#[test]
fn f11_senseless_lifetimes_cost_no_pull() {
    for senseless in ["0", "1e-300", "-1", "-1e300", "null", "\"soon\"", "true", "[]", "\"NaN\"", "\"inf\""] {
        assert_eq!(lifetime(senseless), LIFETIME_DEFAULT, "{senseless}");
    }
    for absurd in ["1000000000000", "1e300", "3601", "\"9999999999\""] {
        assert_eq!(lifetime(absurd), LIFETIME_MAX, "{absurd}");
    }
    assert_eq!(lifetime("300"), Duration::from_secs(300));
    assert_eq!(lifetime("\"300\""), Duration::from_secs(300));
    assert_eq!(lifetime("0.5"), Duration::from_millis(500));
    assert_eq!(parse(br#"{"token":"t"}"#).unwrap().lifetime, LIFETIME_DEFAULT);
}

#[test]
fn a_token_has_two_names() {
    let header = |json: &str| parse(json.as_bytes()).map(|token| token.header.to_str().unwrap().to_owned());
    assert_eq!(header(r#"{"token":"a","access_token":"b"}"#).as_deref(), Some("Bearer a"));
    assert_eq!(header(r#"{"access_token":"b"}"#).as_deref(), Some("Bearer b"));
    assert_eq!(header(r#"{"token":"","access_token":"b"}"#).as_deref(), Some("Bearer b"));
    assert_eq!(header(r#"{"token":null,"access_token":"b"}"#).as_deref(), Some("Bearer b"));
}

#[test]
fn f11_an_answer_without_a_usable_token_is_none() {
    for json in ["", "{}", "[]", r#"{"token":""}"#, r#"{"token":"a\nb"}"#, r#"{"token":5}"#, "<html>"] {
        assert!(parse(json.as_bytes()).is_none(), "{json}");
    }
}

#[test]
fn s28_a_token_does_not_show_in_debug_output() {
    let token = parse(br#"{"token":"canary"}"#).unwrap();
    assert!(!format!("{token:?}").contains("canary"), "{token:?}");
}
