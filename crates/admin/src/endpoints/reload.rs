//! `POST /api/reload`: reloads the configuration. The answer reports the result.

use std::sync::Arc;

use axum::extract::State;
use http::{Response, StatusCode};

use crate::parts::Parts;
use crate::reload::ReloadAnswer;
use crate::text::text;

pub(super) async fn reload(State(parts): State<Arc<Parts>>) -> Response<String> {
    let Some(reloads) = &parts.reloads else {
        return text(StatusCode::NOT_FOUND, "this server has no configuration to reload\n");
    };
    match reloads.request().await {
        Some(ReloadAnswer { is_success: true, text: report }) => text(StatusCode::OK, report),
        Some(ReloadAnswer { is_success: false, text: report }) => {
            text(StatusCode::UNPROCESSABLE_ENTITY, report)
        }
        None => text(StatusCode::SERVICE_UNAVAILABLE, "wharf is stopping\n"),
    }
}

pub(super) async fn refuse_method() -> Response<String> {
    text(StatusCode::METHOD_NOT_ALLOWED, "use POST to reload the configuration\n")
}
