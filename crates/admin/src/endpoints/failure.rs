//! The errors of the endpoints about images, in one JSON form: `{"error": {"code": ..., "message": ...}}`.

use archive::ImportError;
use cache::{PullError, RefreshError};
use http::{Response, StatusCode};
use inventory::{PinError, PurgeError};
use oci::Digest;
use serde::Serialize;
use telemetry::error_chain;

use crate::places::Place;
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

    /// `served` are the names of the registries that wharf serves.
    pub(super) fn unknown_registry(name: &str, served: &[String]) -> Self {
        let message = format!("wharf serves no registry {name:?}; it serves {}", served.join(", "));
        Self { status: StatusCode::NOT_FOUND, code: "unknown_registry", message }
    }

    /// `repository` is the image's, with its registry.
    pub(super) fn unknown_image(image: &str, repository: &str) -> Self {
        let message = format!(
            "wharf does not hold {image}; `wharf list {repository}` shows what it holds of that repository"
        );
        Self { status: StatusCode::NOT_FOUND, code: "unknown_image", message }
    }

    /// A change of a pin by tag needs the digest, which is not known here.
    pub(super) fn unknown_tag(image: &str, is_pinned: bool) -> Self {
        let message = match is_pinned {
            true => format!(
                "wharf does not hold {image}, so it does not know which image to pin; pull it first, or name it \
                 by its digest"
            ),
            false => format!(
                "wharf does not hold {image}, so it does not know which pin to take back; name the image by its \
                 digest, as `wharf list --pinned` shows it"
            ),
        };
        Self { status: StatusCode::NOT_FOUND, code: "unknown_image", message }
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
        let message = "wharf has just started and does not know all stored images yet; try again in a moment";
        Self { status: StatusCode::CONFLICT, code: "not_ready", message: message.to_owned() }
    }

    pub(super) fn import(error: &ImportError) -> Self {
        let (status, code) = match error {
            ImportError::Source(_) | ImportError::Archive(_) | ImportError::Bound(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid_archive")
            }
            ImportError::NoRoom(_) => (StatusCode::INSUFFICIENT_STORAGE, "no_room"),
            ImportError::Target(_) => (StatusCode::NOT_FOUND, "unknown_registry"),
            ImportError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
        };
        Self { status, code, message: error.to_string() }
    }

    pub(super) fn purge(image: &str, error: &PurgeError) -> Self {
        let (status, code) = match error {
            PurgeError::NotReady => return Self::not_ready(),
            PurgeError::NotHeld => (StatusCode::NOT_FOUND, "unknown_image"),
            PurgeError::Part(_) => (StatusCode::CONFLICT, "part_of_index"),
            PurgeError::Pinned(_) => (StatusCode::CONFLICT, "pinned"),
            PurgeError::Busy | PurgeError::Used => (StatusCode::CONFLICT, "in_use"),
            PurgeError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
        };
        Self { status, code, message: format!("{image} was not removed: {}", error_chain(error)) }
    }

    pub(super) fn store(error: &inventory::Failure) -> Self {
        let message = format!("the store failed: {}; the log has more", error_chain(error));
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "store_failed", message }
    }

    pub(super) fn pin(image: &str, error: &PinError) -> Self {
        let (status, code) = match error {
            PinError::NotReady => (StatusCode::CONFLICT, "not_ready"),
            PinError::Damaged => (StatusCode::CONFLICT, "pins_damaged"),
            PinError::TooMany => (StatusCode::CONFLICT, "too_many_pins"),
            PinError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
        };
        Self { status, code, message: format!("the pin of {image} was not changed: {}", error_chain(error)) }
    }

    /// `registry` is the name of the store with the pins.
    pub(super) fn pins(registry: &str, error: &PinError) -> Self {
        let failure = Self::pin(registry, error);
        Self { message: format!("{registry}: {}", error_chain(error)), ..failure }
    }

    /// A tag was not refreshed.
    pub(super) fn refresh(image: &str, registry: &str, error: &RefreshError) -> Self {
        let not_refreshed = |why: String| format!("{image} was not refreshed: {why}");
        let cause = match error {
            RefreshError::Pull(cause) => cause,
            RefreshError::NotWhole { .. } => {
                let message = not_refreshed(error_chain(error).to_string());
                return Self { status: StatusCode::BAD_GATEWAY, code: "incomplete", message };
            }
        };
        let (status, code, advice) = match cause {
            PullError::Offline => {
                let why = format!(
                    "{registry} is offline, so nothing is asked; `wharf offline` shows why, and takes it online"
                );
                return Self { status: StatusCode::CONFLICT, code: "offline", message: not_refreshed(why) };
            }
            PullError::Denied { .. } => {
                (StatusCode::BAD_GATEWAY, "denied", "check the login of the registry in the configuration")
            }
            PullError::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "too many requests wait for it; try again in a moment",
            ),
            _ => (StatusCode::BAD_GATEWAY, "upstream_unavailable", "what wharf holds stays; try again later"),
        };
        Self { status, code, message: not_refreshed(format!("{cause}; {advice}")) }
    }

    pub(super) fn prune(registry: &str, error: &PurgeError) -> Self {
        match error {
            PurgeError::Store(_) => {
                let message = format!("{registry}: {}; the log has more", error_chain(error));
                Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "store_failed", message }
            }
            _ => Self::not_ready(),
        }
    }

    /// An image that stays, for the reason that was found before.
    pub(super) fn kept(code: &'static str, message: String) -> Self {
        let status =
            if code == "store_failed" { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::CONFLICT };
        Self { status, code, message }
    }

    /// The upstream's manifest could not be stored.
    pub(super) fn not_stored(image: &str, digest: &Digest) -> Self {
        let message =
            format!("{image} names {digest} now, which could not be stored; the log has the reason");
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "store_failed", message }
    }

    /// A digest does not change, so there is nothing to ask.
    pub(super) fn digest_to_refresh(image: &str) -> Self {
        let message = format!("{image} names a digest, which never changes; name a tag");
        Self { status: StatusCode::BAD_REQUEST, code: "invalid_parameter", message }
    }

    /// The reason, for programs.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// The reason, for people.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// A switch was set and could not be noted for the next process.
    pub(super) fn not_noted(registry: &str, error: &storage::StoreError, is_in_force: bool) -> Self {
        let state =
            if is_in_force { "is offline until wharf stops, and not after" } else { "stays as it was" };
        let message = format!("{registry} {state}: its store cannot note the switch: {}", error_chain(error));
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "store_failed", message }
    }

    /// The failure as a document.
    pub(super) fn document(&self) -> serde_json::Value {
        serde_json::json!({ "error": { "code": self.code, "message": self.message } })
    }

    pub(super) fn answer(self) -> Response<String> {
        typed(self.status, "application/json", format!("{}\n", self.document()))
    }
}

/// The answer with a document that may be long, or with the failure.
pub(super) fn long_answer<T: Serialize>(result: Result<(T, Place), Failure>) -> Response<String> {
    let (document, place) = match result {
        Ok(made) => made,
        Err(failure) => return failure.answer(),
    };
    let text = serde_json::to_string(&document).expect("a document of strings and numbers can be written");
    drop(document);
    let mut answer = typed(StatusCode::OK, "application/json", text + "\n");
    answer.extensions_mut().insert(place);
    answer
}

/// The answer with this document, or with the failure.
pub(super) fn answer(result: Result<serde_json::Value, Failure>) -> Response<String> {
    match result {
        Ok(document) => typed(StatusCode::OK, "application/json", format!("{document}\n")),
        Err(failure) => failure.answer(),
    }
}
