//! The interface of services that have their own listener beside the public one.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::clock::Clock;

/// The content of an answer of a side service.
#[derive(Debug)]
pub enum SideContent {
    /// Bytes in memory; a `Content-Length`, if present, must be right.
    Whole(Bytes),
    /// Pieces, each sent when it comes, until the sender is dropped. The receiver is dropped when the client
    /// leaves.
    Streamed(mpsc::Receiver<Bytes>),
    /// Pieces in the same way. An error breaks the connection, so that the client knows that content is
    /// missing.
    Breakable(mpsc::Receiver<io::Result<Bytes>>),
}

/// Lets a service say that it is at work on a request whose content is large. It is an extension of each
/// request.
#[derive(Clone, Debug)]
pub struct Working(pub(crate) Arc<Clock>);

impl Working {
    /// Says that content came, or that work on it goes on: the connection's deadline moves.
    pub fn goes_on(&self) {
        self.0.progressed();
    }
}

/// The bounds on the connections of a side service. The settings of the server have the others.
#[derive(Clone, Copy, Debug)]
pub struct SideBounds {
    /// Connections open at once. A further one is turned away.
    pub connection_count_max: usize,
    /// The time that a connection may be idle.
    pub idle_max: Duration,
}

/// A service with its own listener. The server accepts, limits, times, counts and drains its connections as
/// it does for clients that pull.
#[async_trait]
pub trait SideService: fmt::Debug + Send + Sync {
    /// Answers one request.
    async fn answer(&self, request: Request<Incoming>) -> Response<SideContent>;

    /// Answers one request on a connection above the limit, without work. The connection ends with the
    /// answer.
    async fn turn_away(&self, request: Request<Incoming>) -> Response<SideContent>;
}
