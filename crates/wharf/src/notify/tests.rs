use std::ffi::OsString;

use super::*;

#[track_caller]
fn check(receiver: &UnixDatagram, socket: &OsStr) {
    send(READY, socket).unwrap();
    let mut buffer = [0; 64];
    let length = receiver.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"READY=1");
}

#[test]
fn the_state_goes_to_a_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    check(&UnixDatagram::bind(&path).unwrap(), path.as_os_str());
}

#[test]
fn the_state_goes_to_an_abstract_name() {
    let name = format!("wharf-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    check(&UnixDatagram::bind_addr(&address).unwrap(), &OsString::from(format!("@{name}")));
}

#[test]
fn a_socket_without_a_listener_is_an_error_and_no_panic() {
    assert!(send(READY, OsStr::new("/nonexistent/notify")).is_err());
    assert!(send(READY, OsStr::new(&"x".repeat(200))).is_err());
}
