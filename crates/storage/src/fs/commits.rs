//! How verified blobs get under their names, and how many of them share the syncs of directories.
//!
//! A blob's bytes are durable before it has its name. The name is durable before anybody is told that the blob is
//! stored; names that wait for that at the same time are made durable together, each directory once.

use std::collections::HashMap;
use std::io::IoSlice;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use tokio::sync::oneshot;

use super::FsStore;
use super::root::Root;
use crate::error::StoreError;
use crate::open_blob::Signature;
use crate::publish::{self, Durability};
use crate::spool::VerifiedSpool;

/// How much of a blob from elsewhere is copied at once.
const COPY_BYTES: usize = 1024 * 1024;

type Told = Result<(), StoreError>;

/// Directories with names that wait to be made durable.
#[derive(Debug, Default)]
pub(super) struct SyncGroup {
    waiting: Mutex<Vec<(PathBuf, oneshot::Sender<Told>)>>,
    /// Held by the one who makes them durable.
    lead: Arc<tokio::sync::Mutex<()>>,
}

/// A blob that has its name.
struct Named {
    signature: Option<Signature>,
    /// Tells when the name is durable; none: it is.
    durable: Option<oneshot::Receiver<Told>>,
}

impl FsStore {
    pub(super) async fn commit(&self, blob: VerifiedSpool) -> Result<Option<Signature>, StoreError> {
        let store = self.clone();
        let name = move || {
            let mut named = Named { signature: None, durable: None };
            let admit = || store.name_now(&blob).map(|done| named = done);
            store.blobs.change(blob.digest(), None, admit)?;
            if named.durable.is_some() {
                store.syncs.try_lead(store.root());
            }
            Ok::<_, StoreError>(named)
        };
        let Named { signature, durable } = self.jobs().write(name).await?;
        if let Some(durable) = durable {
            self.wait_until_durable(durable).await?;
        }
        Ok(signature)
    }

    fn name_now(&self, blob: &VerifiedSpool) -> Result<Named, StoreError> {
        let target = self.root().layout().blob(blob.digest());
        let own = blob.partial().filter(|partial| Arc::ptr_eq(partial.root(), &self.workshop.root));
        let Some(partial) = own else {
            self.copy(blob, &target)?;
            return Ok(Named { signature: None, durable: None });
        };
        partial.publish(&target)?;
        let now = partial.signature(blob.size());
        let signature =
            now.filter(|now| blob.signature().is_some_and(|verified| now.has_bytes_of(&verified)));
        let directory = target.parent().expect("a blob lies in a directory");
        Ok(Named { signature, durable: Some(self.syncs.join(directory)) })
    }

    /// Whoever finds that nobody makes directories durable does that for all who wait.
    async fn wait_until_durable(&self, mut durable: oneshot::Receiver<Told>) -> Result<(), StoreError> {
        tokio::select! {
            biased;
            told = &mut durable => return heard(told),
            turn = Arc::clone(&self.syncs.lead).lock_owned() => {
                let store = self.clone();
                let sync = move || {
                    store.syncs.sync_all(store.root());
                    drop(turn);
                    Ok::<_, StoreError>(())
                };
                self.jobs().write(sync).await?;
            }
        }
        heard(durable.await)
    }

    /// Publishes a blob whose bytes are elsewhere: in memory, or in another store.
    fn copy(&self, blob: &VerifiedSpool, target: &Path) -> Result<(), StoreError> {
        let content = blob.content();
        publish::written(self.root(), target, Durability::PowerLoss, |file, path| {
            let mut offset = 0;
            while offset < blob.size() {
                let read = content.read_blocking(offset, COPY_BYTES);
                let piece = read.map_err(|error| StoreError::io("pread", path, &error))?;
                if piece.is_empty() {
                    return Err(StoreError::os("pread", path, Errno::IO));
                }
                self.root().disk().write_all(file, path, &mut [IoSlice::new(&piece)], offset)?;
                offset += piece.len() as u64;
            }
            Ok(())
        })
    }
}

impl SyncGroup {
    /// Waits for `directory` to be made durable after this; somebody has to.
    fn join(&self, directory: &Path) -> oneshot::Receiver<Told> {
        let (tell, told) = oneshot::channel();
        self.waiting().push((directory.to_owned(), tell));
        told
    }

    /// Makes all that waits durable, unless somebody is at it. Where blocking is allowed.
    fn try_lead(&self, root: &Root) {
        if let Ok(_turn) = self.lead.try_lock() {
            self.sync_all(root);
        }
    }

    /// To be called by the one who has the lead.
    fn sync_all(&self, root: &Root) {
        let mut by_directory: HashMap<PathBuf, Vec<oneshot::Sender<Told>>> = HashMap::new();
        for (directory, tell) in mem::take(&mut *self.waiting()) {
            by_directory.entry(directory).or_default().push(tell);
        }
        for (directory, all) in by_directory {
            let synced = root.disk().sync_directory(&directory);
            for tell in all {
                // Nobody may wait for it any more.
                let _ = tell.send(synced.as_ref().copied().map_err(StoreError::copy));
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(PathBuf, oneshot::Sender<Told>)>> {
        // A list is whole between any two of its steps.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who was to tell may have gone without a word.
fn heard(told: Result<Told, oneshot::error::RecvError>) -> Result<(), StoreError> {
    told.unwrap_or_else(|_| Err(StoreError::os("fsync", Path::new(""), Errno::CANCELED)))
}

#[cfg(test)]
impl SyncGroup {
    /// Nobody makes anything durable until this is dropped.
    pub(super) async fn hold_the_lead(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.lead).lock_owned().await
    }

    pub(super) fn waiting_count(&self) -> usize {
        self.waiting().len()
    }
}
