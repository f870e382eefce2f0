//! What signals do: SIGTERM or SIGINT once to finish, a second time to end at once. SIGHUP reads
//! the configuration again. Signals that people send to other servers by habit, to open a log anew, stop nothing: they get
//! a line that says so.

use std::io::{self, IsTerminal};

use server::Control;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::notify::{self, notify};

/// Every signal that would end the process by default and that somebody sends to servers.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// Changes with each SIGHUP that asks for a reload.
    reloads: watch::Sender<()>,
    user_1: Signal,
    user_2: Signal,
    alarm: Signal,
    terminal: Terminal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// To stop; the signal's name and number.
    Stop(&'static str, i32),
    /// To read the configuration again.
    Reload,
    /// Nothing that is done here; the signal's name, and what to do instead.
    Nothing(&'static str, &'static str),
}

impl Signals {
    /// Catches the signals from now on.
    ///
    /// # Errors
    /// When the system has no room for a handler.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn catch(reloads: watch::Sender<()>) -> io::Result<Self> {
        let terminal = Terminal::of_this_process();
        // A write beyond the largest file that this process may make. Once the signal is caught, the write fails with
        // EFBIG, as on a disk that is full, and that is told by the store.
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

    /// Cancels `shutdown` at the first signal to stop; at the second, ends the process with 128 and the signal's
    /// number, as a shell would say it of a process that the signal killed. `server` counts
    /// the requests that are being answered.
    pub(crate) async fn obey(mut self, shutdown: CancellationToken, server: Control) {
        let (name, _) = self.stop(false).await;
        let (count, grace) = (server.running(), server.shutdown_grace());
        let plural = if count == 1 { "" } else { "s" };
        tracing::info!(
            "{name}: no new connections, finishing {count} request{plural} (up to {grace:?}); repeat to stop at once"
        );
        notify(notify::STOPPING);
        shutdown.cancel();
        let (name, number) = self.stop(true).await;
        tracing::warn!("{name} again: stopping at once");
        std::process::exit(128 + number);
    }

    /// Waits for a signal to stop, and returns its name and number. Each other signal gets its line.
    async fn stop(&mut self, is_stopping: bool) -> (&'static str, i32) {
        loop {
            match self.next().await {
                Meaning::Stop(name, number) => return (name, number),
                Meaning::Reload if is_stopping => tracing::warn!("SIGHUP ignored: wharf is stopping"),
                // Whoever reloads is there until the stop.
                Meaning::Reload => drop(self.reloads.send(())),
                Meaning::Nothing(name, instead) => tracing::warn!("{name} ignored: {instead}"),
            }
        }
    }

    async fn next(&mut self) -> Meaning {
        tokio::select! {
            _ = self.interrupt.recv() => Meaning::Stop("SIGINT", SignalKind::interrupt().as_raw_value()),
            _ = self.terminate.recv() => Meaning::Stop("SIGTERM", SignalKind::terminate().as_raw_value()),
            _ = self.hangup.recv() => hangup(self.terminal.is_gone()),
            _ = self.user_1.recv() => {
                Meaning::Nothing("SIGUSR1", "the log goes to standard error, so there is no file to open anew")
            }
            _ = self.user_2.recv() => Meaning::Nothing("SIGUSR2", "it means nothing to wharf"),
            _ = self.alarm.recv() => Meaning::Nothing("SIGALRM", "it means nothing to wharf"),
        }
    }
}

/// A service is sent SIGHUP to read its configuration again, a program in a terminal because that was closed.
fn hangup(is_terminal_gone: bool) -> Meaning {
    if is_terminal_gone {
        Meaning::Stop("SIGHUP", SignalKind::hangup().as_raw_value())
    } else {
        Meaning::Reload
    }
}

/// The terminal that this process was started in, as far as it reads from it or writes to it.
#[derive(Clone, Copy, Debug)]
struct Terminal {
    /// Which of standard input, output and error were it.
    held: [bool; 3],
    /// Whether the process was started so that it outlives its terminal, as `nohup` does.
    is_outlived: bool,
}

impl Terminal {
    /// To be called before SIGHUP is caught.
    fn of_this_process() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self { held: Self::terminals(), is_outlived: is_ignored(&status, SignalKind::hangup()) }
    }

    fn terminals() -> [bool; 3] {
        [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()]
    }

    /// Whether the terminal was closed: a file of a terminal that hung up is none any more (isatty(3) fails with EIO).
    fn is_gone(self) -> bool {
        let now = Self::terminals();
        !self.is_outlived && self.held.iter().zip(now).any(|(held, now)| *held && !now)
    }
}

/// Whether the process whose `/proc/self/status` this is ignores `signal`: proc(5), "SigIgn".
fn is_ignored(status: &str, signal: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw_value() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests;
