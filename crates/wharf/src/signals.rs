//! Handles signals. The first SIGTERM or SIGINT lets running requests finish; the second one ends the
//! process. SIGHUP reads the configuration again. Signals that make other servers reopen their log are
//! ignored with a warning.

use std::io::{self, IsTerminal};

use server::Control;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::notify::{self, notify};

/// The signals that operators send to servers and that end a process by default.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// Changes with each SIGHUP that causes a reload.
    reloads: watch::Sender<()>,
    user_1: Signal,
    user_2: Signal,
    alarm: Signal,
    terminal: Terminal,
}

/// The effect of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Stops the process; the signal's name and number.
    Stop(&'static str, i32),
    /// Reads the configuration again.
    Reload,
    /// None; the signal's name, and the reason.
    Ignored(&'static str, &'static str),
}

impl Signals {
    /// Catches the signals from now on.
    ///
    /// # Errors
    /// If the system refuses a handler.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn catch(reloads: watch::Sender<()>) -> io::Result<Self> {
        let terminal = Terminal::of_this_process();
        // A write beyond the file size limit of this process. Once the signal is caught, the write fails with
        // EFBIG instead, and the store reports it like a full disk.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            reloads,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            alarm: signal(SignalKind::alarm())?,
            terminal,
        })
    }

    /// Cancels `shutdown` at the first signal to stop. At the second one, ends the process with 128 plus the
    /// signal's number, as a shell reports a killed process. `server` counts the running requests.
    pub(crate) async fn obey(mut self, shutdown: CancellationToken, server: Control) {
        let (name, _) = self.stop(false).await;
        let (count, grace) = (server.running(), server.shutdown_grace());
        let plural = if count == 1 { "" } else { "s" };
        tracing::info!(
            "{name}: no new connections, finishing {count} request{plural} (up to {grace:?}); repeat to stop at \
             once"
        );
        notify(notify::STOPPING);
        shutdown.cancel();
        let (name, number) = self.stop(true).await;
        tracing::warn!("{name} again: stopping at once");
        std::process::exit(128 + number);
    }

    /// Waits for a signal to stop, and returns its name and number. Acts on the other signals meanwhile.
    async fn stop(&mut self, is_stopping: bool) -> (&'static str, i32) {
        loop {
            match self.next().await {
                Effect::Stop(name, number) => return (name, number),
                Effect::Reload if is_stopping => tracing::warn!("SIGHUP ignored: wharf is stopping"),
                // The receiver exists until the stop.
                Effect::Reload => drop(self.reloads.send(())),
                Effect::Ignored(name, reason) => tracing::warn!("{name} ignored: {reason}"),
            }
        }
    }

    async fn next(&mut self) -> Effect {
        tokio::select! {
            _ = self.interrupt.recv() => Effect::Stop("SIGINT", SignalKind::interrupt().as_raw_value()),
            _ = self.terminate.recv() => Effect::Stop("SIGTERM", SignalKind::terminate().as_raw_value()),
            _ = self.hangup.recv() => hangup(self.terminal.is_gone()),
            _ = self.user_1.recv() => {
                Effect::Ignored("SIGUSR1", "the log goes to standard error, so there is no file to reopen")
            }
            _ = self.user_2.recv() => Effect::Ignored("SIGUSR2", "wharf does not use it"),
            _ = self.alarm.recv() => Effect::Ignored("SIGALRM", "wharf does not use it"),
        }
    }
}

/// The effect of SIGHUP: it asks a service to read its configuration again, and tells a program in a terminal
/// that the terminal was closed.
fn hangup(is_terminal_gone: bool) -> Effect {
    if is_terminal_gone {
        Effect::Stop("SIGHUP", SignalKind::hangup().as_raw_value())
    } else {
        Effect::Reload
    }
}

/// The terminal that this process was started in.
#[derive(Clone, Copy, Debug)]
struct Terminal {
    /// Which of standard input, output and error were the terminal.
    held: [bool; 3],
    /// Whether the process ignores the end of its terminal, as `nohup` starts it.
    is_outlived: bool,
}

impl Terminal {
    /// Must be called before SIGHUP is caught.
    fn of_this_process() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self { held: Self::terminals(), is_outlived: is_ignored(&status, SignalKind::hangup()) }
    }

    fn terminals() -> [bool; 3] {
        [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()]
    }

    /// Whether the terminal was closed: then its files are no terminals any more (isatty(3) fails with EIO).
    fn is_gone(self) -> bool {
        let now = Self::terminals();
        !self.is_outlived && self.held.iter().zip(now).any(|(held, now)| *held && !now)
    }
}

/// Whether a process ignores `signal`, by its `/proc/self/status` (proc(5), "SigIgn").
fn is_ignored(status: &str, signal: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw_value() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests;
