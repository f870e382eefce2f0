use std::io;
use std::path::Path;

use super::*;

/// The messages of the errors behind this one.
fn causes(error: &PullError) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

fn unreachable() -> upstream::Error {
    upstream::Error::new(ErrorKind::Unreachable, "registry.example", "broke the connection off")
        .with_source(io::Error::other("record overflow"))
}

#[test]
fn a_store_error_hides_its_path_from_the_client_and_shows_it_in_the_chain() {
    let metrics = telemetry::Metrics::new(&["test".to_owned()]).registry("test");
    let store_error = storage::fs::open(Path::new("/dev/null"), metrics).unwrap_err();
    let error = PullError::from(&store_error);
    assert_eq!(error.to_string(), "store: open failed");
    assert_eq!(causes(&error)[0], store_error.to_string());
    assert!(store_error.to_string().starts_with("open /dev/null: "), "{store_error}");
}

#[test]
fn an_upstream_error_is_the_message_and_only_its_causes_are_in_the_chain() {
    let error = PullError::from(unreachable());
    assert_eq!(error.to_string(), "upstream unavailable: registry.example broke the connection off");
    assert_eq!(causes(&error), ["record overflow"]);
}

#[test]
fn a_detail_within_another_keeps_its_causes() {
    let PullError::UpstreamUnavailable { detail, .. } = PullError::from(unreachable()) else {
        panic!("another kind");
    };
    let within = PullError::unavailable(detail.within(format!("3.20 names a digest, but {detail}")));
    assert_eq!(causes(&within), ["record overflow"]);
    let text = format!("not stored here, and {within}");
    let quoting = PullError::NotFound { detail: Detail::quoting(text, within) };
    assert_eq!(causes(&quoting), ["record overflow"]);
    assert_eq!(
        quoting.to_string(),
        "not found: not stored here, and upstream unavailable: 3.20 names a digest, but registry.example \
         broke the connection off"
    );
}

#[test]
fn errors_with_the_same_message_are_equal_whatever_caused_them() {
    let plain = PullError::unavailable("registry.example broke the connection off");
    assert_eq!(PullError::from(unreachable()), plain);
    assert!(causes(&plain).is_empty());
    assert_ne!(plain, PullError::timed_out("registry.example broke the connection off"));
}

#[test]
fn upstream_errors_become_pull_errors() {
    for (kind, is_outage, is_definite_no) in [
        (ErrorKind::NotFound, false, true),
        (ErrorKind::Denied, false, true),
        (ErrorKind::Unconfirmed, true, false),
        (ErrorKind::Throttled, true, false),
        (ErrorKind::Unreachable, true, false),
        (ErrorKind::TimedOut, true, false),
        (ErrorKind::Resting, true, false),
        (ErrorKind::Invalid, true, false),
        (ErrorKind::Interrupted, true, false),
        (ErrorKind::Overloaded, true, false),
    ] {
        let error = PullError::from(upstream::Error::new(kind, "registry.example", "failed"));
        assert_eq!((error.is_outage(), error.is_definite_no()), (is_outage, is_definite_no), "{kind:?}");
    }
}
