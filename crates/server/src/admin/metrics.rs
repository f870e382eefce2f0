//! `GET /metrics`: the process's numbers, for a scraper.

use http::StatusCode;
use http::header::{self, HeaderValue};
use telemetry::{Answered, EXPOSITION_TYPE};

use super::Admin;
use crate::respond::Answer;

pub(super) fn answer(admin: &Admin) -> Answer {
    Answer::whole(StatusCode::OK, Answered::Admin, admin.metrics.encode())
        .with(header::CONTENT_TYPE, HeaderValue::from_static(EXPOSITION_TYPE))
}
