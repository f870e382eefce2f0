//! The end of a spool: the verdict on its bytes, and what is then known to be right.

use std::sync::Arc;

use oci::Digest;
use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

use super::growth::{Refusal, Unfinished};
use super::{Backing, HASH_TURN_BYTES, Spool};
use crate::error::{StoreError, VerifyError};
use crate::fs::jobs::Jobs;
use crate::fs::partial::Partial;
use crate::open_blob::{OpenBlob, Signature};

/// A spool whose bytes are complete and have the digest they were asked by. Only [`Spool::finish`] makes one.
#[derive(Debug)]
pub struct VerifiedSpool {
    spool: Arc<Spool>,
    size: u64,
    signature: Option<Signature>,
    /// Held until it is stored, where places are counted.
    place: Option<OwnedSemaphorePermit>,
}

/// How far one job has brought a spool whose writing is over.
enum Ended {
    Verified(VerifiedSpool),
    /// Too much is left to be read back. The file had this signature before.
    Unhashed(Option<Signature>),
}

impl Spool {
    /// Ends the writing: all of the `size` bytes must be there and have the digest.
    ///
    /// # Errors
    /// [`VerifyError::Incomplete`] leaves the spool as it is; after any other error it is deleted.
    pub async fn finish(self: Arc<Self>, size: u64) -> Result<VerifiedSpool, VerifyError> {
        let jobs = self.jobs().cloned();
        match (self.partial(), jobs) {
            (Some(_), Some(jobs)) => self.finish_on_file(size, &jobs).await,
            (None, Some(_)) => self.finish_collected(size).await,
            (_, None) => {
                self.end_writing(size)?;
                self.conclude(size, None)
            }
        }
    }

    async fn finish_on_file(self: Arc<Self>, size: u64, jobs: &Jobs) -> Result<VerifiedSpool, VerifyError> {
        let spool = Arc::clone(&self);
        let end = move || {
            let signature = spool.end_writing(size)?;
            if spool.backlog_bytes() > HASH_TURN_BYTES {
                return Ok(Ended::Unhashed(signature));
            }
            spool.conclude(size, signature).map(Ended::Verified)
        };
        let signature = match jobs.write(end).await? {
            Ended::Verified(verified) => return Ok(verified),
            Ended::Unhashed(signature) => signature,
        };
        // The conclusion tells what cannot be read.
        let _ = self.hash_in_turns().await;
        jobs.write(move || self.conclude(size, signature)).await
    }

    /// What is right goes into a file before anybody hears of it, so that the end of the process takes nothing away
    /// that a client was given. The disk is not waited for; if it takes nothing, the bytes stay in memory.
    async fn finish_collected(self: Arc<Self>, size: u64) -> Result<VerifiedSpool, VerifyError> {
        self.end_writing(size)?;
        let mut verified = Arc::clone(&self).conclude(size, None)?;
        if let Backing::Collected(collected) = &self.backing {
            verified.place = Some(collected.take_place().await);
        }
        if let Err(error) = self.settle_collected().await {
            debug!(digest = %self.wanted, %error, "could not write what was collected");
        }
        verified.signature = self.content().verified(size).signature();
        Ok(verified)
    }

    async fn settle_collected(&self) -> Result<(), StoreError> {
        match &self.backing {
            Backing::Collected(collected) => collected.settle_whole().await,
            Backing::File(_) | Backing::Memory(_) => Ok(()),
        }
    }

    /// Takes no more. Gives the signature of the file as it is now, if it is in one.
    fn end_writing(&self, size: u64) -> Result<Option<Signature>, VerifyError> {
        match self.growth.finish(size) {
            Ok(()) => {}
            Err(Unfinished::Closed) => return Err(self.refused("finish", Refusal::Closed).into()),
            Err(Unfinished::Incomplete { missing }) => return Err(VerifyError::Incomplete { size, missing }),
            Err(Unfinished::TooLong { end }) => {
                self.delete();
                return Err(VerifyError::TooLong { size, end });
            }
        }
        if let Some(partial) = self.partial()
            && let Err(error) = partial.cut_to(size)
        {
            self.delete();
            return Err(error.into());
        }
        // Taken when the last byte is written and before any is read back, so that a change from then on shows.
        Ok(self.content().verified(size).signature())
    }

    /// The verdict on what is there.
    fn conclude(
        self: Arc<Self>,
        size: u64,
        signature: Option<Signature>,
    ) -> Result<VerifiedSpool, VerifyError> {
        let mut front = self.lock_front();
        let hashed = self.catch_up(&mut front, size);
        let found = front.hasher().finish();
        drop(front);
        if let Err(error) = hashed {
            self.delete();
            return Err(error.into());
        }
        if found != self.wanted {
            self.delete();
            return Err(VerifyError::Mismatch { wanted: self.wanted.clone(), found });
        }
        Ok(VerifiedSpool { spool: self, size, signature, place: None })
    }
}

impl VerifiedSpool {
    /// The verified content.
    pub fn content(&self) -> OpenBlob {
        self.spool.content().verified(self.size)
    }

    /// The digest that it has.
    pub fn digest(&self) -> &Digest {
        &self.spool.wanted
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The signature of the file that was verified, under whatever name; none: as [`OpenBlob::signature`].
    pub fn signature(&self) -> Option<Signature> {
        self.signature
    }

    /// What counts it among those that are not stored yet, to be held until it is.
    pub(crate) fn take_place(&mut self) -> Option<OwnedSemaphorePermit> {
        self.place.take()
    }

    /// The file behind it; none: it is in memory.
    pub(crate) fn partial(&self) -> Option<&Arc<Partial>> {
        self.spool.partial()
    }
}
