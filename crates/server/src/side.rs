//! What a listener beside the public one serves.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;

/// A service with a listener of its own. It gets connections that are accepted, seated, timed and counted like those of
/// clients that pull, and ended with them.
#[async_trait]
pub trait SideService: fmt::Debug + Send + Sync {
    /// Answers one request. The answer's content is in memory, and its `Content-Length`, if it has one, is right.
    async fn answer(&self, request: Request<Incoming>) -> Response<Bytes>;
}
