//! Answers that report progress: a JSON document on each line, sent as it comes.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderValue};
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// The media type of such an answer.
pub(crate) const MEDIA_TYPE: &str = "application/jsonl";

/// The lines of an answer, which the service takes out of the router's answer.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Arc<Mutex<Option<mpsc::Receiver<Bytes>>>>);

impl Lines {
    /// The answer with these lines.
    pub(crate) fn answer(lines: mpsc::Receiver<Bytes>) -> Response<String> {
        let mut answer = Response::new(String::new());
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        answer.extensions_mut().insert(Self(Arc::new(Mutex::new(Some(lines)))));
        answer
    }

    /// The lines, for the first caller.
    pub(crate) fn take(self) -> Option<mpsc::Receiver<Bytes>> {
        self.0.lock().take()
    }
}
