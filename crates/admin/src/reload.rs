//! Hands requests to reload the configuration from the admin listener to the task that does it.

use tokio::sync::{mpsc, oneshot};

/// Requests that wait for the one before them.
const WAITING_COUNT_MAX: usize = 16;

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadAnswer {
    /// Whether the configuration in use is that of the file now.
    pub is_success: bool,
    /// What changed, or every mistake: lines of text.
    pub text: String,
}

/// A request to reload the configuration.
#[derive(Debug)]
pub struct ReloadRequest {
    answer: oneshot::Sender<ReloadAnswer>,
}

impl ReloadRequest {
    /// Reports how the reload ended.
    pub fn answer(self, answer: ReloadAnswer) {
        // The client may have left.
        let _ = self.answer.send(answer);
    }
}

/// Takes requests to reload the configuration.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<ReloadRequest>);

impl Reloads {
    /// Reloads, and the end at which they are done.
    pub fn new() -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (sender, receiver) = mpsc::channel(WAITING_COUNT_MAX);
        (Self(sender), receiver)
    }

    /// Asks for a reload and waits until it is over. None: that task has ended.
    pub(crate) async fn request(&self) -> Option<ReloadAnswer> {
        let (answer, answered) = oneshot::channel();
        self.0.send(ReloadRequest { answer }).await.ok()?;
        answered.await.ok()
    }
}
