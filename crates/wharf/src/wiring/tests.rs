use std::error::Error;
use std::io;

use telemetry::error_chain;

use super::*;

#[test]
fn a_failed_start_keeps_its_cause_and_prints_it_once() {
    let config = Config::parse("wharf.toml", "", &|_| None).unwrap();
    let source = BindError {
        address: std::net::SocketAddr::from(([0, 0, 0, 0], 5000)).into(),
        source: io::Error::from_raw_os_error(98),
    };
    let error = StartError::Bind { text: binding::describe(&source, &config), source };
    let cause = error.source().and_then(|cause| cause.downcast_ref::<BindError>()).unwrap();
    assert_eq!(cause.source.kind(), io::ErrorKind::AddrInUse);
    let printed = error_chain(&error);
    for text in ["cannot listen on 0.0.0.0:5000", "Address already in use (os error 98)"] {
        assert_eq!(printed.matches(text).count(), 1, "{printed}");
    }
    let error = StartError::Signals(io::Error::from_raw_os_error(12));
    assert_eq!(error_chain(&error), "cannot catch signals: Cannot allocate memory (os error 12)");
}
