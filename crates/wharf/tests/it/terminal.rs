//! The program as a person runs it, with a terminal.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

use crate::program::{PATIENCE, command};

/// A running `wharf serve` whose standard error is a terminal. Dropping it ends the process.
pub(crate) struct Terminal {
    child: Child,
    /// The other side of the terminal.
    screen: Option<File>,
    pub(crate) text: String,
    _directory: TempDir,
}

impl Terminal {
    /// Starts with `configuration` and `variables`, and waits until `text` is on the screen.
    pub(crate) fn start(configuration: &str, variables: &[(&str, &str)], text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("wharf.toml"), configuration).unwrap();
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let line = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let mut command = with_signals(&command(directory.path(), &["serve"]));
        command.envs(variables.iter().copied()).stdout(Stdio::null()).stderr(Stdio::from(line));
        let child = command.spawn().unwrap();
        // It holds the program's side of the terminal open.
        drop(command);
        let screen = Some(File::from(screen));
        let mut terminal = Self { child, screen, text: String::new(), _directory: directory };
        terminal.wait_for(text);
        terminal
    }

    /// Reads until `text` is on the screen.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let (sender, receiver) = mpsc::channel();
        let mut screen = self.screen.take().expect("it did not hang up");
        let (mut seen, text) = (std::mem::take(&mut self.text), text.to_owned());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !seen.contains(&text) {
                // A terminal whose other side is closed fails (EIO), which ends the output.
                let Ok(length) = screen.read(&mut buffer) else { break };
                seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            let found = seen.contains(&text);
            let _ = sender.send((screen, seen, found));
        });
        let (screen, seen, found) = receiver.recv_timeout(PATIENCE).expect("it says it within a minute");
        assert!(found, "the program ended:\n{seen}");
        (self.screen, self.text) = (Some(screen), seen);
    }

    /// Closes the terminal, like a window.
    pub(crate) fn hang_up(&mut self) {
        self.screen = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends. Returns its exit code, or the signal that ended it.
    pub(crate) fn wait(&mut self) -> Result<i32, Option<i32>> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().ok_or(status.signal());
            }
            assert!(std::time::Instant::now() < deadline, "it did not end:\n{}", self.text);
            std::thread::yield_now();
        }
    }
}

/// The same program with the default effect of signals, even if the test runner ignores them.
fn with_signals(plain: &Command) -> Command {
    let mut command = Command::new("/usr/bin/env");
    command.arg("--default-signal=HUP").arg(plain.get_program()).args(plain.get_args());
    command.env_clear().stdin(Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(directory) = plain.get_current_dir() {
        command.current_dir(directory);
    }
    command
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
