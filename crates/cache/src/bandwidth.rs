//! The limits on bytes per second of one registry: from the upstream, and to clients.

use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use policy::rate::RateLimit;
use tokio::time::{Instant, Sleep};

/// The largest piece of a file that is sent at once under a limit, in bytes, so that clients take turns.
pub(crate) const LIMITED_PIECE_BYTES: u64 = 64 * 1024;

/// Both limits of a registry. A backend that succeeds another after a reload takes them over.
#[derive(Debug, Default)]
pub(crate) struct Bandwidths {
    /// For the bodies of all answers of the upstream together.
    pub(crate) upstream: Bandwidth,
    /// For the bodies of all answers to clients together.
    pub(crate) client: Bandwidth,
}

/// One limit, or none.
#[derive(Debug, Default)]
pub(crate) struct Bandwidth {
    is_on: AtomicBool,
    limit: Mutex<Option<RateLimit>>,
}

impl Bandwidth {
    /// Changes the limit.
    pub(crate) fn set(&self, rate: Option<NonZeroU64>) {
        let mut limit = self.limit.lock();
        match (&mut *limit, rate) {
            (Some(limit), Some(rate)) => limit.set(Instant::now().into_std(), rate),
            (limit, rate) => *limit = rate.map(RateLimit::new),
        }
        self.is_on.store(rate.is_some(), Ordering::Relaxed);
    }

    /// Whether there is a limit.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Takes bytes, and returns the time to wait before the flow takes more.
    pub(crate) fn take(&self, bytes: u64) -> Duration {
        if !self.is_on() {
            return Duration::ZERO;
        }
        let mut limit = self.limit.lock();
        limit.as_mut().map_or(Duration::ZERO, |limit| limit.take(Instant::now().into_std(), bytes))
    }

    /// Whether the limit makes flows wait now.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_on() && self.limit.lock().as_ref().is_some_and(|it| it.is_spent(Instant::now().into_std()))
    }
}

/// Slows an answer to a client down.
pub(crate) struct Throttle {
    bandwidths: Arc<Bandwidths>,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Throttle {
    /// A throttle for an answer, if clients have a limit.
    pub(crate) fn of(bandwidths: &Arc<Bandwidths>) -> Option<Box<Self>> {
        let throttle = || Box::new(Self { bandwidths: Arc::clone(bandwidths), wait: None });
        bandwidths.client.is_on().then(throttle)
    }

    /// Ready when the next bytes may be sent.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(context));
            self.wait = None;
        }
        Poll::Ready(())
    }

    /// Counts bytes that are sent now.
    pub(crate) fn sent(&mut self, bytes: u64) {
        let wait = self.bandwidths.client.take(bytes);
        self.wait = (!wait.is_zero()).then(|| Box::pin(tokio::time::sleep(wait)));
    }
}
