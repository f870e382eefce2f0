use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;

use rustix::net::{bind, listen};

use super::*;

/// The longest wait of a test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket at `file` that listens and accepts nothing, and the connections that fill its queue.
fn full(file: &Path) -> (OwnedFd, Vec<OwnedFd>) {
    let make = |flags| socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    let address = SocketAddrUnix::new(file).unwrap();
    let listener = make(SocketFlags::CLOEXEC);
    bind(&listener, &address).unwrap();
    listen(&listener, 0).unwrap();
    let mut queued = Vec::new();
    while queued.len() < 100 {
        let client = make(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        match connect(&client, &address) {
            Ok(()) => queued.push(client),
            Err(error) => {
                assert_eq!(error, Errno::AGAIN);
                return (listener, queued);
            }
        }
    }
    panic!("the queue has no end");
}

#[test]
fn f44_a_full_queue_of_a_unix_socket_ends_the_wait_with_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("admin.sock");
    let _held = full(&file);
    let (tell, told) = mpsc::channel();
    // A wait without an end would end the test no other way.
    thread::spawn(move || tell.send(Socket::connect_local(&file, Duration::from_millis(50)).map(drop)));
    let outcome = told.recv_timeout(PATIENCE).expect("the wait has an end");
    let error = outcome.expect_err("nobody accepts");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "it accepts no connection, and its queue was full for 50ms");
}

#[test]
fn a_connection_through_a_file_has_the_time_of_its_exchange_and_not_that_of_the_queue() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("admin.sock");
    let listener = std::os::unix::net::UnixListener::bind(&file).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nyes").unwrap();
        request
    });
    let socket = Socket::connect_local(&file, PATIENCE).unwrap();
    assert_eq!(whole(socket, "ask\n").unwrap().body, "yes");
    assert_eq!(&server.join().unwrap(), b"ask\n");
    let gone = Socket::connect_local(&directory.path().join("gone.sock"), PATIENCE).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
}
