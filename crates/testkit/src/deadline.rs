//! A bound on waiting that a paused tokio clock cannot bring forward.

use std::future::Future;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// Long enough for a loaded machine, short enough that a hang is reported with its cause.
const PATIENCE: Duration = Duration::from_secs(30);

/// The output of `future`, which must come within 30 seconds of real time.
///
/// # Panics
/// When it does not; the message is `what`, which names the thing that did not happen.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match bounded(PATIENCE, future).await {
        Some(output) => output,
        None => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// The output of `future`, or `None` after `patience` of real time. A thread keeps the time: a timer of the
/// runtime would fire at once where the test has paused the clock.
pub(crate) async fn bounded<F: Future>(patience: Duration, future: F) -> Option<F::Output> {
    let (done, waiting) = mpsc::channel::<()>();
    let (expire, expired) = oneshot::channel::<()>();
    thread::spawn(move || {
        if waiting.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            // A failed send means that the future ended in this very moment.
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

/// [`bounded`] by the usual patience, for callers who have more to say than one line.
pub(crate) async fn patiently<F: Future>(future: F) -> Option<F::Output> {
    bounded(PATIENCE, future).await
}

#[cfg(test)]
mod tests;
