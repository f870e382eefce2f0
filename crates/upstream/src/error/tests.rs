use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::{CAUSE_BYTES_MAX, Error, ErrorKind, causes};

#[derive(Debug)]
struct Link(&'static str, Option<Box<Link>>);

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Link {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.1.as_deref().map(|link| link as _)
    }
}

fn chain(texts: &[&'static str]) -> Link {
    let mut texts = texts.iter().rev();
    let last = Link(texts.next().unwrap(), None);
    texts.fold(last, |cause, text| Link(text, Some(Box::new(cause))))
}

#[test]
fn it_prints_as_one_line_that_names_the_host() {
    let error = Error::new(ErrorKind::Unreachable, "registry-1.docker.io", "answered 503")
        .with_status(503)
        .with_retry_after(Duration::from_secs(7));
    assert_eq!(error.to_string(), "registry-1.docker.io answered 503");
    assert_eq!(error.status(), Some(503));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert!(error.retryable() && !error.is_range_refused());
    assert!(!error.clone().without_retry().retryable());
    assert!(error.retryable(), "a changed clone must not change the original");
}

#[test]
fn only_outages_and_cuts_are_retryable() {
    let kinds = [ErrorKind::NotFound, ErrorKind::Denied, ErrorKind::Throttled, ErrorKind::TimedOut];
    for kind in kinds.into_iter().chain([ErrorKind::Resting, ErrorKind::Invalid]) {
        assert!(!Error::new(kind, "h", "d").retryable(), "{kind:?}");
    }
    for kind in [ErrorKind::Unreachable, ErrorKind::Interrupted] {
        assert!(Error::new(kind, "h", "d").retryable(), "{kind:?}");
    }
}

#[test]
fn causes_stand_on_one_bounded_line() {
    let error =
        chain(&["outermost", "client error (Connect)", "tcp connect error", "tcp connect error", "a\r\nb"]);
    assert_eq!(causes(&error), "client error (Connect): tcp connect error: a  b");
    assert_eq!(causes(&chain(&["alone"])), "");
    let long: &'static str = "\u{e9}".repeat(CAUSE_BYTES_MAX).leak();
    assert_eq!(causes(&chain(&["outermost", long])).len(), CAUSE_BYTES_MAX);
    let odd: &'static str = format!("a{long}").leak();
    assert_eq!(causes(&chain(&["outermost", odd])).len(), CAUSE_BYTES_MAX - 1);
}

#[test]
fn the_cause_stays_in_the_chain_and_out_of_the_message() {
    let error = Error::new(ErrorKind::Unreachable, "registry.example", "could not be reached");
    let error = error.with_source(chain(&["connect", "refused"]));
    assert_eq!(error.to_string(), "registry.example could not be reached");
    assert_eq!(causes(&error.clone().with_status(502)), "connect: refused");
}
