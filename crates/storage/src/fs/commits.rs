//! How verified blobs get under their names, and how those that come at the same time share the syncs.
//!
//! A blob's bytes are durable before it has its name. The name is durable before anybody is told that the blob is
//! stored. Small blobs that wait at the same time take each of these steps together: a few are synced one by one, and
//! many with one sync of the file system, which takes hardly longer than that of one file. The names of some and the
//! bytes of those that came after them are made durable at once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::IoSlice;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::FsStore;
use super::collected::COLLECTED_BYTES_MAX;
use super::partial::Partial;
use super::together::Together;
use crate::error::StoreError;
use crate::open_blob::Signature;
use crate::publish::{self, Durability};
use crate::spool::VerifiedSpool;

/// How much of a blob from elsewhere is copied at once.
const COPY_BYTES: usize = 1024 * 1024;

/// So many files and directories are made durable with one sync of the file system. That also waits for what other
/// programs have written there, so a few are not worth it.
const TOGETHER_COUNT_MIN: usize = 8;

/// What is told in the end: the signature of the file, if there is one.
type Told = Result<Option<Signature>, StoreError>;
type Tell = oneshot::Sender<Told>;

/// What one who waits is told.
struct Reply(Tell, Told);

/// Blobs that wait to be stored.
pub(super) type Commits = Together<Commit>;

/// One blob on its way to a durable name.
#[derive(Debug)]
pub(super) struct Commit {
    step: Step,
    tell: Tell,
}

#[derive(Debug)]
enum Step {
    /// Its bytes are in a file that has no name yet.
    Unnamed(VerifiedSpool),
    Named(Named),
}

/// A blob that has its name, in this directory.
#[derive(Debug)]
struct Named {
    directory: PathBuf,
    file: Arc<File>,
    signature: Option<Signature>,
    /// Given back when its name is durable.
    _place: Option<OwnedSemaphorePermit>,
}

impl FsStore {
    pub(super) async fn commit(&self, blob: VerifiedSpool) -> Result<Option<Signature>, StoreError> {
        let own = blob.partial().filter(|partial| Arc::ptr_eq(partial.root(), &self.workshop.root));
        let step = match own {
            None => {
                let (store, target) = (self.clone(), self.root().layout().blob(blob.digest()));
                let copy = move || store.blobs.change(blob.digest(), None, || store.copy(&blob, &target));
                return self.jobs().write(copy).await.map(|()| None);
            }
            // Elsewhere each sync may wait for another machine, so they are better done side by side.
            Some(_) if blob.size() <= COLLECTED_BYTES_MAX && self.workshop.access.is_local => {
                Step::Unnamed(blob)
            }
            Some(_) => {
                let store = self.clone();
                let mut blob = blob;
                let name = move || {
                    own_file(&blob).sync_content()?;
                    store.name(&mut blob).map(Step::Named)
                };
                self.jobs().write(name).await?
            }
        };
        let (tell, told) = oneshot::channel();
        let store = self.clone();
        let lead = |turn| {
            let jobs = self.jobs().clone();
            async move {
                let commit = move || {
                    let replies = store.commit_all();
                    // Whoever is told last may want to open the root anew.
                    drop((store, turn));
                    replies.into_iter().for_each(Reply::send);
                    Ok::<_, StoreError>(())
                };
                jobs.write(commit).await
            }
        };
        let told = self.commits.add(Commit { step, tell }, told, lead).await;
        // Who was to tell may have gone without a word.
        told.unwrap_or_else(|| Err(StoreError::os("fsync", Path::new(""), Errno::CANCELED)))
    }

    /// Stores all that waits, and what comes meanwhile. To be called by the one who has the lead, who is to send the last
    /// replies.
    fn commit_all(&self) -> Vec<Reply> {
        let (mut named, mut replies): (Vec<(Named, Tell)>, Vec<Reply>) = Default::default();
        loop {
            let mut unnamed = Vec::new();
            for Commit { step, tell } in self.commits.take() {
                match step {
                    Step::Unnamed(blob) => unnamed.push((blob, tell)),
                    Step::Named(done) => named.push((done, tell)),
                }
            }
            if unnamed.is_empty() && named.is_empty() {
                return replies;
            }
            let is_synced = self.sync_together(&unnamed, &named);
            replies.extend(self.conclude(mem::take(&mut named), is_synced.as_ref()));
            if !unnamed.is_empty() {
                replies.drain(..).for_each(Reply::send);
            }
            let unnamed = self.sync_contents(unnamed, is_synced.as_ref(), &mut replies);
            self.make_directories(&unnamed);
            for (mut blob, tell) in unnamed {
                match self.name(&mut blob) {
                    Ok(done) => named.push((done, tell)),
                    Err(error) => replies.push(Reply(tell, Err(error))),
                }
            }
        }
    }

