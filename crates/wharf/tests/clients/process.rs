//! Programs started by a test, and their ends.
//!
//! A program is killed when its owner is dropped, and by the kernel when the thread that started it dies: no
//! test leaves a daemon behind.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process, kill_process_group};
use testkit::assert_tells_no_secret;

/// Where Debian puts programs. Without `/usr/local`, which may have other builds of clients.
const PROGRAM_DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const STOP_WITHIN: Duration = Duration::from_secs(10);
const CLIENT_WITHIN: Duration = Duration::from_secs(180);

/// Calls `condition` again and again until it returns a value. The only place that waits.
///
/// # Panics If `within` has passed.
pub(crate) fn wait_until<T>(what: &str, within: Duration, condition: impl FnMut() -> Option<T>) -> T {
    poll(within, condition).unwrap_or_else(|| panic!("waited {within:?} in vain: {what}"))
}

/// The value of `condition`, or `None` if `within` has passed.
fn poll<T>(within: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(2);
    loop {
        let value = condition();
        if value.is_some() || Instant::now() >= deadline {
            return value;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// The reason if the programs cannot run here.
fn obstacle(programs: &[&str]) -> Option<String> {
    if !geteuid().is_root() {
        return Some("not root".to_owned());
    }
    let needed = programs.iter().chain(&["docker-registry", "gzip", "htpasswd", "setpriv", "unshare"]);
    let missing: Vec<&str> = needed.copied().filter(|name| find_program(name).is_none()).collect();
    if !missing.is_empty() {
        return Some(format!("not installed: {}", missing.join(" ")));
    }
    let unshared = Command::new("/usr/bin/unshare").args(["--mount", "true"]).status();
    match unshared {
        Ok(status) if status.success() => None,
        _ => Some("no mount namespace can be made".to_owned()),
    }
}

/// Returns true if `programs` can run. Otherwise prints that the test is skipped, or fails if
/// `WHARF_REQUIRE_CLIENTS` is set.
pub(crate) fn available(programs: &[&str]) -> bool {
    let Some(obstacle) = obstacle(programs) else { return true };
    assert!(std::env::var_os("WHARF_REQUIRE_CLIENTS").is_none(), "clients are required: {obstacle}");
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    // Bypasses the capture of the test runner, so that its output shows skipped tests.
    writeln!(io::stderr(), "skipped: {name}: {obstacle}").expect("standard error can be written");
    false
}

/// The directory of newer clients from `.ci/modern`; they take precedence over Debian's.
pub(crate) fn modern_directory() -> Option<PathBuf> {
    std::env::var_os("WHARF_MODERN_BIN").map(PathBuf::from)
}

fn program_directories() -> impl Iterator<Item = PathBuf> {
    modern_directory().into_iter().chain(PROGRAM_DIRECTORIES.map(PathBuf::from))
}

/// The path of the first program of that name.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    program_directories().map(|directory| directory.join(name)).find(|path| path.exists())
}

/// The environment of all programs of one test: a home, and the names that they can resolve.
#[derive(Debug)]
pub(crate) struct Surroundings {
    home: PathBuf,
    hosts_file: PathBuf,
    authority: Option<PathBuf>,
}

impl Surroundings {
    /// Writes the private `/etc/hosts`, in which every name in `names` is this machine.
    pub(crate) fn new(directory: &Path, names: &[&str]) -> Self {
        let home = directory.join("home");
        fs::create_dir_all(&home).expect("the home is created");
        let hosts_file = directory.join("hosts");
        fs::write(&hosts_file, format!("127.0.0.1 localhost {}\n", names.join(" ")))
            .expect("hosts is written");
        Self { home, hosts_file, authority: None }
    }

    /// Programs trust only the certificates in this PEM file.
    pub(crate) fn trusting(mut self, authority: &Path) -> Self {
        self.authority = Some(authority.to_owned());
        self
    }

    /// A directory for the output of programs.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// A command for `program` that sees the private `/etc/hosts` in its own mount namespace and ends with
    /// the thread that spawns it. Its process id is the program's own.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("/usr/bin/setpriv");
        command
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "sh", "-ceu"])
            .arg("mount --bind \"$0\" /etc/hosts; exec \"$@\"")
            .arg(&self.hosts_file)
            .arg(program)
            .env_clear()
            .env("PATH", std::env::join_paths(program_directories()).expect("no directory has a colon"))
            .env("HOME", &self.home)
            .process_group(0)
            .stdin(Stdio::null());
        if let Some(authority) = &self.authority {
            command.env("SSL_CERT_FILE", authority);
        }
        command
    }

    /// Runs a client to its end.
    ///
    /// # Panics If it fails or takes too long, with its output.
    pub(crate) fn run(&self, command: &mut Command) -> Vec<u8> {
        let Ran { status, stdout, stderr } = self.try_run(command, CLIENT_WITHIN);
        let status = status.unwrap_or_else(|| panic!("{command:?} does not end:\n{stderr}"));
        let written = String::from_utf8_lossy(&stdout);
        assert!(status.success(), "{command:?} ended with {status}\n{written}{stderr}");
        stdout
    }

    /// Runs a client that may fail. It is killed if it takes longer than `within`.
    pub(crate) fn try_run(&self, command: &mut Command, within: Duration) -> Ran {
        let output = tempfile::tempdir_in(&self.home).expect("a directory for the output is created");
        let (stdout, stderr) = (output.path().join("stdout"), output.path().join("stderr"));
        command.stdout(File::create(&stdout).expect("created"));
        command.stderr(File::create(&stderr).expect("created"));
        let mut process = Process {
            child: command.spawn().expect("the client starts"),
            log: stderr.clone(),
            stopped: false,
        };
        let status = poll(within, || process.ended());
        if status.is_none() {
            process.crash();
        }
        let written = fs::read(&stdout).expect("the output is read");
        Ran { status, stdout: written, stderr: process.log() }
    }
}

