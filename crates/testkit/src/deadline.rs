//! Deadlines in real time, which a paused tokio clock does not affect.

use std::future::Future;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// Long enough for a loaded machine, short enough that a hang is reported with its cause.
const PATIENCE: Duration = Duration::from_secs(30);

/// The output of `future`, which must complete within 30 seconds of real time.
///
/// # Panics
/// When it does not; the message contains `what`, the name of the missing event.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match bounded(PATIENCE, future).await {
        Some(output) => output,
        None => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// The output of `future`, or `None` after `patience` of real time. A thread measures the time: a timer of
/// the runtime would fire at once if the test has paused the clock.
pub(crate) async fn bounded<F: Future>(patience: Duration, future: F) -> Option<F::Output> {
    let (done, waiting) = mpsc::channel::<()>();
    let (expire, expired) = oneshot::channel::<()>();
    thread::spawn(move || {
        if waiting.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            // A failed send means that the future has just completed.
            let _ = expire.send(());
        }
    });
    let outcome = tokio::select! {
        biased;
        output = future => Some(output),
        Ok(()) = expired => None,
    };
    drop(done);
    outcome
}

/// [`bounded`] by the usual deadline, for callers with a longer message.
pub(crate) async fn patiently<F: Future>(future: F) -> Option<F::Output> {
    bounded(PATIENCE, future).await
}

#[cfg(test)]
mod tests;
