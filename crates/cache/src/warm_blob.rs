//! Warming one blob: a fill without a client, which is repeated when it gave way to one.

use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Repository};
use telemetry::BypassReason;
use tokio::time::{Instant, sleep};

use crate::blobs::Blobs;
use crate::error::PullError;
use crate::fill::Fill;
use crate::grants::Content;
use crate::permits::PermitHolder;

/// The longest time without a new byte after which warming gives up, while clients take all permits or the
/// upstream asks for a pause.
const PATIENCE: Duration = Duration::from_secs(600);

/// The first wait for a permit; each further one is twice as long, up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_secs(1);

/// The longest of these waits.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The longest pause that warming waits for. A registry's quota for some hours is an error.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The reasons why a blob is not in the store after a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unwarmed {
    Pull(PullError),
    /// The store has no room for it.
    NoRoom,
    /// The store failed.
    NotStored,
}

/// Waits between attempts.
#[derive(Debug)]
pub(crate) struct Patience {
    wait: Duration,
    until: Instant,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { wait: WAIT_MIN, until: Instant::now() + PATIENCE }
    }

    /// Waits after an error that passes by itself.
    ///
    /// # Errors
    /// The error, if it does not or if the patience is over.
    pub(crate) async fn wait_after(&mut self, error: PullError) -> Result<(), PullError> {
        let wait = match &error {
            PullError::Overloaded => self.wait,
            PullError::Throttled { retry_after: Some(pause), .. } if *pause <= PAUSE_MAX => {
                self.wait.max(*pause)
            }
            _ => return Err(error),
        };
        if Instant::now() + wait > self.until {
            return Err(error);
        }
        sleep(wait).await;
        self.wait = (self.wait * 2).min(WAIT_MAX);
        Ok(())
    }
}

/// A fill that was started to warm the store. Unless it has ended, it stops when this is dropped, if no
/// client has joined it; its bytes stay.
struct Started(Arc<Fill>);

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.0.give_way());
    }
}

impl Blobs {
    /// Fetches a blob into the store without a client, or waits for the fill that already fetches it.
    /// Returns how many of its bytes were received from the upstream by the fills that this started: another
    /// task's fill counts where it was started. `progressed` gets the bytes of the blob that
    /// are here.
    ///
    /// # Errors
    /// [`Unwarmed`].
    pub(crate) async fn warm(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        mut progressed: impl FnMut(u64),
    ) -> Result<u64, Unwarmed> {
        let (mut received, mut patience) = (0, Patience::new());
        loop {
            if let Some(blob) = self.stored.open(digest).await {
                progressed(blob.size());
                self.grants.prove(Content::Blob, repository, digest).await.map_err(Unwarmed::Pull)?;
                return Ok(received.min(blob.size()));
            }
            self.refuse_suspect(digest).map_err(Unwarmed::Pull)?;
            let (fill, started) = self.begin_to_warm(repository, digest);
            let ended = fill.settled(&mut progressed).await;
            let fresh = fill.claims().received_bytes();
            received += if started.is_some() { fresh } else { 0 };
            match ended {
                // Without a client such a fill fails, whatever the upstream does.
                _ if fill.bypass() == Some(BypassReason::NoRoom) => return Err(Unwarmed::NoRoom),
                _ if fill.is_lost() => return Err(Unwarmed::NotStored),
                Ok(()) => {}
                Err(PullError::Store { .. }) => return Err(Unwarmed::NotStored),
                // The next fill asks that address; each one that is wrong too is noted, so there is an end.
                Err(PullError::DigestMismatch { has_other_address: true, .. }) => {}
                Err(error) => {
                    if fresh > 0 {
                        patience = Patience::new();
                    }
                    patience.wait_after(error).await.map_err(Unwarmed::Pull)?;
                }
            }
        }
    }

    /// Joins the fill for a blob without being its client, or starts one.
    fn begin_to_warm(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
    ) -> (Arc<Fill>, Option<Started>) {
        let transfer = self.transfer(repository, digest);
        let joined = self.fills.join_or_start(digest, repository, |writer| transfer.spawn(writer, None));
        let started = joined.is_first.then(|| Started(Arc::clone(&joined.fill)));
        (joined.fill, started)
    }
}
