use super::ErrorBody;

#[test]
fn k12_a_registrys_error_is_known_by_its_codes() {
    for text in [
        r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"1"}}]}"#,
        r#"{"errors":[{"code":"UNAUTHORIZED"},{"code":"DENIED"}]}"#,
        "\n{ \"errors\": [ { \"code\": \"NOT_FOUND\", \"detail\": null } ], \"more\": 1 }\n",
    ] {
        assert_eq!(ErrorBody::read(text.as_bytes()), Some(ErrorBody::AboutResource), "{text}");
    }
    for text in [
        r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#,
        r#"{"errors":[{"code":"DENIED"},{"code":"UNAVAILABLE"}]}"#,
        r#"{"errors":[{"code":"UNKNOWN","message":"unknown error"}]}"#,
        r#"{"errors":[{"code":"INTERNAL_ERROR"}]}"#,
    ] {
        assert_eq!(ErrorBody::read(text.as_bytes()), Some(ErrorBody::Temporary), "{text}");
    }
}

#[test]
fn k12_what_other_services_write_is_no_registrys_error() {
    for text in [
        "",
        "404 page not found\n",
        "default backend - 404",
        "<html><body>Not Found</body></html>",
        "{}",
        "[]",
        "null",
        r#"{"errors":[]}"#,
        r#"{"errors":null}"#,
        r#"{"errors":["not found"]}"#,
        r#"{"errors":{"code":"NOT_FOUND"}}"#,
        r#"{"errors":[{"code":404,"message":"Not Found"}]}"#,
        r#"{"errors":[{"status":"404","title":"Not Found"}]}"#,
        r#"{"errors":[{"code":"not_found"}]}"#,
        r#"{"errors":[{"code":"E404"}]}"#,
        r#"{"errors":[{"code":""}]}"#,
        r#"{"errors":[{"code":"NOT_FOUND"},{"message":"?"}]}"#,
        r#"{"error":"not found","status":404}"#,
        r#"{"message":"no Route matched with those values"}"#,
        r#"{"code":"MANIFEST_UNKNOWN"}"#,
        r#"{"errors":[{"code":"NOT_FOUND"}]"#,
    ] {
        assert_eq!(ErrorBody::read(text.as_bytes()), None, "{text}");
    }
}
