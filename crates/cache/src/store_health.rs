//! Whether a store can be written: tried now and then, so that an operator learns of a full disk before the
//! next pull does.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use storage::{Store, StoreError, StoreErrorKind};
use telemetry::RegistryMetrics;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A store that can be written is tried so often.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// A store that cannot be written is tried so often, so that its recovery is noticed soon.
const CHECK_AGAIN: Duration = Duration::from_secs(5);

/// A write that takes longer counts as failed. A disk that syncs much may take seconds.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);

/// The reasons why a store cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteTrouble {
    /// No space, no inodes or no quota left.
    Full,
    /// The file system refuses writes.
    ReadOnly,
    /// The process lacks permission.
    Denied,
    /// The volume is not mounted, or the store was removed.
    Gone,
    /// A write does not end.
    Hangs,
    /// Any other failure.
    Fails,
}

impl WriteTrouble {
    /// The reason in a few words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "disk full",
            Self::ReadOnly => "read-only file system",
            Self::Denied => "permission denied",
            Self::Gone => "directory gone",
            Self::Hangs => "disk does not answer",
            Self::Fails => "I/O error",
        }
    }

    /// The remedy, for an operator whose command failed because of it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Full => "free space there, with `wharf prune`, `wharf purge` or a lower max_size",
            Self::ReadOnly => "mount it writable",
            Self::Denied => "let wharf's user write there",
            Self::Gone => "mount its volume, or restore it",
            Self::Hangs | Self::Fails => "wharf's log has the failed call; check the disk",
        }
    }

    fn of(error: &StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Full => Self::Full,
            StoreErrorKind::ReadOnly => Self::ReadOnly,
            StoreErrorKind::Denied => Self::Denied,
            StoreErrorKind::MissingRoot => Self::Gone,
            _ => Self::Fails,
        }
    }
}

impl fmt::Display for WriteTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The last failed call of one store, for a command that failed because of it. A backend that succeeds
/// another after a reload takes it over.
#[derive(Debug, Default)]
pub(crate) struct LastFailure(Mutex<Option<(Instant, WriteTrouble)>>);

impl LastFailure {
    pub(crate) fn note(&self, error: &StoreError) {
        *self.0.lock() = Some((Instant::now(), WriteTrouble::of(error)));
    }

    /// The reason for the last failure, if it was not before that moment.
    pub(crate) fn since(&self, moment: Instant) -> Option<WriteTrouble> {
        self.0.lock().filter(|(failed_at, _)| *failed_at >= moment).map(|(_, trouble)| trouble)
    }
}

/// The health of one store. A backend that succeeds another after a reload takes it over.
#[derive(Debug, Default)]
pub struct StoreHealth(Mutex<Option<WriteTrouble>>);

impl StoreHealth {
    /// The reason why the store cannot be written, as of the last trial; `None`: it can, or was not tried.
    pub fn trouble(&self) -> Option<WriteTrouble> {
        *self.0.lock()
    }

    /// Tries the store of this registry until `cancel`. Logs and counts each change once.
    pub async fn watch(
        self: Arc<Self>,
        registry: String,
        store: Arc<dyn Store>,
        metrics: Arc<RegistryMetrics>,
        cancel: CancellationToken,
    ) {
        let watch = async {
            loop {
                self.check(&registry, &*store, &metrics).await;
                let pause = if self.trouble().is_some() { CHECK_AGAIN } else { CHECK_EVERY };
                tokio::time::sleep(pause).await;
            }
        };
        let _: Option<()> = cancel.run_until_cancelled(watch).await;
    }

    async fn check(&self, registry: &str, store: &dyn Store, metrics: &RegistryMetrics) {
        let mut trial = pin!(store.try_write());
        let ended = match tokio::time::timeout(WRITE_WAIT_MAX, &mut trial).await {
            Ok(ended) => ended,
            Err(_) => {
                self.note(registry, Some(WriteTrouble::Hangs), "a write takes too long", metrics);
                // No second write until this one has ended.
                trial.await
            }
        };
        match ended {
            Ok(()) => self.note(registry, None, "", metrics),
            Err(error) => {
                let trouble = WriteTrouble::of(&error);
                self.note(registry, Some(trouble), &error.to_string(), metrics);
            }
        }
    }

    fn note(&self, registry: &str, now: Option<WriteTrouble>, error: &str, metrics: &RegistryMetrics) {
        metrics.store_writable(now.is_none());
        let before = std::mem::replace(&mut *self.0.lock(), now);
        match now {
            _ if before == now => {}
            Some(trouble) => warn!(
                registry,
                reason = trouble.as_str(),
                error,
                "the store cannot be written; stored content is served, and new content is passed through"
            ),
            None => info!(registry, "the store can be written again"),
        }
    }
}
