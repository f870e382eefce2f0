//! `GET /livez` and `GET /readyz`, with the same status as on the public listener. Readiness names the
//! stores that cannot be written.

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
    let (status, message) = health::ready(parts.shutdown.is_cancelled(), &parts.control.snapshot(), true);
    text(status, message)
}
