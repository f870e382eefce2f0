//! Signals that end a command which must clear up first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::exchange::Connection;

/// A watch over SIGINT, SIGTERM and SIGHUP. The first one ends the connection that the command reads, so that
/// the command fails and clears up; the second one ends the process.
#[derive(Clone, Debug, Default)]
pub(super) struct Interruption(Arc<AtomicI32>);

impl Interruption {
    /// Watches from now on, until the process ends.
    ///
    /// # Errors
    /// The system refuses a handler or a thread.
    pub(super) fn watch(connection: Connection) -> io::Result<Self> {
        let interruption = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate, mut hangup) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            )
        };
        let received = Arc::clone(&interruption.0);
        let watch = async move {
            loop {
                let kind = tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt(),
                    _ = terminate.recv() => SignalKind::terminate(),
                    _ = hangup.recv() => SignalKind::hangup(),
                };
                let code = 128 + kind.as_raw_value();
                if received.swap(code, Ordering::SeqCst) != 0 {
                    std::process::exit(code);
                }
                connection.end();
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(watch))?;
        Ok(interruption)
    }

    /// The exit code, once a signal came: 128 plus its number, as a shell reports it.
    pub(super) fn code(&self) -> Option<u8> {
        u8::try_from(self.0.load(Ordering::SeqCst)).ok().filter(|code| *code > 0)
    }
}
