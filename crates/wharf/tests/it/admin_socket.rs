//! The admin listener on a Unix socket.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::Signal;
use tempfile::TempDir;
use testkit::{FakeRegistry, Image};

use crate::program::{PATIENCE, Program, command, registry, run};

/// A configuration whose admin listener is the file `admin.sock` in `directory`.
fn configuration(directory: &Path, rest: &str) -> String {
    let file = file_in(directory);
    format!("[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"unix:{}\"\n{rest}", file.display())
}

fn file_in(directory: &Path) -> PathBuf {
    directory.join("admin.sock")
}

fn started(directory: &Arc<TempDir>, rest: &str) -> Program {
    fs::write(directory.path().join("wharf.toml"), configuration(directory.path(), rest)).unwrap();
    Program::run_without_admin(Arc::clone(directory), command(directory.path(), &["serve"]))
}

/// The whole answer to a GET through the file.
fn get(file: &Path, target: &str, headers: &str) -> String {
    let mut stream = UnixStream::connect(file).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn s37_commands_find_the_socket_in_the_configuration_or_by_its_url() {
    let hub = FakeRegistry::start().await;
    hub.put_image("library/alpine", "3.20", &Image::generated(1, &[3_000_000]));
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mut program = started(&directory, &registry("docker.io", &hub));
    let file = file_in(directory.path());
    program.wait_for_line(&format!("admin on unix:{}", file.display()));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o660);

    let (code, printed, complained) = run(directory.path(), &["pull", "docker.io/library/alpine:3.20"]);
    assert_eq!(code, Some(0), "{printed}{complained}");
    let url = format!("unix:{}", file.display());
    let elsewhere = tempfile::tempdir().unwrap();
    for (place, further) in [(directory.path(), &[][..]), (elsewhere.path(), &["--url", &url])] {
        for (arguments, expected) in [
            (&["list"][..], "docker.io/library/alpine"),
            (&["list", "--json"], "docker.io"),
            (&["stats"], "docker.io"),
            (&["reload"], "nothing changed"),
        ] {
            let arguments = [arguments, further].concat();
            let (code, printed, complained) = run(place, &arguments);
            assert_eq!(code, Some(0), "{arguments:?}: {complained}");
            assert!(printed.contains(expected), "{arguments:?}: {printed}");
            assert!(!complained.contains("from the stores on disk"), "{arguments:?}: {complained}");
        }
    }
    // A large answer, whose connection the command can also end.
    let archive = directory.path().join("alpine.tar");
    let export = ["export", "docker.io/library/alpine:3.20", "-o", archive.to_str().unwrap()];
    let (code, _, complained) = run(directory.path(), &export);
    assert_eq!(code, Some(0), "{complained}");
    assert!(archive.metadata().unwrap().len() > 3_000_000);

    program.signal(Signal::TERM);
    assert!(program.wait().success());
    assert!(!file.exists(), "it is removed at the end");
    // The commands turn to the stores, as they do where nothing listens on a port.
    let (code, printed, complained) = run(directory.path(), &["list"]);
    assert_eq!(code, Some(0), "{complained}");
    assert!(printed.contains("docker.io/library/alpine"), "{printed}");
    assert!(complained.contains(&format!("no wharf listens on unix:{}", file.display())), "{complained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s37_a_socket_needs_no_token_and_refuses_the_pages_that_a_proxy_lets_through() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let program = started(&directory, "");
    let file = file_in(directory.path());
    let metrics = get(&file, "/metrics", "Host: localhost\r\n");
    assert!(metrics.starts_with("HTTP/1.1 200") && metrics.contains("wharf_"), "{metrics}");
    for headers in ["Host: evil.example\r\n", "Host: localhost\r\nOrigin: http://evil.example\r\n"] {
        let refused = get(&file, "/metrics", headers);
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    }
    drop(program);
}

#[tokio::test(flavor = "multi_thread")]
async fn s37_a_socket_that_a_killed_wharf_left_is_replaced_and_that_of_a_running_one_is_not() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let file = file_in(directory.path());
    drop(started(&directory, ""));
    assert!(file.exists(), "a killed process removes nothing");
    let first = started(&directory, "");
    assert!(get(&file, "/livez", "Host: localhost\r\n").starts_with("HTTP/1.1 200"));

    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("wharf.toml"), configuration(directory.path(), "")).unwrap();
    let (code, _, complained) = run(other.path(), &["serve"]);
    assert_eq!(code, Some(1), "{complained}");
    let expected = format!(
        "cannot listen on unix:{}: another process listens on this socket; another wharf uses this file; stop it, \
         or give this one another path in listen of [admin]",
        file.display()
    );
    assert!(complained.contains(&expected), "{complained}");
    assert!(!other.path().join("wharf-data").exists(), "a failed start leaves nothing");
    assert!(get(&file, "/livez", "Host: localhost\r\n").starts_with("HTTP/1.1 200"), "the first one stays");
    drop(first);
}

