//! The end of a spool: the verdict on its bytes, and what is then known to be right.

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

/// A spool whose bytes are complete and have the digest they were asked by. Only [`Spool::finish`] makes one.
#[derive(Debug)]
pub struct VerifiedSpool {
    spool: Arc<Spool>,
    size: u64,
    validator: Option<Validator>,
    /// Held until it is stored, where places are counted.
    place: Option<OwnedSemaphorePermit>,
}

/// How far one job has brought a spool whose writing is over.
enum Ended {
    Verified(VerifiedSpool),
    /// Too much is left to be read back. The content had this validator before.
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
        // What is right is secured before anybody hears of it, so that the end of the process takes nothing away that a
        // client was given. The disk is not waited for; if it takes nothing, the bytes stay where they are.
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
        // The conclusion tells what cannot be read.
        let _ = self.hash_in_turns().await;
        self.run(Work::Finish, move |spool| Arc::clone(spool).conclude(size, validator)).await
    }

    /// Takes no more. Gives the validator of the content as it is now.
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
        // Taken when the last byte is written and before any is read back, so that a change from then on shows.
        Ok(self.verified(size).validator())
    }

    /// The verdict on what is there.
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

    /// The content, whose `size` bytes are all there.
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

    /// The validator of the content that was verified, under whatever name; `None`: as [`OpenBlob::validator`].
    pub fn validator(&self) -> Option<Validator> {
        self.validator
    }

    /// Takes its place among the blobs that wait to be stored, to be held until it is stored.
    pub(crate) fn take_place(&mut self) -> Option<OwnedSemaphorePermit> {
        self.place.take()
    }

    /// Reads `len` bytes at `offset`, where blocking is allowed.
    pub(crate) fn read_back(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let rest = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.spool.backing.read_back(offset, len.min(rest))
    }

    /// The backing that has its bytes, if that is a `B`.
    pub(crate) fn backing<B: Backing>(&self) -> Option<&B> {
        self.spool.backing.as_any().downcast_ref()
    }
}
