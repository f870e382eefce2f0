//! The end of a spool: verification of its bytes, and the verified result.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use oci::Digest;
use tokio::sync::OwnedSemaphorePermit;

use super::backing::{Backing, Work};
use super::{HASH_TURN_BYTES, Spool};
use crate::content::{OpenBlob, Validator};
use crate::error::VerifyError;
use crate::growth::{Refusal, Unfinished};

/// A spool whose bytes are complete and have the wanted digest. Only [`Spool::finish`] makes one.
#[derive(Debug)]
pub struct VerifiedSpool {
    spool: Arc<Spool>,
    size: u64,
    validator: Option<Validator>,
    /// Held until the blob is stored; `None`: its backing does not count the waiting blobs.
    place: Option<OwnedSemaphorePermit>,
}

/// The result of the first job after the writing has ended.
enum Ended {
    Verified(VerifiedSpool),
    /// Too many bytes are left to be read back. This was the content's validator before that.
    Unhashed(Option<Validator>),
}

impl Spool {
    /// Ends the writing: all of the `size` bytes must be there and have the digest.
    ///
    /// # Errors
    /// [`VerifyError::Incomplete`] leaves the spool as it is; after any other error it is deleted.
    pub async fn finish(self: Arc<Self>, size: u64) -> Result<VerifiedSpool, VerifyError> {
        if !self.backing.runs_inline(Work::Finish) {
            return self.finish_in_jobs(size).await;
        }
        let validator = self.end_writing(size)?;
        let mut verified = Arc::clone(&self).conclude(size, validator)?;
        // Verified bytes are moved to a file before a client gets any, so that the end of the process takes
        // nothing away that a client was given. No sync is waited for; if the disk fails, the bytes stay in
        // memory.
        verified.place = Arc::clone(&self.backing).secure().await;
        verified.validator = verified.content().validator();
        Ok(verified)
    }

    async fn finish_in_jobs(self: Arc<Self>, size: u64) -> Result<VerifiedSpool, VerifyError> {
        let end = move |spool: &Arc<Self>| {
            let validator = spool.end_writing(size)?;
            if spool.backlog_bytes() > HASH_TURN_BYTES {
                return Ok(Ended::Unhashed(validator));
            }
            Arc::clone(spool).conclude(size, validator).map(Ended::Verified)
        };
        let validator = match self.run(Work::Finish, end).await? {
            Ended::Verified(verified) => return Ok(verified),
            Ended::Unhashed(validator) => validator,
        };
        // `conclude` reports what cannot be read.
        let _ = self.hash_in_turns().await;
        self.run(Work::Finish, move |spool| Arc::clone(spool).conclude(size, validator)).await
    }

    /// Ends the writing. Returns the validator of the content as it is now.
    fn end_writing(&self, size: u64) -> Result<Option<Validator>, VerifyError> {
        match self.growth.finish(size) {
            Ok(()) => {}
            Err(Unfinished::Closed) => return Err(self.refused("finish", Refusal::Closed).into()),
            Err(Unfinished::Incomplete { missing }) => return Err(VerifyError::Incomplete { size, missing }),
            Err(Unfinished::TooLong { end }) => {
                self.backing.delete();
                return Err(VerifyError::TooLong { size, end });
            }
        }
        self.backing.cut_to(size).inspect_err(|_| self.backing.delete())?;
        // Taken after the last write and before any byte is read back, so that a later change shows.
        Ok(self.verified(size).validator())
    }

    /// Hashes the rest and compares the digest.
    fn conclude(
        self: Arc<Self>,
        size: u64,
        validator: Option<Validator>,
    ) -> Result<VerifiedSpool, VerifyError> {
        let mut front = self.lock_front();
        let hashed = self.catch_up(&mut front, size);
        let found = front.hasher().finish();
        drop(front);
        hashed.inspect_err(|_| self.backing.delete())?;
        if found != self.wanted {
            self.backing.delete();
            return Err(VerifyError::Mismatch { wanted: self.wanted.clone(), found });
        }
        Ok(VerifiedSpool { spool: self, size, validator, place: None })
    }

    /// The content, whose `size` bytes are all written.
    fn verified(&self, size: u64) -> OpenBlob {
        OpenBlob::verified(Arc::clone(&self.backing).source(), size)
    }
}

impl VerifiedSpool {
    /// The verified content.
    pub fn content(&self) -> OpenBlob {
        self.spool.verified(self.size)
    }

    /// The digest that it has.
    pub fn digest(&self) -> &Digest {
        &self.spool.wanted
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Deletes the blob, which is not to be stored; readers that have it open can finish.
    pub async fn discard(self) {
        let delete = |spool: &Arc<Spool>| {
            spool.backing.delete();
            Ok(())
        };
        self.spool.end("discard", Work::Delete, delete).await;
    }

    /// The validator of the verified content, under whatever name; `None`: as for [`OpenBlob::validator`].
    pub fn validator(&self) -> Option<Validator> {
        self.validator
    }

    /// Takes the blob's place among those that wait to be stored. The caller holds it until the blob is
    /// stored.
    pub(crate) fn take_place(&mut self) -> Option<OwnedSemaphorePermit> {
        self.place.take()
    }

    /// Reads `len` bytes at `offset`, where blocking is allowed.
    pub(crate) fn read_back(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let rest = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.spool.backing.read_back(offset, len.min(rest))
    }

    /// The backing with its bytes, if it is a `B`.
    pub(crate) fn backing<B: Backing>(&self) -> Option<&B> {
        self.spool.backing.as_any().downcast_ref()
    }
}
