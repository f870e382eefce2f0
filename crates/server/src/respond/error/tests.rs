use oci::{DigestError, QueryError, ReferenceError, RepositoryError};

use cache::Rights;

use super::*;
use crate::respond::tests::text_of;

/// Asserts the status, code, outcome and all of `words` in the answer to a refusal.
fn check(refusal: &Refusal, status: u16, code: &str, outcome: &str, words: &[&str]) -> ErrorAnswer {
    let answer = answer(refusal);
    assert_eq!(answer.status.as_u16(), status, "{refusal:?}");
    assert_eq!(answer.code.as_str(), code, "{refusal:?}");
    assert_eq!(answer.outcome.as_str(), outcome, "{refusal:?}");
    for word in words {
        assert!(answer.message.contains(word), "{word:?} is not in {:?}", answer.message);
    }
    answer
}

fn check_extra(refusal: &Refusal, status: u16, code: &str, outcome: &str, extra: Extra) {
    assert_eq!(check(refusal, status, code, outcome, &[]).extra, extra, "{refusal:?}");
}

fn failed(kind: PullKind, error: PullError) -> Refusal {
    failed_with(kind, error, false, None)
}

fn failed_with(kind: PullKind, error: PullError, has_login: bool, hint: Option<&str>) -> Refusal {
    let (registry, target) = ("quay.io".to_owned(), "team/app:1".to_owned());
    let hint = hint.map(str::to_owned);
    let rights = Rights::Shared;
    Refusal::Pull(Box::new(FailedPull { registry, target, kind, has_login, rights, hint, error }))
}

fn detail() -> String {
    "quay.io answered 418".to_owned()
}

#[test]
fn malformed_heads_end_the_connection() {
    check_extra(&HeadFault::Method.into(), 405, "UNSUPPORTED", "unsupported", Extra::Allow);
    check_extra(&HeadFault::Page.into(), 403, "DENIED", "browser", Extra::Closes);
    check_extra(&HeadFault::TargetTooLong.into(), 414, "UNSUPPORTED", "malformed", Extra::Closes);
    let malformed = [
        HeadFault::Body,
        HeadFault::HostMissing,
        HeadFault::HostRepeated,
        HeadFault::HostInvalid,
        HeadFault::TargetDisagrees,
    ];
    for fault in malformed {
        check_extra(&fault.into(), 400, "UNSUPPORTED", "malformed", Extra::Closes);
    }
}

#[test]
fn each_grammar_error_has_its_own_code() {
    let check = |error: RequestError, status: u16, code: &str| {
        check(
            &Refusal::Request { registry: "quay.io".to_owned(), path: "/v2/A\u{7}".to_owned(), error },
            status,
            code,
            "invalid",
            &["quay.io", "`/v2/A?`"],
        );
    };
    check(RequestError::NotFound, 404, "NAME_UNKNOWN");
    check(RequestError::NameInvalid(RepositoryError::Component), 400, "NAME_INVALID");
    check(RequestError::DigestInvalid(DigestError::Hex), 400, "DIGEST_INVALID");
    check(RequestError::TagInvalid(ReferenceError::Tag), 400, "TAG_INVALID");
    check(RequestError::PathInvalid, 400, "NAME_INVALID");
    check(RequestError::QueryInvalid(QueryError::Number("n")), 400, "PAGINATION_NUMBER_INVALID");
}

#[test]
fn not_found_has_the_code_of_its_kind() {
    let check = |kind, code| {
        let refusal = failed(kind, PullError::NotFound { detail: detail().into() });
        check(
            &refusal,
            404,
            code,
            "not_found",
            &["quay.io/team/app:1: quay.io answered 418", "check the name"],
        );
    };
    check(PullKind::Blob, "BLOB_UNKNOWN");
    check(PullKind::Manifest, "MANIFEST_UNKNOWN");
    check(PullKind::Referrers, "MANIFEST_UNKNOWN");
    check(PullKind::Tags, "NAME_UNKNOWN");
    check(PullKind::Catalog, "NAME_UNKNOWN");
}

