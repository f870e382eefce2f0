//! Answers the HTTP-01 challenges of an authority (RFC 8555, section 8.3), on every host and every public
//! listener: the authority may ask in plain HTTP only, and for a name that no registry has yet.

use certificates::challenges::Challenges;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, request};
use telemetry::Answered;

use crate::respond::Answer;

/// Returns the answer to a request for a pending challenge, and `None` for any other request.
pub(crate) fn answer(head: &request::Parts, challenges: &Challenges) -> Option<Answer> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return None;
    }
    let text = challenges.http_answer(head.uri.path())?;
    let text_type = HeaderValue::from_static("application/octet-stream");
    Some(Answer::whole(StatusCode::OK, Answered::Challenge, text).with(header::CONTENT_TYPE, text_type))
}
