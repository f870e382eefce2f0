//! A confined process can do its work and nothing else. Without Landlock or seccomp in the kernel, the test
//! says that it skips that part.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
use rustix::net::{AddressFamily, SocketType};
use sandbox::{Directories, Unconfined};

/// Whether `limit` is in force; prints why it is not.
fn is_in_force(limit: &Result<(), Unconfined>) -> bool {
    if let Err(Unconfined::Unsupported(reason)) = limit {
        println!("skipped: {reason}");
        return false;
    }
    limit.as_ref().unwrap();
    true
}

/// One test, because the filter of system calls holds for all threads of this process.
#[test]
fn s38_a_confined_process_writes_below_its_directories_and_starts_no_program() {
    let place = tempfile::tempdir().unwrap();
    let (inside, outside) = (place.path().join("inside"), place.path().join("outside"));
    for directory in [&inside, &outside] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("file"), "before").unwrap();
    }
    let emptied = place.path().join("emptied");
    fs::create_dir_all(emptied.join("directory")).unwrap();
    fs::write(emptied.join("file"), "before").unwrap();
    let sockets = place.path().join("sockets");
    fs::create_dir(&sockets).unwrap();
    fs::write(sockets.join("left"), "before").unwrap();
    let confinement = sandbox::confine(Directories {
        writable: std::slice::from_ref(&inside),
        emptied: std::slice::from_ref(&emptied),
        sockets: std::slice::from_ref(&sockets),
    });

    works_inside(&inside);
    sockets_work();
    drop(UnixListener::bind(sockets.join("admin.sock")).unwrap());
    fs::set_permissions(sockets.join("admin.sock"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(sockets.join("admin.sock")).unwrap();
    if is_in_force(&confinement.files) {
        nothing_changes_outside(&outside);
        let (made, denied) = (fs::write(sockets.join("new"), ""), ErrorKind::PermissionDenied);
        assert_eq!(made.unwrap_err().kind(), denied);
        assert_eq!(fs::write(sockets.join("left"), "after").unwrap_err().kind(), denied);
        assert_eq!(UnixListener::bind(outside.join("admin.sock")).unwrap_err().kind(), denied);
        fs::remove_dir(emptied.join("directory")).unwrap();
        assert_eq!(fs::remove_file(emptied.join("file")).unwrap_err().kind(), ErrorKind::PermissionDenied);
        let moved = fs::rename(inside.join("file"), outside.join("moved")).unwrap_err();
        assert!([ErrorKind::PermissionDenied, ErrorKind::CrossesDevices].contains(&moved.kind()), "{moved}");
    }
    if is_in_force(&confinement.calls) {
        let absent = Some(libc::ENOSYS);
        assert_eq!(Command::new("/bin/true").status().unwrap_err().raw_os_error(), absent);
        let packets = rustix::net::socket(AddressFamily::PACKET, SocketType::RAW, None);
        assert_eq!(packets.unwrap_err().raw_os_error(), libc::ENOSYS);
    }
}

/// The store's own calls: files, directories, renames and links between directories, locks and syncs.
fn works_inside(inside: &Path) {
    let (from, to) = (inside.join("spool"), inside.join("blobs"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    fs::write(from.join("a"), "content").unwrap();
    fs::rename(from.join("a"), to.join("a")).unwrap();
    fs::hard_link(to.join("a"), from.join("b")).unwrap();
    let file = fs::OpenOptions::new().append(true).open(to.join("a")).unwrap();
    file.lock().unwrap();
    (&file).write_all(b"!").unwrap();
    file.set_len(3).unwrap();
    file.sync_all().unwrap();
    assert_eq!(fs::read_to_string(from.join("b")).unwrap(), "con");
    let nameless = openat(CWD, &from, OFlags::TMPFILE | OFlags::WRONLY, Mode::RUSR).unwrap();
    let path = format!("/proc/self/fd/{}", nameless.as_raw_fd());
    linkat(CWD, path, CWD, to.join("named"), AtFlags::SYMLINK_FOLLOW).unwrap();
    fs::remove_dir_all(from).unwrap();
}

fn nothing_changes_outside(outside: &Path) {
    let file = outside.join("file");
    let denied = [
        fs::write(&file, "after"),
        fs::OpenOptions::new().append(true).open(&file).map(drop),
        fs::write(outside.join("other"), "new"),
        fs::remove_file(&file),
        fs::create_dir(outside.join("directory")),
        fs::rename(&file, outside.join("renamed")),
        std::os::unix::fs::symlink("target", outside.join("link")),
        fs::remove_dir_all(outside),
    ];
    for outcome in denied {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "before", "it can be read");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
}

fn sockets_work() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap();
    UnixStream::pair().unwrap();
    std::thread::spawn(|| ()).join().unwrap();
}
