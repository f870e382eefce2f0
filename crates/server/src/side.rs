//! The interface of services that have their own listener beside the public one.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;

/// A service with its own listener. The server accepts, limits, times, counts and drains its connections as
/// it does for clients that pull.
#[async_trait]
pub trait SideService: fmt::Debug + Send + Sync {
    /// Answers one request. The content is in memory; a `Content-Length`, if present, must be right.
    async fn answer(&self, request: Request<Incoming>) -> Response<Bytes>;
}
