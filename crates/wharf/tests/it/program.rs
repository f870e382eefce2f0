//! The program as an operator runs it: a configuration, a directory, a log, signals by process id.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;
use testkit::client::{self, Broken, Response};
use testkit::{Endpoint, FakeRegistry, assert_tells_no_secret};

/// The longest wait for anything here; only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The largest file that is searched for secrets. What wharf itself writes is smaller; blobs are larger.
const RECORD_BYTES_MAX: u64 = 1 << 16;

/// A running `wharf serve`. Dropping it ends the process, and searches its log and its store for secrets.
pub(crate) struct Program {
    child: Child,
    log: Arc<LogLines>,
    /// Collects the log until the process ends.
    reader: Option<JoinHandle<()>>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) directory: Arc<TempDir>,
}

#[derive(Default)]
struct LogLines {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl LogLines {
    /// Waits for the first line that contains `text`.
    fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line with {text:?} in:\n{}", lines.join("\n"));
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// `wharf` with these arguments in `directory`, and with an empty environment.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    command.args(arguments).current_dir(directory).env_clear().stdin(Stdio::null());
    command
}

/// The user that containers of wharf run as.
pub(crate) const UNPRIVILEGED: u32 = 65532;

/// A copy of the program in `directory`, for users who cannot reach the place where it was built.
pub(crate) fn copied_program(directory: &Path) -> PathBuf {
    let program = directory.join("program");
    // A file that this process had open to write could not be run while another test starts a program
    // (ETXTBSY).
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_wharf")).arg(&program).status();
    assert!(copied.unwrap().success());
    program
}

/// Runs `wharf` to its end: its exit code, standard output and standard error.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(directory, arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A `[[registry]]` that caches `upstream`, whose three endpoints all count as its own.
pub(crate) fn registry(name: &str, upstream: &FakeRegistry) -> String {
    let trusted = [upstream.host_of(Endpoint::Token), upstream.host_of(Endpoint::Cdn)];
    format!("[[registry]]\nname = {name:?}\nupstream = {:?}\ntrusted_hosts = {trusted:?}\n", upstream.url())
}

/// A configuration on free ports of this machine that stores in the working directory.
pub(crate) fn configuration(rest: &str) -> String {
    format!("[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{rest}")
}

impl Program {
    /// Starts with `configuration` in a new directory, and waits until it listens.
    pub(crate) fn start(configuration: &str) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), configuration, &[])
    }

    /// Starts in `directory` with the environment `variables`.
    pub(crate) fn start_in(
        directory: Arc<TempDir>,
        configuration: &str,
        variables: &[(&str, OsString)],
    ) -> Self {
        std::fs::write(directory.path().join("wharf.toml"), configuration).unwrap();
        let mut command = command(directory.path(), &["serve"]);
        command.envs(variables.iter().cloned());
        Self::run(directory, command)
    }

    /// Runs a `command` that serves in `directory`, and waits until it listens.
    pub(crate) fn run(directory: Arc<TempDir>, command: Command) -> Self {
        let mut program = Self::run_without_admin(directory, command);
        program.admin = program.address_behind("admin on http://");
        program
    }

    /// The same for one whose admin listener has no port.
    pub(crate) fn run_without_admin(directory: Arc<TempDir>, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(LogLines::default());
        let (pipe, reader) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = Some(thread::spawn(move || read_lines(pipe, &reader)));
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        // Created before it listens, so that the process ends even if it never does.
        let mut program = Self { child, log, reader, address: unknown, admin: unknown, directory };
        let scheme =
            if program.wait_for_line("listening on ").contains("https://") { "https" } else { "http" };
        program.address = program.address_behind(&format!("listening on {scheme}://"));
        program
    }

    fn address_behind(&self, text: &str) -> SocketAddr {
        let line = self.wait_for_line(text);
        let (_, rest) = line.split_once(text).unwrap();
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
        rest[..end].parse().unwrap_or_else(|_| panic!("no address in {line:?}"))
    }

    /// Waits for the first line of the log that contains `text`.
    pub(crate) fn wait_for_line(&self, text: &str) -> String {
        self.log.wait_for(text)
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Limits the size of the files that it writes.
    pub(crate) fn limit_file_size(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).unwrap();
    }

    /// Waits until it ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end:\n{}", self.log());
            std::thread::yield_now();
        }
    }

    /// GET `target` with this `Host`.
    pub(crate) async fn get(&self, host: &str, target: &str) -> Result<Response, Broken> {
        client::get(self.address, host, target, &[]).await
    }

    /// The exposition of the admin listener.
    pub(crate) async fn metrics(&self) -> String {
        let answer = client::get(self.admin, "localhost", "/metrics", &[]).await.unwrap();
        assert_eq!(answer.status, 200);
        answer.text()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let is_read = self.reader.take().map(JoinHandle::join);
        if thread::panicking() {
            return;
        }
        assert!(is_read.is_some_and(|read| read.is_ok()), "the log was not read to its end");
        assert_tells_no_secret("the log", self.log().as_bytes());
        assert_no_secret_is_stored(&self.directory.path().join("wharf-data"));
    }
}

/// Searches the records, lists and notes of the stores for secrets of tests.
fn assert_no_secret_is_stored(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            assert_no_secret_is_stored(&path);
        } else if path.metadata().is_ok_and(|it| it.is_file() && it.len() <= RECORD_BYTES_MAX) {
            assert_tells_no_secret(&path.display().to_string(), &std::fs::read(&path).unwrap_or_default());
        }
    }
}

fn read_lines(pipe: impl Read, log: &LogLines) {
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        log.lines.lock().unwrap().push(line);
        log.more.notify_all();
    }
}
