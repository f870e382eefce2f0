//! `GET /livez` and `GET /readyz`: the same words as on the public listener.

use std::sync::Arc;

use axum::extract::State;
use http::Response;
use server::health;

use crate::parts::Parts;
use crate::text::text;

pub(super) async fn live() -> Response<String> {
    let (status, told) = health::live();
    text(status, told)
}

pub(super) async fn ready(State(parts): State<Arc<Parts>>) -> Response<String> {
    let (status, told) = health::ready(parts.shutdown.is_cancelled());
    text(status, told)
}
