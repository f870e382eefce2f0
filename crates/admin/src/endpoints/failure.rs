//! The errors of the endpoints about images, in one JSON form: `{"error": {"code": ..., "message": ...}}`.

use http::{Response, StatusCode};
use inventory::{PinError, PurgeError};
use telemetry::error_chain;

use crate::text::typed;

/// The reason why a request failed.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    /// For programs.
    code: &'static str,
    /// For people.
    message: String,
}

impl Failure {
    /// A parameter of the query is missing or wrong.
    pub(super) fn parameter(name: &str, wrong: impl std::fmt::Display) -> Self {
        let message = format!("{name}: {wrong}");
        Self { status: StatusCode::BAD_REQUEST, code: "invalid_parameter", message }
    }

    pub(super) fn unknown_registry(name: &str) -> Self {
        let message = format!("no registry has the name {name:?}; /api/registries lists the served ones");
        Self { status: StatusCode::NOT_FOUND, code: "unknown_registry", message }
    }

    pub(super) fn unknown_image(image: &str) -> Self {
        let message = format!("the store does not hold the image {image}");
        Self { status: StatusCode::NOT_FOUND, code: "unknown_image", message }
    }

    pub(super) fn pinned(image: &str) -> Self {
        let message = format!("{image} is pinned; remove its pin first");
        Self { status: StatusCode::CONFLICT, code: "pinned", message }
    }

    pub(super) fn busy() -> Self {
        let message = "as many of these requests as wharf takes are in progress; try again later".to_owned();
        Self { status: StatusCode::TOO_MANY_REQUESTS, code: "busy", message }
    }

    pub(super) fn not_offered() -> Self {
        let message = "this server does not offer this".to_owned();
        Self { status: StatusCode::NOT_FOUND, code: "not_offered", message }
    }

    pub(super) fn not_ready() -> Self {
        let message = "wharf does not know all stored images yet; try again in a moment".to_owned();
        Self { status: StatusCode::CONFLICT, code: "not_ready", message }
    }

    pub(super) fn purge(error: &PurgeError) -> Self {
        let (status, code) = match error {
            PurgeError::NotReady => (StatusCode::CONFLICT, "not_ready"),
            PurgeError::NotRemoved => (StatusCode::CONFLICT, "in_use"),
            PurgeError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
        };
        Self { status, code, message: error_chain(error).to_string() }
    }

    pub(super) fn pin(error: &PinError) -> Self {
        let (status, code) = match error {
            PinError::NotReady => (StatusCode::CONFLICT, "not_ready"),
            PinError::Damaged => (StatusCode::CONFLICT, "pins_damaged"),
            PinError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
        };
        Self { status, code, message: error_chain(error).to_string() }
    }

    pub(super) fn answer(self) -> Response<String> {
        let document = serde_json::json!({ "error": { "code": self.code, "message": self.message } });
        typed(self.status, "application/json", format!("{document}\n"))
    }
}

/// The answer with this document, or with the failure.
pub(super) fn answer(result: Result<serde_json::Value, Failure>) -> Response<String> {
    match result {
        Ok(document) => typed(StatusCode::OK, "application/json", format!("{document}\n")),
        Err(failure) => failure.answer(),
    }
}
