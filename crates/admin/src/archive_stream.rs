//! Answers that are an archive, sent while it is made.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderValue};
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// The media type of such an answer, and of the content of an import.
pub(crate) const MEDIA_TYPE: &str = "application/x-tar";

/// The pieces of an archive, which the service takes out of the router's answer.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveStream(Arc<Mutex<Option<mpsc::Receiver<io::Result<Bytes>>>>>);

impl ArchiveStream {
    /// The answer with these pieces.
    pub(crate) fn answer(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Response<String> {
        let mut answer = Response::new(String::new());
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        answer.extensions_mut().insert(Self(Arc::new(Mutex::new(Some(pieces)))));
        answer
    }

    /// The pieces, for the first caller.
    pub(crate) fn take(self) -> Option<mpsc::Receiver<io::Result<Bytes>>> {
        self.0.lock().take()
    }
}
