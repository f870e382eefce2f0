//! The interface of services that have their own listener beside the public one.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::mpsc;

/// The content of an answer of a side service.
#[derive(Debug)]
pub enum SideContent {
    /// Bytes in memory; a `Content-Length`, if present, must be right.
    Whole(Bytes),
    /// Pieces, each sent when it comes, until the sender is dropped. The receiver is dropped when the client
    /// leaves.
    Streamed(mpsc::Receiver<Bytes>),
}

/// A service with its own listener. The server accepts, limits, times, counts and drains its connections as
/// it does for clients that pull.
#[async_trait]
pub trait SideService: fmt::Debug + Send + Sync {
    /// Answers one request.
    async fn answer(&self, request: Request<Incoming>) -> Response<SideContent>;
}
