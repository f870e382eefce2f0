use oci::{DigestError, QueryError, ReferenceError, RepositoryError};

use super::*;
use crate::respond::tests::text_of;

/// Every refusal answers with this status, code and outcome, and its message has all of `words`.
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

fn failed(asked: Asked, error: PullError) -> Refusal {
    failed_with(asked, error, false, None)
}

fn failed_with(asked: Asked, error: PullError, has_login: bool, hint: Option<&str>) -> Refusal {
    let (registry, target) = ("quay.io".to_owned(), "team/app:1".to_owned());
    let hint = hint.map(str::to_owned);
    Refusal::Pull(Box::new(Failed { registry, target, asked, has_login, hint, error }))
}

fn detail() -> String {
    "quay.io answered 418".to_owned()
}

#[test]
fn heads_out_of_order_end_the_connection() {
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
fn texts_outside_the_grammar_are_told_apart() {
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
fn what_the_upstream_does_not_have_is_not_found_by_its_kind() {
    let check = |asked, code| {
        let refusal = failed(asked, PullError::NotFound { detail: detail() });
        check(
            &refusal,
            404,
            code,
            "not_found",
            &["quay.io/team/app:1: quay.io answered 418", "check the name"],
        );
    };
    check(Asked::Blob, "BLOB_UNKNOWN");
    check(Asked::Manifest, "MANIFEST_UNKNOWN");
    check(Asked::Referrers, "MANIFEST_UNKNOWN");
    check(Asked::Tags, "NAME_UNKNOWN");
    check(Asked::Catalog, "NAME_UNKNOWN");
}

#[test]
fn upstream_failures_say_whose_they_are_and_what_to_do() {
    let check = |error, status, code, outcome, words: &[&str]| {
        let refusal = failed(Asked::Manifest, error);
        check(&refusal, status, code, outcome, &["quay.io/team/app:1: ", "quay.io answered 418"]);
        check(&refusal, status, code, outcome, words);
    };
    let denied = PullError::Denied { detail: detail() };
    check(denied, 403, "DENIED", "denied", &["no login for quay.io", "check the name", "pull-only"]);
    let unavailable = PullError::UpstreamUnavailable { timed_out: false, detail: detail() };
    check(unavailable, 502, "UNAVAILABLE", "unavailable", &["no cached copy", "try again"]);
    let timed_out = PullError::UpstreamUnavailable { timed_out: true, detail: detail() };
    check(timed_out, 504, "UNAVAILABLE", "timeout", &["try again"]);
    let mismatch = PullError::DigestMismatch { detail: detail() };
    check(mismatch, 502, "UNAVAILABLE", "digest_mismatch", &["nothing of it was kept"]);
}

#[test]
fn what_an_upstream_s_error_says_to_do_is_all_there_is_to_do() {
    let detail = "quay.io does not speak TLS; write http".to_owned();
    let refusal = failed(Asked::Blob, PullError::UpstreamUnavailable { timed_out: false, detail });
    assert!(answer(&refusal).message.ends_with("; write http"), "{}", answer(&refusal).message);
}

#[test]
fn a_refusal_speaks_of_the_login_that_there_is_and_of_what_was_perhaps_meant() {
    let denied = || PullError::Denied { detail: detail() };
    let with_login = answer(&failed_with(Asked::Manifest, denied(), true, None)).message;
    assert!(with_login.contains("the account that wharf has for quay.io"), "{with_login}");
    assert!(!with_login.contains("no login"), "{with_login}");
    let not_found = PullError::NotFound { detail: detail() };
    for error in [denied(), not_found] {
        let hinted = answer(&failed_with(Asked::Manifest, error, false, Some("perhaps that"))).message;
        assert!(hinted.contains("; perhaps that"), "{hinted}");
    }
}

/// `localhost:5000/quay.io/foo/bar`, where quay.io is not configured.
#[test]
fn newcomer_5_whatever_the_default_registry_says_the_line_for_the_one_that_was_perhaps_meant_is_there() {
    let hint = "no registry was named, so the default registry was used; if `quay.io` is a registry, add [[registry]] name = \
                'quay.io' to wharf's configuration";
    let errors = [
        PullError::NotFound { detail: detail() },
        PullError::Denied { detail: detail() },
        PullError::Unconfirmed { status: 404, detail: detail() },
        PullError::Throttled { retry_after: None, detail: detail() },
        PullError::UpstreamUnavailable { timed_out: false, detail: detail() },
        PullError::UpstreamUnavailable { timed_out: true, detail: detail() },
        PullError::Offline,
    ];
    for error in errors {
        let refusal = failed_with(Asked::Manifest, error, false, Some(hint));
        let message = answer(&refusal).message;
        assert!(message.contains(hint), "{message}");
        let reason = refusal.reason(&message).unwrap();
        assert!(reason.contains(hint), "the operator reads it in the log: {reason}");
        assert_eq!(reason.matches("registry was named").count(), 1, "{reason}");
    }
    let ours =
        failed_with(Asked::Blob, PullError::Store { detail: "open failed".to_owned() }, false, Some(hint));
    assert!(!answer(&ours).message.contains(hint));
}

#[test]
fn newcomer_11_the_log_says_nothing_twice() {
    let reason = |error| {
        let refusal = failed(Asked::Manifest, error);
        refusal.reason(&answer(&refusal).message)
    };
    assert_eq!(reason(PullError::Offline), None, "the outcome is `offline`, and the line names the image");
    let not_found = reason(PullError::NotFound { detail: detail() }).unwrap();
    assert_eq!(not_found, detail());
    for error in [PullError::Overloaded, PullError::RangeNotSatisfiable { size: 77 }] {
        let reason = reason(error).unwrap();
        assert!(!reason.contains("team/app"), "{reason}");
    }
    let page: Refusal = HeadFault::Page.into();
    assert_eq!(page.reason("the message"), Some("the message".to_owned()));
}

#[test]
fn client_f6_a_refusal_without_a_body_says_in_a_header_what_it_says() {
    let refusal = failed(Asked::Manifest, PullError::Denied { detail: "says \"no\\\u{e9}\"\n".to_owned() });
    let ids = crate::request_id::RequestIds::new();
    let response = answer(&refusal).into_answer(ids.next()).into_response(&http::Method::HEAD, None);
    let warning = response.headers()[header::WARNING].to_str().unwrap();
    assert!(warning.starts_with("299 - \"quay.io/team/app:1: says no; wharf has no login"), "{warning}");
    assert!(
        warning.contains("this cache is pull-only (wharf cache, request ") && warning.ends_with("\""),
        "{warning}"
    );
    assert_eq!(warning.matches('"').count(), 2, "{warning}");
    let long = failed(Asked::Manifest, PullError::Denied { detail: "x".repeat(10_000) });
    let response = answer(&long).into_answer(ids.next()).into_response(&http::Method::HEAD, None);
    assert_eq!(response.headers()[header::WARNING].len(), WARNING_BYTES_MAX + 8);
}

#[test]
fn our_own_failures_say_that_they_are_ours() {
    let offline = failed(Asked::Blob, PullError::Offline);
    check(&offline, 502, "UNAVAILABLE", "offline", &["no cached copy", "`offline`"]);
    let store = failed(Asked::Blob, PullError::Store { detail: "open failed".to_owned() });
    check(&store, 500, "UNKNOWN", "store", &["this cache's own storage failed (open failed)"]);
    let overloaded = failed(Asked::Blob, PullError::Overloaded);
    check(&overloaded, 503, "UNAVAILABLE", "overloaded", &["quay.io", "try again in a second"]);
    check_extra(&overloaded, 503, "UNAVAILABLE", "overloaded", Extra::RetryAfter(1));
    check_extra(&Refusal::Overloaded, 503, "UNAVAILABLE", "overloaded", Extra::RetryAfter(1));
    // A token service's refusals come with 400 too.
    for (status, told, code) in
        [(400, 403, "DENIED"), (401, 403, "DENIED"), (451, 403, "DENIED"), (410, 404, "BLOB_UNKNOWN")]
    {
        let unconfirmed = failed(Asked::Blob, PullError::Unconfirmed { status, detail: detail() });
        check(&unconfirmed, told, code, "unconfirmed", &["no sign of a registry"]);
    }
    let late = Refusal::Late { registry: "quay.io".to_owned() };
    check(&late, 504, "UNAVAILABLE", "timeout", &["quay.io", "try again"]);
}

#[test]
fn nobody_is_sent_away_for_long() {
    let check = |upstream: Option<u64>, told: u64| {
        let retry_after = upstream.map(Duration::from_secs);
        let refusal = failed(Asked::Manifest, PullError::Throttled { retry_after, detail: detail() });
        check_extra(&refusal, 429, "TOOMANYREQUESTS", "throttled", Extra::RetryAfter(told));
    };
    check(None, 1);
    check(Some(0), 1);
    check(Some(3), 3);
    check(Some(5), 5);
    check(Some(21_600), 5);
}

#[test]
fn a_range_past_the_end_is_told_the_size() {
    let refusal = failed(Asked::Blob, PullError::RangeNotSatisfiable { size: 77 });
    check_extra(&refusal, 416, "RANGE_INVALID", "range", Extra::Size(77));
}

#[test]
fn the_body_is_what_clients_decode() {
    let refusal = failed(Asked::Blob, PullError::NotFound { detail: "said \"no\"\n".to_owned() });
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