    /// Makes all of these durable with one sync, if they are many. None: they are not, or it is not possible here.
    fn sync_together(
        &self,
        unnamed: &[(VerifiedSpool, Tell)],
        named: &[(Named, Tell)],
    ) -> Option<Result<(), StoreError>> {
        if unnamed.len() + named.len() < TOGETHER_COUNT_MIN || !self.workshop.access.syncs_together {
            return None;
        }
        // All are files of one directory, or were, and of one file system therefore.
        let file = match (unnamed.first(), named.first()) {
            (Some((blob, _)), _) => own_file(blob).file(),
            (None, Some((named, _))) => &named.file,
            (None, None) => return None,
        };
        match self.root().disk().sync_file_system(file, self.root().layout().root()) {
            // The kernel, or whoever filters its calls, knows no such thing.
            Err(error) if [Errno::NOSYS, Errno::PERM, Errno::INVAL].iter().any(|errno| error.is(*errno)) => {
                None
            }
            synced => Some(synced),
        }
    }

    /// Makes the names durable, if that was not done together. Returns what those who wait for it are told.
    fn conclude(&self, named: Vec<(Named, Tell)>, synced: Option<&Result<(), StoreError>>) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(named.len());
        let mut by_directory: BTreeMap<PathBuf, Vec<_>> = BTreeMap::new();
        for (Named { directory, signature, .. }, tell) in named {
            by_directory.entry(directory).or_default().push((signature, tell));
        }
        for (directory, all) in by_directory {
            let own = synced.is_none().then(|| self.root().disk().sync_directory(&directory));
            let synced = synced.or(own.as_ref()).expect("one of the two was done");
            for (signature, tell) in all {
                replies.push(Reply(tell, synced.as_ref().map(|()| signature).map_err(StoreError::copy)));
            }
        }
        replies
    }

    /// Makes the bytes durable, if that was not done together. Returns the blobs that may get their names.
    fn sync_contents(
        &self,
        unnamed: Vec<(VerifiedSpool, Tell)>,
        synced: Option<&Result<(), StoreError>>,
        replies: &mut Vec<Reply>,
    ) -> Vec<(VerifiedSpool, Tell)> {
        let mut durable = Vec::with_capacity(unnamed.len());
        for (blob, tell) in unnamed {
            let synced = match synced {
                Some(Ok(())) => Ok(()),
                Some(Err(error)) => {
                    // As after any sync that failed: another one might succeed and be a lie.
                    own_file(&blob).delete();
                    Err(error.copy())
                }
                None => own_file(&blob).sync_content(),
            };
            match synced {
                Ok(()) => durable.push((blob, tell)),
                Err(error) => replies.push(Reply(tell, Err(error))),
            }
        }
        durable
    }

    /// Makes the directories that these blobs' names need. What fails is told when a name is given.
    fn make_directories(&self, blobs: &[(VerifiedSpool, Tell)]) {
        let targets: Vec<_> =
            blobs.iter().map(|(blob, _)| self.root().layout().blob(blob.digest())).collect();
        let _ = self.root().make_directories(targets.iter().filter_map(|target| target.parent()));
    }

    /// Gives a blob with durable bytes its name, which is not durable yet.
    fn name(&self, blob: &mut VerifiedSpool) -> Result<Named, StoreError> {
        let place = blob.take_place();
        let target = self.root().layout().blob(blob.digest());
        let partial = own_file(blob);
        self.blobs.change(blob.digest(), None, || partial.publish(&target))?;
        let now = partial.signature(blob.size());
        let signature =
            now.filter(|now| blob.signature().is_some_and(|verified| now.has_bytes_of(&verified)));
        let directory = target.parent().expect("a blob lies in a directory").to_owned();
        Ok(Named { directory, file: Arc::clone(partial.file()), signature, _place: place })
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

/// The file of a blob that is known to be in one of this store's.
fn own_file(blob: &VerifiedSpool) -> &Arc<Partial> {
    blob.partial().expect("what has gone into a file stays there")
}

impl Reply {
    fn send(self) {
        // Nobody may wait for it any more.
        let _ = self.0.send(self.1);
    }
}