#[test]
fn upstream_failures_name_the_upstream_and_say_what_to_do() {
    let check = |error, status, code, outcome, words: &[&str]| {
        let refusal = failed(PullKind::Manifest, error);
        check(&refusal, status, code, outcome, &["quay.io/team/app:1: ", "quay.io answered 418"]);
        check(&refusal, status, code, outcome, words);
    };
    let denied = PullError::Denied { detail: detail().into() };
    check(denied, 403, "DENIED", "denied", &["no login for quay.io", "check the name", "pull-only"]);
    let private = PullError::NotPublic { detail: detail().into() };
    let switch = ["`serve_private = true`", "[access]", "what quay.io gives to everyone", "pull-only"];
    check(private, 403, "DENIED", "denied", &switch);
    let unavailable = PullError::UpstreamUnavailable { timed_out: false, detail: detail().into() };
    check(unavailable, 502, "UNAVAILABLE", "unavailable", &["no cached copy", "try again"]);
    let timed_out = PullError::UpstreamUnavailable { timed_out: true, detail: detail().into() };
    check(timed_out, 504, "UNAVAILABLE", "timeout", &["try again"]);
    let mismatch = PullError::DigestMismatch { detail: detail().into(), has_other_address: false };
    check(mismatch, 502, "UNAVAILABLE", "digest_mismatch", &["nothing was stored"]);
}

#[test]
fn an_upstream_error_s_own_advice_replaces_the_general_one() {
    let detail = "quay.io does not speak TLS; write http".into();
    let refusal = failed(PullKind::Blob, PullError::UpstreamUnavailable { timed_out: false, detail });
    assert!(answer(&refusal).message.ends_with("; write http"), "{}", answer(&refusal).message);
}

#[test]
fn a_refusal_mentions_the_login_and_the_hint() {
    let denied = || PullError::Denied { detail: detail().into() };
    let with_login = answer(&failed_with(PullKind::Manifest, denied(), true, None)).message;
    assert!(with_login.contains("the account that wharf has for quay.io"), "{with_login}");
    assert!(!with_login.contains("no login"), "{with_login}");
    let not_found = PullError::NotFound { detail: detail().into() };
    for error in [denied(), not_found] {
        let hinted = answer(&failed_with(PullKind::Manifest, error, false, Some("perhaps that"))).message;
        assert!(hinted.contains("; perhaps that"), "{hinted}");
    }
}

/// For a pull of `localhost:5000/quay.io/foo/bar` if quay.io is not configured.
#[test]
fn newcomer_5_every_failure_of_the_default_registry_has_the_hint() {
    let hint = "no registry was named, so the default registry was used; if `quay.io` is a registry, add [[registry]] name = \
                'quay.io' to wharf's configuration";
    let errors = [
        PullError::NotFound { detail: detail().into() },
        PullError::Denied { detail: detail().into() },
        PullError::Unconfirmed { status: 404, detail: detail().into() },
        PullError::Throttled { retry_after: None, detail: detail().into() },
        PullError::UpstreamUnavailable { timed_out: false, detail: detail().into() },
        PullError::UpstreamUnavailable { timed_out: true, detail: detail().into() },
        PullError::Offline,
    ];
    for error in errors {
        let refusal = failed_with(PullKind::Manifest, error, false, Some(hint));
        let message = answer(&refusal).message;
        assert!(message.contains(hint), "{message}");
        let reason = refusal.reason(&message).unwrap();
        assert!(reason.contains(hint), "the operator reads it in the log: {reason}");
        assert_eq!(reason.matches("registry was named").count(), 1, "{reason}");
    }
    let ours =
        failed_with(PullKind::Blob, PullError::Store { detail: "open failed".into() }, false, Some(hint));
    assert!(!answer(&ours).message.contains(hint));
}

#[test]
fn newcomer_11_the_log_says_nothing_twice() {
    let reason = |error| {
        let refusal = failed(PullKind::Manifest, error);
        refusal.reason(&answer(&refusal).message)
    };
    assert_eq!(reason(PullError::Offline), None, "the outcome is `offline`, and the line names the image");
    let not_found = reason(PullError::NotFound { detail: detail().into() }).unwrap();
    assert_eq!(not_found, detail());
    for error in [PullError::Overloaded, PullError::RangeNotSatisfiable { size: 77 }] {
        let reason = reason(error).unwrap();
        assert!(!reason.contains("team/app"), "{reason}");
    }
    let page: Refusal = HeadFault::Page.into();
    assert_eq!(page.reason("the message"), Some("the message".to_owned()));
}