/// The exit and the output of a client.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None` if it was killed.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// A running program. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    stopped: bool,
}

impl Process {
    /// Starts a daemon that logs into `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("the log is created");
        command.stdout(file.try_clone().expect("the log is shared")).stderr(file);
        Self { child: command.spawn().expect("the daemon starts"), log, stopped: false }
    }

    /// The output of the program so far.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until the daemon is ready.
    ///
    /// # Panics If it ends first or is not ready in time, with its log.
    pub(crate) fn wait_ready<T>(&mut self, mut ready: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + CLIENT_WITHIN / 2;
        wait_until("a daemon is ready", CLIENT_WITHIN, || {
            let value = ready(self);
            if value.is_none() {
                let ended = self.ended();
                assert!(ended.is_none(), "ended with {ended:?}:\n{}", self.log());
                assert!(Instant::now() < deadline, "not ready in time:\n{}", self.log());
            }
            value
        })
    }

    /// Stops the program: it keeps its sockets and never answers.
    pub(crate) fn hold(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).expect("a running process can be held");
    }

    /// Continues a stopped program.
    pub(crate) fn release(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).expect("a held process can be released");
    }

    /// Tells the program to read its settings again.
    pub(crate) fn reload(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("a running process can be told");
    }

    /// Tells the program to end, without waiting.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("a running process can be told");
    }

    /// Kills the program.
    pub(crate) fn crash(&mut self) {
        self.child.kill().expect("a running process can be killed");
        self.stop();
    }

    /// Tells the program to end, and waits for it. Kills it and its children if it does not end.
    pub(crate) fn stop(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        let pid = Pid::from_child(&self.child);
        if self.ended().is_none() {
            // It may have ended meanwhile.
            kill_process(pid, Signal::TERM).ok();
            kill_process(pid, Signal::CONT).ok();
            let deadline = Instant::now() + STOP_WITHIN;
            wait_until("a process ends", STOP_WITHIN * 2, || {
                if Instant::now() > deadline {
                    kill_process(pid, Signal::KILL).ok();
                }
                self.ended()
            });
        }
        // The group of an ended leader has its remaining children, or no longer exists.
        kill_process_group(pid, Signal::KILL).ok();
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.ended().is_none()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        // Of wharf's own log alone: other programs may tell what they are given.
        if !std::thread::panicking() && self.log.ends_with("wharf.log") {
            assert_tells_no_secret("wharf's log", self.log().as_bytes());
        }
    }
}
