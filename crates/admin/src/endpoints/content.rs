//! The JSON documents that requests have as their content.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use serde::de::DeserializeOwned;

use super::failure::Failure;
use crate::guard::CONTENT_BYTES_MAX;

/// The longest time in which the content must come.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Reads the document of a request. The guard has checked that its length is at most [`CONTENT_BYTES_MAX`].
///
/// # Errors
/// It did not come, or is not such a document.
pub(super) async fn read<T: DeserializeOwned>(content: Body) -> Result<T, Failure> {
    let bytes_max = usize::try_from(CONTENT_BYTES_MAX).unwrap_or(usize::MAX);
    let bytes = tokio::time::timeout(WAIT_MAX, to_bytes(content, bytes_max)).await;
    let bytes =
        bytes.ok().and_then(Result::ok).ok_or_else(|| Failure::parameter("content", "it did not come"))?;
    serde_json::from_slice(&bytes).map_err(|error| Failure::parameter("content", error))
}
