//! Publishes verified blobs under their names. Blobs that wait at the same time share their syncs.
//!
//! A blob's bytes are durable before it gets its name, and the name is durable before the commit returns.
//! Small blobs that wait at the same time take each step together: a few are synced one by one, many with one
//! sync of the file system, which takes hardly longer than that of one file. The same sync makes the names of
//! one batch and the bytes of the next durable.

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
use super::resume::COLLECTED_BYTES_MAX;
use super::root::Root;
use crate::content::{OpenBlob, ReadAt, Validator};
use crate::error::StoreError;
use crate::spool::finish::VerifiedSpool;

/// Bytes copied at once of a blob from another store.
const COPY_BYTES: usize = 1024 * 1024;

/// From this number of blobs on, one sync of the file system replaces the single syncs. It also waits for
/// writes of other programs, so it does not pay off for a few.
const TOGETHER_COUNT_MIN: usize = 8;

/// The outcome of a commit: the validator of the file, if there is one.
type Outcome = Result<Option<Validator>, StoreError>;
type Responder = oneshot::Sender<Outcome>;

/// The outcome of a commit and the channel to its caller.
struct Reply(Responder, Outcome);

/// The commits of one store; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Commits {
    partial_files: Arc<PartialFiles>,
    /// Small blobs, open.
    blobs: Arc<FileCache<Digest, OpenBlob>>,
    /// Blobs that wait to be stored.
    pub(super) waiting: Arc<Batcher<Commit>>,
}

/// One blob that waits for a durable name.
#[derive(Debug)]
pub(super) struct Commit {
    step: Step,
    responder: Responder,
}

#[derive(Debug)]
enum Step {
    /// Its bytes are in a file that has no name yet.
    Unnamed(VerifiedSpool),
    Named(Named),
}

/// A blob under its name, in this directory.
#[derive(Debug)]
struct Named {
    directory: PathBuf,
    file: Arc<FileSource>,
    validator: Option<Validator>,
    /// Released when the name is durable.
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
    pub(super) async fn commit(&self, blob: VerifiedSpool) -> Outcome {
        let is_own =
            file_of(&blob).is_some_and(|file| Arc::ptr_eq(file.partial_files(), &self.partial_files));
        let step = if !is_own {
            return self.write(move |commits| commits.copy(&blob)).await.map(|()| None);
        } else if blob.size() <= COLLECTED_BYTES_MAX && self.partial_files.access.can.is_local {
            Step::Unnamed(blob)
        } else {
            // On a network file system each sync may wait for another machine, so they run side by side.
            let mut blob = blob;
            let name = move |commits: &Self| {
                own_file(&blob).sync_content()?;
                commits.name(&mut blob).map(Step::Named)
            };
            self.write(name).await?
        };
        let (responder, response) = oneshot::channel();
        let commits = self.clone();
        let lead = |turn| {
            let jobs = self.partial_files.jobs().clone();
            async move {
                let commit = move || {
                    let replies = commits.commit_all();
                    // The last caller may want to open the root again, so this lets go of it before the
                    // replies.
                    drop((commits, turn));
                    replies.into_iter().for_each(Reply::send);
                    Ok::<_, StoreError>(())
                };
                jobs.run(Sort::Write, commit).await
            }
        };
        let response = self.waiting.add(Commit { step, responder }, response, lead).await;
        // The job may have ended without a reply.
        response.unwrap_or_else(|| Err(StoreError::os("fsync", Path::new(""), Errno::CANCELED)))
    }

    /// Stores all blobs that wait, and those that arrive meanwhile. The caller has the lead, and sends the
    /// returned replies.
    fn commit_all(&self) -> Vec<Reply> {
        let (mut named, mut replies): (Vec<(Named, Responder)>, Vec<Reply>) = Default::default();
        loop {
            let mut unnamed = Vec::new();
            for Commit { step, responder } in self.waiting.take() {
                match step {
                    Step::Unnamed(blob) => unnamed.push((blob, responder)),
                    Step::Named(done) => named.push((done, responder)),
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
            for (mut blob, responder) in unnamed {
                match self.name(&mut blob) {
                    Ok(done) => named.push((done, responder)),
                    Err(error) => replies.push(Reply(responder, Err(error))),
                }
            }
        }
    }

    /// Makes all these files and names durable with one sync. `None`: they are too few, or the file system
    /// cannot do it.
    fn sync_together(
        &self,
        unnamed: &[(VerifiedSpool, Responder)],
        named: &[(Named, Responder)],
    ) -> Option<Result<(), StoreError>> {
        if unnamed.len() + named.len() < TOGETHER_COUNT_MIN || !self.partial_files.access.can.syncs_together {
            return None;
        }
        // All of them were created in one directory, so they are on one file system.
        let file = match (unnamed.first(), named.first()) {
            (Some((blob, _)), _) => own_file(blob).source(),
            (None, Some((named, _))) => &named.file,
            (None, None) => return None,
        };
        let synced = self.root().disk().sync_whole(file.file(), self.root().layout().root());
        match synced {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        }
    }

    /// Makes the names durable, unless the shared sync did. Returns the replies.
    fn conclude(
        &self,
        named: Vec<(Named, Responder)>,
        synced: Option<&Result<(), StoreError>>,
    ) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(named.len());
        let mut by_directory: BTreeMap<PathBuf, Vec<_>> = BTreeMap::new();
        for (Named { directory, validator, .. }, responder) in named {
            by_directory.entry(directory).or_default().push((validator, responder));
        }
        for (directory, all) in by_directory {
            let own = synced.is_none().then(|| self.root().disk().sync_directory(&directory));
            let synced = synced.or(own.as_ref()).expect("one of the two was done");
            for (validator, responder) in all {
                replies.push(Reply(responder, synced.as_ref().map(|()| validator).map_err(Clone::clone)));
            }
        }
        replies
    }

    /// Makes the bytes durable, unless the shared sync did. Returns the blobs that may get their names.
    fn sync_contents(
        &self,
        unnamed: Vec<(VerifiedSpool, Responder)>,
        synced: Option<&Result<(), StoreError>>,
        replies: &mut Vec<Reply>,
    ) -> Vec<(VerifiedSpool, Responder)> {
        let mut durable = Vec::with_capacity(unnamed.len());
        for (blob, responder) in unnamed {
            let synced = match synced {
                Some(Ok(())) => Ok(()),
                Some(Err(error)) => {
                    // After a failed sync another one could succeed although the bytes are lost.
                    own_file(&blob).delete();
                    Err(error.clone())
                }
                None => own_file(&blob).sync_content(),
            };
            match synced {
                Ok(()) => durable.push((blob, responder)),
                Err(error) => replies.push(Reply(responder, Err(error))),
            }
        }
        durable
    }

    /// Creates the directories of these blobs' names. A failure shows again, and is reported, when a blob
    /// gets its name.
    fn make_directories(&self, blobs: &[(VerifiedSpool, Responder)]) {
        let targets: Vec<_> =
            blobs.iter().map(|(blob, _)| self.root().layout().blob(blob.digest())).collect();
        let _ = self.root().make_directories(targets.iter().filter_map(|target| target.parent()));
    }

    /// Renames a blob with durable bytes to its name, which is not durable yet.
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

    /// Publishes a copy of a blob whose bytes are in memory or in another store.
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

/// The file of a blob that is known to be in a file of this store.
fn own_file(blob: &VerifiedSpool) -> &Partial {
    file_of(blob).expect("a blob that was moved to a file stays there")
}

impl Reply {
    fn send(self) {
        // The caller may have dropped its future.
        let _ = self.0.send(self.1);
    }
}
