//! Runs a program that prints a login: directly and never through a shell, with few variables, and within a
//! bounded time and a bounded output.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use secret::Secret;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::{Instant, timeout_at};

use crate::environment::Variables;
use crate::failure::Failure;

/// The most bytes that a program may print. The longest tokens have a few KiB.
const OUTPUT_BYTES_MAX: u64 = 256 * 1024;

/// The most bytes of an input. A pipe takes as many without a reader (pipe(7), `PIPE_BUF`), so that a program
/// which does not read holds nothing up.
const INPUT_BYTES_MAX: usize = 4096;

/// The time between two looks whether a program that has closed its output has ended.
const END_POLL: Duration = Duration::from_millis(20);

/// A program and how to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The program: a path, or a name that `PATH` leads to.
    pub program: PathBuf,
    /// Its arguments. They are not secret: every user of the machine can see them.
    pub arguments: Vec<String>,
    /// All its variables.
    pub variables: Variables,
    /// The longest time that it may run.
    pub timeout: Duration,
}

impl ProcessSettings {
    /// The default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// The longest `timeout`.
    pub const TIMEOUT_MAX: Duration = Duration::from_secs(50);
}

/// The result of a program that ended by itself.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Secret<Vec<u8>>,
}

/// A program under way. Dropping it kills the program and all that it started.
struct Running {
    child: Option<Child>,
}

/// Runs a program with `input` and returns its output. Errors that it writes are dropped, because they may
/// quote a secret.
///
/// # Errors
/// A [`Failure`] if it cannot be started, takes too long, or prints too much, and for an input of more than
/// 4 KiB.
pub(crate) async fn run(settings: &ProcessSettings, input: Vec<u8>) -> Result<Output, Failure> {
    let deadline = Instant::now() + settings.timeout;
    let name = settings.program.display().to_string();
    if input.len() > INPUT_BYTES_MAX {
        return Err(Failure::new(format!("would ask {name} about a name of more than 4 KiB")));
    }
    let mut running = start(settings, input).await?;
    let stdout = running.child.as_mut().and_then(|child| child.stdout.take()).map(OwnedFd::from);
    let late = |_| {
        let seconds = settings.timeout.as_secs();
        Failure::new(format!("{name} did not end within {seconds} s"))
    };
    let broken = |error: std::io::Error| Failure::new(format!("the output of {name} broke off: {error}"));
    let stdout = stdout.expect("the output is a pipe");
    let mut output = Vec::new();
    let receiver = pipe::Receiver::from_owned_fd(stdout).map_err(broken)?;
    let reading = receiver.take(OUTPUT_BYTES_MAX + 1);
    tokio::pin!(reading);
    timeout_at(deadline, reading.read_to_end(&mut output)).await.map_err(late)?.map_err(broken)?;
    if output.len() as u64 > OUTPUT_BYTES_MAX {
        return Err(Failure::new(format!("{name} printed more than 256 KiB")));
    }
    let status = timeout_at(deadline, running.ended()).await.map_err(late)?.map_err(broken)?;
    Ok(Output { status, stdout: Secret::new(output) })
}

/// Runs a program, which must succeed.
///
/// # Errors
/// A [`Failure`] if it cannot be started, takes too long, prints too much, or ends with another status than
/// 0, and for an input of more than 4 KiB.
pub async fn run_to_success(settings: &ProcessSettings, input: Vec<u8>) -> Result<Secret<Vec<u8>>, Failure> {
    let output = run(settings, input).await?;
    if !output.status.success() {
        return Err(refusal(settings, output.status));
    }
    Ok(output.stdout)
}

/// The failure of a program that ended with `status`.
pub(crate) fn refusal(settings: &ProcessSettings, status: ExitStatus) -> Failure {
    let name = settings.program.display();
    Failure::new(format!("{name} ended with {status}; run it by hand as wharf's user to see why"))
}

/// Starts the program in a process group of its own. That can take long, so it happens off the runtime's
/// threads.
async fn start(settings: &ProcessSettings, input: Vec<u8>) -> Result<Running, Failure> {
    let name = settings.program.display().to_string();
    let mut command = Command::new(&settings.program);
    command
        .args(&settings.arguments)
        .env_clear()
        .envs(settings.variables.iter())
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let starting = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn()?;
        // This does not block, because of `INPUT_BYTES_MAX`. A program need not read its input.
        let mut stdin = child.stdin.take().expect("the input is a pipe");
        let _ = stdin.write_all(&input);
        Ok(Running { child: Some(child) })
    });
    let started: std::io::Result<Running> =
        starting.await.unwrap_or_else(|_| Err(std::io::Error::other("the start was cancelled")));
    started.map_err(|error| Failure::new(format!("cannot start {name}: {error}")))
}

impl Running {
    async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let child = self.child.as_mut().expect("the program is under way");
        loop {
            if let Some(status) = child.try_wait()? {
                self.child = None;
                return Ok(status);
            }
            tokio::time::sleep(END_POLL).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // It may have ended in this moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.kill();
        // The kernel ends it in a moment; its entry must be taken out of the table.
        let mut reap = move || child.wait();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(reap)),
            Err(_) => drop(reap()),
        }
    }
}

#[cfg(test)]
mod tests;