#[test]
fn s37_a_socket_that_cannot_be_made_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let occupied = directory.path().join("occupied");
    fs::create_dir(&occupied).unwrap();
    fs::write(file_in(&occupied), "precious").unwrap();
    for (place, expected) in
        [(&missing, "make the directory "), (&occupied, "remove that file, or change listen")]
    {
        fs::write(directory.path().join("wharf.toml"), configuration(place, "")).unwrap();
        let (code, _, complained) = run(directory.path(), &["serve"]);
        assert_eq!(code, Some(1), "{complained}");
        assert!(complained.contains(expected), "{complained}");
    }
    assert_eq!(fs::read_to_string(file_in(&occupied)).unwrap(), "precious");
    // A command says that no wharf is behind a URL.
    let gone = directory.path().join("gone.sock");
    drop(UnixListener::bind(&gone).unwrap());
    let url = format!("unix:{}", gone.display());
    fs::write(directory.path().join("wharf.toml"), "").unwrap();
    let (code, _, complained) = run(directory.path(), &["list", "--url", &url]);
    assert_eq!(code, Some(1), "{complained}");
    assert!(complained.contains(&format!("no answer from the admin listener at {url}: ")), "{complained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f44_idle_connections_hold_up_no_health_check_of_the_socket() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let program = started(&directory, "");
    let file = file_in(directory.path());
    // More than are served and turned away at one time.
    let idle: Vec<UnixStream> = (0..300).map(|_| UnixStream::connect(&file).unwrap()).collect();
    for target in ["/livez", "/readyz"] {
        let mut probe = UnixStream::connect(&file).unwrap();
        probe.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(probe, "GET {target} HTTP/1.1\r\nHost: probe.example\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        probe.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    }
    drop((idle, program));
}

/// The command could not be stopped by its own limits, because it had no connection to wait on.
#[test]
fn f44_a_command_says_that_the_socket_accepts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = file_in(directory.path());
    fs::write(directory.path().join("wharf.toml"), configuration(directory.path(), "")).unwrap();
    let _held = fill_queue(&file);
    let expected = format!(
        "no answer from the admin listener at unix:{}: it accepts no connection, and its queue was full for 5s",
        file.display()
    );
    let (tell, told) = std::sync::mpsc::channel();
    let place = directory.path().to_owned();
    std::thread::spawn(move || tell.send(run(&place, &["list"])));
    let (code, _, complained) = told.recv_timeout(PATIENCE).expect("the command ends");
    assert_eq!(code, Some(1), "{complained}");
    assert!(complained.contains(&expected), "{complained}");
}

/// Listens at `file`, accepts nothing, and connects until nobody else can. Returns the sockets.
fn fill_queue(file: &Path) -> Vec<OwnedFd> {
    let make = |flags| socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    let address = SocketAddrUnix::new(file).unwrap();
    let listener = make(SocketFlags::CLOEXEC);
    bind(&listener, &address).unwrap();
    listen(&listener, 0).unwrap();
    let mut sockets = vec![listener];
    loop {
        let client = make(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        match connect(&client, &address) {
            Ok(()) => sockets.push(client),
            Err(error) => {
                assert_eq!(error, rustix::io::Errno::AGAIN);
                return sockets;
            }
        }
        assert!(sockets.len() < 100, "the queue has no end");
    }
}
