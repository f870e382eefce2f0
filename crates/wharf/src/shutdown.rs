//! How the process is told to end: SIGTERM, SIGINT or SIGHUP once to finish, a second time to end at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::notify::{self, notify};

/// The signals of all three kinds, caught from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// A closed terminal ends the process as a signal to terminate does: there is nothing to read again.
    hangup: Signal,
}

impl Signals {
    /// Catches the signals.
    ///
    /// # Errors
    /// When the system has no room for a handler.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Cancels `shutdown` at the first signal; at the second, ends the process with 128 and the signal's
    /// number, as a shell would say it of a process that the signal killed.
    pub(crate) async fn obey(mut self, shutdown: CancellationToken) {
        let signal = self.next().await;
        tracing::info!(signal, "stopping: running answers are finished; a second signal ends them");
        notify(notify::STOPPING);
        shutdown.cancel();
        let signal = self.next().await;
        tracing::warn!(signal, "stopping at once");
        std::process::exit(128 + signal);
    }

    /// The next signal's number.
    async fn next(&mut self) -> i32 {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hangup.recv() => SignalKind::hangup(),
        };
        kind.as_raw_value()
    }
}
