//! `GET /livez` and `GET /readyz`, with the same answers as on the public listener.

use std::sync::Arc;

use axum::extract::State;
use http::Response;
use server::health;

use crate::parts::Parts;
use crate::text::text;

pub(super) async fn live() -> Response<String> {
    let (status, message) = health::live();
    text(status, message)
}

pub(super) async fn ready(State(parts): State<Arc<Parts>>) -> Response<String> {
    let (status, message) = health::ready(parts.shutdown.is_cancelled());
    text(status, message)
}
