//! Copies one blob into a store, through its spool.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::sync::Arc;

use oci::Digest;
use storage::{Spool, Store, StoreError, VerifyError};

use crate::blocking::{blocking, read_piece};

/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

/// The outcome of a copy.
pub(super) enum Copied {
    Stored,
    /// The source's bytes are not the blob, or cannot be read.
    Refused(String),
}

/// Copies a file of `size` bytes that should be the blob. Bytes that an interrupted copy left in the spool
/// are not copied again; if they are wrong, the copy starts anew.
///
/// # Errors
/// The store failed.
pub(super) async fn blob(
    store: &dyn Store,
    digest: &Digest,
    file: File,
    size: u64,
) -> Result<Copied, StoreError> {
    let file = Arc::new(file);
    loop {
        let spool = store.spool(digest).await?;
        let was_empty = spool.is_empty();
        if let Err(error) = fill(&spool, &file, size).await {
            match error {
                FillError::Source(error) => {
                    spool.discard().await;
                    return Ok(Copied::Refused(error.to_string()));
                }
                // What an earlier fill noted of the blob contradicts this file.
                FillError::Store(error) if error.kind() == storage::StoreErrorKind::Size && !was_empty => {
                    spool.discard().await;
                    continue;
                }
                FillError::Store(error) => return Err(error),
            }
        }
        match spool.clone().finish(size).await {
            Ok(verified) => {
                store.admit(verified).await?;
                return Ok(Copied::Stored);
            }
            Err(VerifyError::Store(error)) => return Err(error),
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

enum FillError {
    Source(io::Error),
    Store(StoreError),
}

async fn fill(spool: &Arc<Spool>, file: &Arc<File>, size: u64) -> Result<(), FillError> {
    spool.set_size(size).map_err(FillError::Store)?;
    for gap in spool.gaps(size) {
        let mut start = gap.start;
        while start < gap.end {
            let len = usize::try_from(gap.end - start).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let file = Arc::clone(file);
            let read = move || {
                let mut file = &*file;
                file.seek(SeekFrom::Start(start))?;
                read_piece(&mut file, len)
            };
            let piece = blocking(read).await.map_err(FillError::Source)?;
            if piece.is_empty() {
                return Err(FillError::Source(io::Error::other("the file became shorter while it was read")));
            }
            start += piece.len() as u64;
            spool.write(start - piece.len() as u64, vec![piece]).await.map_err(FillError::Store)?;
        }
    }
    Ok(())
}
