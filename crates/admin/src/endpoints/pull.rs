//! `POST /api/pull` and `POST /api/verify`: fetch images into the stores, or find out whether they are
//! complete.
//!
//! The content is a JSON object: `images` is a list of references, `platforms` a text such as
//! `linux/amd64,linux/arm64` or `all`, and `referrers` whether signatures and the like are fetched too. The
//! answer has one JSON document on each line.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use server::SideContent;
use tokio::sync::mpsc;

use super::content;
use super::failure::{Failure, answer};
use super::openapi::object;
use crate::image_work::{IMAGE_COUNT_MAX, ImageRequest, ImageWork};
use crate::parts::Parts;
use crate::streamed::{LINES_TYPE, Streamed};

pub(super) async fn pull(State(parts): State<Arc<Parts>>, content: Body) -> Response<String> {
    begin(&parts, content, |work, request| work.pull(request)).await
}

pub(super) async fn verify(State(parts): State<Arc<Parts>>, content: Body) -> Response<String> {
    begin(&parts, content, |work, request| work.verify(request)).await
}

async fn begin(
    parts: &Parts,
    content: Body,
    begin: impl FnOnce(&dyn ImageWork, ImageRequest) -> Option<mpsc::Receiver<Bytes>>,
) -> Response<String> {
    let Some(work) = &parts.image_work else { return answer(Err(Failure::not_offered())) };
    match read(content).await {
        Ok(request) => match begin(&**work, request) {
            Some(lines) => Streamed::answer(LINES_TYPE, SideContent::Streamed(lines)),
            None => answer(Err(Failure::busy())),
        },
        Err(failure) => answer(Err(failure)),
    }
}

async fn read(content: Body) -> Result<ImageRequest, Failure> {
    let Value::Object(members) = content::read(content).await? else {
        return Err(Failure::parameter("content", "expected a JSON object"));
    };
    let mut request = ImageRequest { images: Vec::new(), platforms: None, with_referrers: false };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("images", Value::Array(images)) => request.images = texts(images)?,
            ("platforms", Value::Null) => {}
            ("referrers", Value::Bool(with_referrers)) => request.with_referrers = with_referrers,
            ("platforms", Value::String(text)) => {
                let platforms = text.parse().map_err(|error| Failure::parameter("platforms", error))?;
                request.platforms = Some(platforms);
            }
            _ => {
                let wrong = "unknown, or of the wrong type; send images (a list of texts), platforms (a text) \
                             and referrers (true or false)";
                return Err(Failure::parameter(&name, wrong));
            }
        }
    }
    match request.images.len() {
        0 => Err(Failure::parameter("images", "name at least one")),
        1..=IMAGE_COUNT_MAX => Ok(request),
        _ => Err(Failure::parameter("images", format!("name at most {IMAGE_COUNT_MAX}"))),
    }
}

fn texts(values: Vec<Value>) -> Result<Vec<String>, Failure> {
    let text = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err(Failure::parameter("images", "each must be a text")),
    };
    values.into_iter().map(text).collect()
}

/// The schema of the content.
pub(super) fn schema() -> Value {
    let images =
        json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": IMAGE_COUNT_MAX });
    let platforms = "`all`, or platforms such as `linux/amd64,linux/arm64`.";
    let mut schema = object(&[
        ("images", images),
        ("platforms", json!({ "type": ["string", "null"], "description": platforms })),
        ("referrers", json!({ "type": "boolean", "description": "For a pull: with what is attached." })),
    ]);
    schema["required"] = json!(["images"]);
    schema
}
