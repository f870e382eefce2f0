//! A program beside wharf, from its start to its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use crate::program::PATIENCE;

/// The directories of Debian's programs.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Returns true if the programs are installed. Otherwise prints that the test is skipped, or fails if
/// `WHARF_REQUIRE_CLIENTS` is set.
pub(crate) fn available(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().copied().filter(|name| find(name).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("WHARF_REQUIRE_CLIENTS").is_none(), "not installed: {}", missing.join(" "));
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    // Bypasses the capture of the test runner, so that its output shows skipped tests.
    let line = format!("skipped: {name}: not installed: {}\n", missing.join(" "));
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    false
}

/// The path of a program.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    DIRECTORIES.iter().map(|directory| PathBuf::from(directory).join(name)).find(|path| path.exists())
}

/// An address on this machine at which nothing listens. The programs here cannot listen on port 0.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A running program. Dropping it ends the process.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<(Mutex<String>, Condvar)>,
}

impl Daemon {
    /// Starts a program, and waits until something listens at `address`.
    pub(crate) fn start(mut command: Command, address: SocketAddr) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new((Mutex::new(String::new()), Condvar::new()));
        collect(child.stdout.take().unwrap(), &log);
        collect(child.stderr.take().unwrap(), &log);
        let daemon = Self { child, log };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "nothing listens at {address}:\n{}", daemon.log());
            std::thread::yield_now();
        }
        daemon
    }

    /// Its output so far.
    pub(crate) fn log(&self) -> String {
        self.log.0.lock().unwrap().clone()
    }

    /// Waits until its output contains `text` `count` times.
    pub(crate) fn wait_for(&self, text: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        let (log, more) = &*self.log;
        let mut log = log.lock().unwrap();
        while log.matches(text).count() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not {count} times {text:?} in:\n{log}");
            log = more.wait_timeout(log, left).unwrap().0;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(pipe: impl Read + Send + 'static, log: &Arc<(Mutex<String>, Condvar)>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut text = log.0.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
            log.1.notify_all();
        }
    });
}
