use std::io::ErrorKind;
use std::os::unix::net::UnixStream as Client;

use super::*;

fn file_in(directory: &tempfile::TempDir) -> SocketFile {
    SocketFile { path: directory.path().join("admin.sock"), mode: 0o660 }
}

fn refusal(file: &SocketFile) -> io::Error {
    LocalListener::bind(file).expect_err("another file is there")
}

#[tokio::test]
async fn the_file_has_its_mode_and_goes_with_its_listener() {
    let directory = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o660, 0o666] {
        let file = SocketFile { mode, ..file_in(&directory) };
        let listener = LocalListener::bind(&file).unwrap();
        assert_eq!(file.path.metadata().unwrap().mode() & 0o777, mode);
        Client::connect(&file.path).unwrap();
        drop(listener);
        assert!(!file.path.exists(), "{mode:o}");
    }
}

#[tokio::test]
async fn a_file_that_a_process_left_behind_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let file = file_in(&directory);
    // The standard library's listener does not remove its file.
    drop(std::os::unix::net::UnixListener::bind(&file.path).unwrap());
    assert!(file.path.exists());
    let _listener = LocalListener::bind(&file).unwrap();
    Client::connect(&file.path).unwrap();
}

#[tokio::test]
async fn the_socket_of_a_running_process_stays() {
    let directory = tempfile::tempdir().unwrap();
    let file = file_in(&directory);
    let _running = LocalListener::bind(&file).unwrap();
    let error = refusal(&file);
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(error.to_string(), "another process listens on this socket");
    Client::connect(&file.path).unwrap();
}

/// A process that does not accept, such as one that is stopped, still runs.
#[tokio::test]
async fn the_socket_of_a_running_process_stays_while_its_queue_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let file = file_in(&directory);
    let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    busy.bind(&SockAddr::unix(&file.path).unwrap()).unwrap();
    busy.listen(0).unwrap();
    let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    client.connect(&SockAddr::unix(&file.path).unwrap()).unwrap();
    assert_eq!(refusal(&file).kind(), ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_file_that_is_no_socket_stays() {
    let directory = tempfile::tempdir().unwrap();
    let file = file_in(&directory);
    std::fs::write(&file.path, "precious").unwrap();
    assert_eq!(refusal(&file).kind(), ErrorKind::AlreadyExists);
    std::fs::remove_file(&file.path).unwrap();
    let elsewhere = directory.path().join("elsewhere.sock");
    drop(std::os::unix::net::UnixListener::bind(&elsewhere).unwrap());
    std::os::unix::fs::symlink(&elsewhere, &file.path).unwrap();
    assert_eq!(refusal(&file).kind(), ErrorKind::AlreadyExists);
    assert!(elsewhere.exists());
}

#[tokio::test]
async fn two_starts_at_once_do_not_replace_the_same_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = file_in(&directory);
    drop(std::os::unix::net::UnixListener::bind(&file.path).unwrap());
    let other = File::open(directory.path()).unwrap();
    flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    let error = refusal(&file);
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(error.to_string(), "another process works in this directory at the moment");
    drop(other);
    LocalListener::bind(&file).unwrap();
}

#[tokio::test]
async fn a_listener_removes_no_file_that_took_the_place_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = file_in(&directory);
    let first = LocalListener::bind(&file).unwrap();
    let kept = directory.path().join("kept");
    // Renamed, not removed: a new file could get the same inode.
    std::fs::rename(&file.path, kept).unwrap();
    let _second = LocalListener::bind(&file).unwrap();
    drop(first);
    Client::connect(&file.path).unwrap();
}

#[tokio::test]
async fn a_path_that_is_too_long_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = SocketFile { path: directory.path().join("x".repeat(120)), mode: 0o660 };
    assert_eq!(refusal(&file).kind(), ErrorKind::InvalidInput);
}
