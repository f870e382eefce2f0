//! Passes reload requests from the admin listener to the task that reloads the configuration.

use tokio::sync::{mpsc, oneshot};

/// Reload requests that wait for a running reload.
const WAITING_COUNT_MAX: usize = 16;

/// The result of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadAnswer {
    /// Whether the new configuration is in use.
    pub is_success: bool,
    /// The changes, or all mistakes, as lines of text.
    pub text: String,
}

/// A request to reload the configuration.
#[derive(Debug)]
pub struct ReloadRequest {
    answer: oneshot::Sender<ReloadAnswer>,
}

impl ReloadRequest {
    /// Reports the result.
    pub fn answer(self, answer: ReloadAnswer) {
        // The client may have left.
        let _ = self.answer.send(answer);
    }
}

/// Sends reload requests.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<ReloadRequest>);

impl Reloads {
    /// Creates a sender and the receiver for the task that reloads.
    pub fn new() -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (sender, receiver) = mpsc::channel(WAITING_COUNT_MAX);
        (Self(sender), receiver)
    }

    /// Requests a reload and waits for its result. `None` if the task that reloads has ended.
    pub(crate) async fn request(&self) -> Option<ReloadAnswer> {
        let (answer, answered) = oneshot::channel();
        self.0.send(ReloadRequest { answer }).await.ok()?;
        answered.await.ok()
    }
}