#[test]
fn client_f6_a_refusal_of_a_head_repeats_its_message_in_a_warning() {
    let refusal = failed(PullKind::Manifest, PullError::Denied { detail: "says \"no\\\u{e9}\"\n".into() });
    let ids = crate::request_id::RequestIds::new();
    let response = answer(&refusal).into_answer(ids.next()).into_response(&http::Method::HEAD, None);
    let warning = response.headers()[header::WARNING].to_str().unwrap();
    assert!(warning.starts_with("299 - \"quay.io/team/app:1: says no; wharf has no login"), "{warning}");
    assert!(
        warning.contains("this cache is pull-only (wharf cache, request ") && warning.ends_with("\""),
        "{warning}"
    );
    assert_eq!(warning.matches('"').count(), 2, "{warning}");
    let long = failed(PullKind::Manifest, PullError::Denied { detail: "x".repeat(10_000).into() });
    let response = answer(&long).into_answer(ids.next()).into_response(&http::Method::HEAD, None);
    assert_eq!(response.headers()[header::WARNING].len(), WARNING_BYTES_MAX + 8);
}

#[test]
fn failures_of_wharf_itself_say_so() {
    let offline = failed(PullKind::Blob, PullError::Offline);
    check(&offline, 502, "UNAVAILABLE", "offline", &["no cached copy", "`wharf offline`"]);
    let store = failed(PullKind::Blob, PullError::Store { detail: "open failed".into() });
    check(&store, 500, "UNKNOWN", "store", &["this cache's own storage failed (open failed)"]);
    let overloaded = failed(PullKind::Blob, PullError::Overloaded);
    check(&overloaded, 503, "UNAVAILABLE", "overloaded", &["quay.io", "try again in a second"]);
    check_extra(&overloaded, 503, "UNAVAILABLE", "overloaded", Extra::RetryAfter(1));
    check_extra(&Refusal::Overloaded, 503, "UNAVAILABLE", "overloaded", Extra::RetryAfter(1));
    // A token service's refusals come with 400 too.
    for (status, told, code) in
        [(400, 403, "DENIED"), (401, 403, "DENIED"), (451, 403, "DENIED"), (410, 404, "BLOB_UNKNOWN")]
    {
        let unconfirmed = failed(PullKind::Blob, PullError::Unconfirmed { status, detail: detail().into() });
        check(&unconfirmed, told, code, "unconfirmed", &["no sign of a registry"]);
    }
    let late = Refusal::Late { registry: "quay.io".to_owned() };
    check(&late, 504, "UNAVAILABLE", "timeout", &["quay.io", "try again"]);
}

#[test]
fn nobody_is_sent_away_for_long() {
    let check = |upstream: Option<u64>, told: u64| {
        let retry_after = upstream.map(Duration::from_secs);
        let refusal =
            failed(PullKind::Manifest, PullError::Throttled { retry_after, detail: detail().into() });
        check_extra(&refusal, 429, "TOOMANYREQUESTS", "throttled", Extra::RetryAfter(told));
    };
    check(None, 1);
    check(Some(0), 1);
    check(Some(3), 3);
    check(Some(5), 5);
    check(Some(21_600), 5);
}

#[test]
fn the_refusal_of_a_range_past_the_end_has_the_size() {
    let refusal = failed(PullKind::Blob, PullError::RangeNotSatisfiable { size: 77 });
    check_extra(&refusal, 416, "RANGE_INVALID", "range", Extra::Size(77));
}

#[test]
fn the_body_is_the_json_that_clients_decode() {
    let refusal = failed(PullKind::Blob, PullError::NotFound { detail: "said \"no\"\n".into() });
    let id = crate::request_id::RequestIds::new().next();
    let text = text_of(answer(&refusal).into_answer(id));
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let error = &document["errors"][0];
    assert_eq!(document["errors"].as_array().unwrap().len(), 1);
    assert_eq!(error["code"], "BLOB_UNKNOWN");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("quay.io/team/app:1: said \"no\"\n"), "{message}");
    assert!(message.ends_with(&format!("(wharf cache, request {id})")), "{message}");
}
