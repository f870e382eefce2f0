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

use oci::Digest;
use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::backings::file_of;
use super::batcher::Batcher;
use super::file_cache::FileCache;
use super::file_source::FileSource;
use super::jobs::Sort;
use super::partial::Partial;
use super::partial_files::PartialFiles;
use super::publish::{self, Durability};
use super::root::Root;
use super::take_up::COLLECTED_BYTES_MAX;
use crate::content::{OpenBlob, ReadAt, Validator};
use crate::error::StoreError;
use crate::spool::finish::VerifiedSpool;

/// How much of a blob from elsewhere is copied at once.
const COPY_BYTES: usize = 1024 * 1024;

/// From so many files and directories on, one sync of the file system makes them durable. It also waits for writes of
/// other programs, so for a few it is not worth it.
const TOGETHER_COUNT_MIN: usize = 8;

/// The outcome of a commit: the validator of the file, if there is one.
type Told = Result<Option<Validator>, StoreError>;
type Tell = oneshot::Sender<Told>;

/// The outcome of a commit and the one who waits for it.
struct Reply(Tell, Told);

/// How the blobs of one store get under their names. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Commits {
    partial_files: Arc<PartialFiles>,
    /// Small ones, open.
    blobs: Arc<FileCache<Digest, OpenBlob>>,
    /// Blobs that wait to be stored.
    pub(super) waiting: Arc<Batcher<Commit>>,
}

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
    file: Arc<FileSource>,
    validator: Option<Validator>,
    /// Given back when its name is durable.
    _place: Option<OwnedSemaphorePermit>,
}

impl Commits {
    pub(super) fn new(partial_files: Arc<PartialFiles>, blobs: Arc<FileCache<Digest, OpenBlob>>) -> Self {
        Self { partial_files, blobs, waiting: Arc::default() }
    }

    fn root(&self) -> &Root {
        &self.partial_files.root
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let commits = self.clone();
        self.partial_files.jobs().run(Sort::Write, move || work(&commits)).await
    }

    /// Stores a verified blob under its name.
    pub(super) async fn commit(&self, blob: VerifiedSpool) -> Told {
        let is_own =
            file_of(&blob).is_some_and(|file| Arc::ptr_eq(file.partial_files(), &self.partial_files));
        let step = if !is_own {
            return self.write(move |commits| commits.copy(&blob)).await.map(|()| None);
        } else if blob.size() <= COLLECTED_BYTES_MAX && self.partial_files.access.can.is_local {
            Step::Unnamed(blob)
        } else {
            // Elsewhere each sync may wait for another machine, so they are better done side by side.
            let mut blob = blob;
            let name = move |commits: &Self| {
                own_file(&blob).sync_content()?;
                commits.name(&mut blob).map(Step::Named)
            };
            self.write(name).await?
        };
        let (tell, told) = oneshot::channel();
        let commits = self.clone();
        let lead = |turn| {
            let jobs = self.partial_files.jobs().clone();
            async move {
                let commit = move || {
                    let replies = commits.commit_all();
                    // Whoever is told last may want to open the root anew.
                    drop((commits, turn));
                    replies.into_iter().for_each(Reply::send);
                    Ok::<_, StoreError>(())
                };
                jobs.run(Sort::Write, commit).await
            }
        };
        let told = self.waiting.add(Commit { step, tell }, told, lead).await;
        // Who was to tell may have gone without a word.
        told.unwrap_or_else(|| Err(StoreError::os("fsync", Path::new(""), Errno::CANCELED)))
    }

    /// Stores all that waits, and what comes meanwhile. To be called by the one who has the lead, who is to send the last
    /// replies.
    fn commit_all(&self) -> Vec<Reply> {
        let (mut named, mut replies): (Vec<(Named, Tell)>, Vec<Reply>) = Default::default();
        loop {
            let mut unnamed = Vec::new();
            for Commit { step, tell } in self.waiting.take() {
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

    /// Makes all of these durable with one sync, if they are many. `None`: they are not, or it is not possible here.
    fn sync_together(
        &self,
        unnamed: &[(VerifiedSpool, Tell)],
        named: &[(Named, Tell)],
    ) -> Option<Result<(), StoreError>> {
        if unnamed.len() + named.len() < TOGETHER_COUNT_MIN || !self.partial_files.access.can.syncs_together {
            return None;
        }
        // All are files of one directory, or were, and of one file system therefore.
        let file = match (unnamed.first(), named.first()) {
            (Some((blob, _)), _) => own_file(blob).source(),
            (None, Some((named, _))) => &named.file,
            (None, None) => return None,
        };
        match self.root().disk().sync_file_system(file.file(), self.root().layout().root()) {
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
        for (Named { directory, validator, .. }, tell) in named {
            by_directory.entry(directory).or_default().push((validator, tell));
        }
        for (directory, all) in by_directory {
            let own = synced.is_none().then(|| self.root().disk().sync_directory(&directory));
            let synced = synced.or(own.as_ref()).expect("one of the two was done");
            for (validator, tell) in all {
                replies.push(Reply(tell, synced.as_ref().map(|()| validator).map_err(Clone::clone)));
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
                    Err(error.clone())
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
        let now = partial.source().validator(blob.size());
        let validator =
            now.filter(|now| blob.validator().is_some_and(|verified| now.has_bytes_of(&verified)));
        let directory = target.parent().expect("a blob lies in a directory").to_owned();
        Ok(Named { directory, file: Arc::clone(partial.source()), validator, _place: place })
    }

    /// Publishes a blob whose bytes are elsewhere: in memory, or in another store.
    fn copy(&self, blob: &VerifiedSpool) -> Result<(), StoreError> {
        let target = self.root().layout().blob(blob.digest());
        let write = |file: &File, path: &Path| {
            let mut offset = 0;
            while offset < blob.size() {
                let read = blob.read_back(offset, COPY_BYTES);
                let piece = read.map_err(|error| StoreError::io("pread", path, &error))?;
                if piece.is_empty() {
                    return Err(StoreError::os("pread", path, Errno::IO));
                }
                self.root().disk().write_all(file, path, &mut [IoSlice::new(&piece)], offset)?;
                offset += piece.len() as u64;
            }
            Ok(())
        };
        let publish = || publish::written(self.root(), &target, blob.size(), Durability::PowerLoss, write);
        self.blobs.change(blob.digest(), None, publish)
    }
}

/// The file of a blob that is known to be in one of this store's.
fn own_file(blob: &VerifiedSpool) -> &Partial {
    file_of(blob).expect("what has gone into a file stays there")
}

impl Reply {
    fn send(self) {
        // Nobody may wait for it any more.
        let _ = self.0.send(self.1);
    }
}
