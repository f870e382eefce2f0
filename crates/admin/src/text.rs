//! Text answers.

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

/// A plain-text answer. The text must end with a line break.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<String> {
    typed(status, "text/plain; charset=utf-8", text)
}

/// An answer with this media type.
pub(crate) fn typed(
    status: StatusCode,
    media_type: &'static str,
    text: impl Into<String>,
) -> Response<String> {
    let mut answer = Response::new(text.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}
