//! Answers that are sent while they are made.

use std::sync::Arc;

use http::Response;
use http::header::{self, HeaderValue};
use parking_lot::Mutex;
use server::SideContent;

/// The media type of an answer with a JSON document on each line.
pub(crate) const LINES_TYPE: &str = "application/jsonl";

/// The media type of an archive.
pub(crate) const ARCHIVE_TYPE: &str = "application/x-tar";

/// The content of such an answer, which the service takes out of the router's answer.
#[derive(Clone, Debug)]
pub(crate) struct Streamed(Arc<Mutex<Option<SideContent>>>);

impl Streamed {
    /// The answer with this content.
    pub(crate) fn answer(media_type: &'static str, content: SideContent) -> Response<String> {
        let mut answer = Response::new(String::new());
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        answer.extensions_mut().insert(Self(Arc::new(Mutex::new(Some(content)))));
        answer
    }

    /// The content, for the first caller.
    pub(crate) fn take(self) -> Option<SideContent> {
        self.0.lock().take()
    }
}
