//! A body from the upstream that can be ended from outside.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use upstream::Error;

/// A body from the upstream. It can be ended although no task reads it, because its client is slow.
pub(super) struct Body(Mutex<Option<BoxStream<'static, Result<Bytes, Error>>>>);

impl Body {
    pub(super) fn new(body: BoxStream<'static, Result<Bytes, Error>>) -> Self {
        Self(Mutex::new(Some(body)))
    }

    /// Drops the body, which closes its connection.
    pub(super) fn end(&self) {
        self.0.lock().take();
    }

    /// The next chunk. A body that was ended stays pending: its reader learns of the end from the switch.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match &mut *self.0.lock() {
            Some(body) => body.poll_next_unpin(context),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}
