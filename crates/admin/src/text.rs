//! Answers whose content is text: a status, a type and lines.

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

/// An answer for people. The text ends with a line break.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<String> {
    typed(status, "text/plain; charset=utf-8", text)
}

/// An answer of this media type.
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
