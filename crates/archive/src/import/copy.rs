//! Copies one blob into a store, through its spool.

use std::io;
use std::sync::Arc;

use oci::Digest;
use storage::{Spool, StoreError, StoreErrorKind, VerifiedSpool, VerifyError};

use super::failure::ImportError;
use super::room::take_room;
use crate::content::{Content, PIECE_BYTES};
use crate::target::Target;

/// The outcome of a copy.
#[derive(Debug)]
pub(crate) enum Copied {
    Stored(Way),
    /// The bytes are not the blob, or cannot be read.
    Refused(String),
    /// A client's pull brings the blob into the store at this moment.
    Pulled,
}

/// The way of a blob into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Its bytes were written.
    Written,
    /// Its file shares the blocks of the source's file.
    Cloned,
}

/// A smaller file is copied: that is one write, and a clone takes several calls.
const CLONE_BYTES_MIN: u64 = 256 * 1024 + 1;

/// Copies content that should be the blob. Bytes that an interrupted copy left in the spool are not copied
/// again; if they are wrong, the copy starts anew.
///
/// # Errors
/// The store failed, or has no room.
pub(crate) async fn blob(target: &Target, digest: &Digest, content: &Content) -> Result<Copied, ImportError> {
    let size = content.size();
    let _room = take_room(target, digest, size).await?;
    // Clients may read ranges of a spool before its blob is whole. So nothing goes into it that may be wrong.
    match content.is_blob(digest).await {
        Ok(true) => {}
        Ok(false) => return Ok(Copied::Refused(format!("its bytes do not have the digest {digest}"))),
        Err(error) => return Ok(Copied::Refused(error.to_string())),
    }
    loop {
        if target.inventory.is_filling(digest) {
            return Ok(Copied::Pulled);
        }
        let spool = target.store().spool(digest).await?;
        let was_empty = spool.is_empty();
        let filled = fill(&spool, content).await;
        let way = *filled.as_ref().unwrap_or(&Way::Written);
        if let Err(error) = filled {
            match error {
                FillError::Source(error) => {
                    spool.discard().await;
                    return Ok(Copied::Refused(error.to_string()));
                }
                FillError::Store(error) if error.kind() == StoreErrorKind::Closed => {
                    return Ok(Copied::Pulled);
                }
                // What an earlier fill noted of the blob contradicts this content.
                FillError::Store(error) if error.kind() == StoreErrorKind::Size && !was_empty => {
                    spool.discard().await;
                    continue;
                }
                FillError::Store(error) => return Err(error.into()),
            }
        }
        match spool.clone().finish(size).await {
            Ok(verified) => return Ok(admit(target, verified, way).await?),
            Err(VerifyError::Store(error)) if error.kind() == StoreErrorKind::Closed => {
                return Ok(Copied::Pulled);
            }
            Err(VerifyError::Store(error)) => return Err(error.into()),
            // The bytes that were there may be the wrong ones. The spool was deleted.
            Err(_) if !was_empty => {
                spool.discard().await;
            }
            Err(error) => {
                spool.discard().await;
                return Ok(Copied::Refused(error.to_string()));
            }
        }
    }
}

/// Publishes a verified blob.
///
/// # Errors
/// The store failed.
async fn admit(target: &Target, verified: VerifiedSpool, way: Way) -> Result<Copied, StoreError> {
    let digest = verified.digest().clone();
    match target.store().admit(verified).await {
        Ok(_) => {
            target.inventory.blob_stored(&digest);
            Ok(Copied::Stored(way))
        }
        Err(error) if error.kind() == StoreErrorKind::Closed => Ok(Copied::Pulled),
        Err(error) => Err(error),
    }
}

enum FillError {
    Source(io::Error),
    Store(StoreError),
}

async fn fill(spool: &Arc<Spool>, content: &Content) -> Result<Way, FillError> {
    let size = content.size();
    spool.set_size(size).map_err(FillError::Store)?;
    if let Content::File(file, _) | Content::Own(file, _) = content
        && size >= CLONE_BYTES_MIN
        && spool.share(Arc::clone(file), size).await.map_err(FillError::Store)?
    {
        let is_the_source = matches!(content, Content::File(..));
        return Ok(if is_the_source { Way::Cloned } else { Way::Written });
    }
    for gap in spool.gaps(size) {
        let mut start = gap.start;
        while start < gap.end {
            let len = usize::try_from(gap.end - start).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let piece = content.read(start, len).await.map_err(FillError::Source)?;
            if piece.is_empty() {
                return Err(FillError::Source(io::Error::other("the file became shorter while it was read")));
            }
            start += piece.len() as u64;
            spool.write(start - piece.len() as u64, vec![piece]).await.map_err(FillError::Store)?;
        }
    }
    Ok(Way::Written)
}
