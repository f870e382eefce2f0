//! A spool's file in `partial`, and the note beside it.
//!
//! Whatever goes by the file's name happens under one lock and only as long as the spool owns the name. So a
//! spool that was succeeded by another one cannot delete, publish or describe its successor's file.

use std::fs::File;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use oci::Digest;
use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::sync::Semaphore;
use tracing::debug;

use super::collected::Settles;
use super::disk::Found;
use super::jobs::Jobs;
use super::left::Left;
use super::root::Root;
use super::sidecar::Sidecar;
use super::{collected, quarantine};
use crate::error::{StoreError, StoreErrorKind};
use crate::extents::Extents;
use crate::open_blob::{FileAccess, OpenBlob, Signature};
use crate::publish::{self, Durability};
use crate::spool::growth::Growth;

/// What is written into a file with holes is on record after so much of it: a share of the whole, so that a
/// kill costs less than a hundredth, within bounds, so that neither small nor large files are noted too often.
const CHECKPOINT_SHARE: u64 = 128;
const CHECKPOINT_BYTES_MIN: u64 = 1 << 20;
const CHECKPOINT_BYTES_MAX: u64 = 16 << 20;

/// And with the first write after so much time, so that a slow transfer loses no more than that.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// What the partial files of one store have in common.
#[derive(Clone, Debug)]
pub(crate) struct Workshop {
    pub(crate) root: Arc<Root>,
    pub(crate) jobs: Jobs,
    pub(crate) access: Arc<FileAccess>,
    /// Which start of the machine this is; none: that cannot be told.
    pub(crate) boot_id: Option<String>,
    /// What earlier spools may have left.
    pub(crate) left: Arc<Left>,
    pub(crate) settles: Arc<Settles>,
    /// Places of small blobs that are whole and not stored yet, each with an open file.
    pub(crate) unstored: Arc<Semaphore>,
}

/// An open partial file.
#[derive(Debug)]
pub(crate) struct Partial {
    workshop: Workshop,
    digest: Digest,
    growth: Arc<Growth>,
    file: Arc<File>,
    path: PathBuf,
    sidecar_path: PathBuf,
    /// Whether the file may be longer than what is believed of it.
    may_have_tail: bool,
    names: Mutex<Names>,
}

#[derive(Debug)]
struct Names {
    is_owned: bool,
    /// What stands in the sidecar; none: there is no sidecar.
    noted: Option<Sidecar>,
    /// How much of what is written the sidecar lists, in bytes, and since when.
    noted_bytes: u64,
    noted_at: Instant,
}

/// What of an earlier spool can be used.
struct Remains {
    file: File,
    written: Extents,
    has_tail: bool,
    noted: Sidecar,
}

impl Workshop {
    /// The partial file of a digest with what is there, as far as it can be trusted. None: nothing is of use. Whatever
    /// is wrong with it, the answer is to begin anew.
    pub(crate) fn take_up(&self, digest: &Digest) -> Option<Partial> {
        if !self.left.may_have(digest) {
            return None;
        }
        match self.try_take_up(digest) {
            Ok(remains) => remains.map(|remains| {
                let Remains { file, written, has_tail, noted } = remains;
                let growth = Arc::new(Growth::new(written, noted.size));
                self.partial(digest, growth, file, has_tail, Some(noted))
            }),
            Err(error) => {
                debug!(%digest, %error, "partial file cannot be taken up");
                self.root.metrics().store_failed(error.call());
                None
            }
        }
    }

    /// A new, empty file for what `growth` will tell of. Whatever was there before goes.
    pub(crate) fn begin(&self, digest: &Digest, growth: Arc<Growth>) -> Result<Partial, StoreError> {
        let layout = self.root.layout();
        let path = layout.partial(digest);
        let may_have_left = self.left.may_have(digest);
        self.left.add(digest);
        let create = || self.root.in_directory(&layout.partials(), || self.root.disk().create(&path));
        if may_have_left {
            self.clear(digest)?;
        }
        let file = match create() {
            // Somebody else put it there.
            Err(error) if error.is(Errno::EXIST) => {
                self.clear(digest)?;
                create()?
            }
            created => created?,
        };
        Ok(self.partial(digest, growth, file, false, None))
    }

    fn partial(
        &self,
        digest: &Digest,
        growth: Arc<Growth>,
        file: File,
        may_have_tail: bool,
        noted: Option<Sidecar>,
    ) -> Partial {
        let layout = self.root.layout();
        let noted_bytes = growth.written_bytes();
        Partial {
            workshop: self.clone(),
            digest: digest.clone(),
            growth,
            file: Arc::new(file),
            path: layout.partial(digest),
            sidecar_path: layout.sidecar(digest),
            may_have_tail,
            names: Mutex::new(Names { is_owned: true, noted, noted_bytes, noted_at: Instant::now() }),
        }
    }

    /// Nothing is cut off that was written, for somebody may still read it. The order matters at each step:
    /// should the process be killed, what is noted holds for what is there.
    fn try_take_up(&self, digest: &Digest) -> Result<Option<Remains>, StoreError> {
        let (path, sidecar_path) = (self.root.layout().partial(digest), self.root.layout().sidecar(digest));
        let old = Sidecar::read(&self.root, &sidecar_path)?;
        let Found::Regular(file, len) = self.root.disk().open_regular(&path, OFlags::RDWR)? else {
            return Ok(None);
        };
        let trusted = old.as_ref().map(|old| old.trusted(len, self.boot_id.as_deref())).unwrap_or_default();
        let (size, written) = if trusted.count() > 0 {
            (old.as_ref().and_then(|old| old.size), trusted)
        } else if self.is_whole(digest, &file, &path, len)? {
            (Some(len), Extents::prefix(len))
        } else {
            return Ok(None);
        };
        // As long as there is nothing but what is believed, the file's length tells how far it goes.
        let is_in_order = written == Extents::prefix(len);
        let noted = if is_in_order {
            let boot_id = self.boot_id.clone();
            Sidecar { size, boot_id, synced: false, front: None, beyond: Vec::new() }
        } else {
            Sidecar::listing(&written, size, self.boot_id.clone(), false)
        };
        // What is written from now on is not durable, and a power loss must not bring the old note back.
        let was_synced = old.is_some_and(|old| old.synced);
        let durability = if was_synced { Durability::PowerLoss } else { Durability::ProcessDeath };
        noted.write(&self.root, &sidecar_path, durability)?;
        Ok(Some(Remains { file, has_tail: written.end() < len, written, noted }))
    }

    /// Whether a file that nothing vouches for is all of a small blob: its digest tells.
    fn is_whole(&self, digest: &Digest, file: &File, path: &Path, len: u64) -> Result<bool, StoreError> {
        if !collected::may_be_whole(len) {
            return Ok(false);
        }
        // It is at most some hundred kilobytes.
        let mut bytes = vec![0; len as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            let read = self.root.disk().read(file, &mut bytes[filled..], filled as u64);
            match read.map_err(|error| StoreError::io("pread", path, &error))? {
                0 => return Ok(false),
                count => filled += count,
            }
        }
        Ok(Digest::of(digest.algorithm(), &bytes) == *digest)
    }

    /// Makes room for a new file; the old one is never emptied, for someone may still read it. The note goes first,
    /// because it must never stand beside bytes that it does not describe.
    fn clear(&self, digest: &Digest) -> Result<(), StoreError> {
        for name in [self.root.layout().sidecar(digest), self.root.layout().partial(digest)] {
            if self.root.disk().unlink(&name).is_err() {
                // It is no file; whatever it is, it has no place here.
                quarantine::set_aside(&self.root, &name)?;
            }
        }
        Ok(())
    }
}

impl Partial {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn root(&self) -> &Arc<Root> {
        &self.workshop.root
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.workshop.jobs
    }

    pub(crate) fn access(&self) -> &Arc<FileAccess> {
        &self.workshop.access
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn growth(&self) -> &Arc<Growth> {
        &self.growth
    }

    pub(crate) fn content(&self) -> OpenBlob {
        let (access, file) = (Arc::clone(&self.workshop.access), Arc::clone(&self.file));
        OpenBlob::of_growing_file(access, file, Arc::clone(&self.growth))
    }

    /// Brings the note up to date before something is written: the size once it is known, and for a file that
    /// gets its first hole, what is there without one.
    pub(crate) fn note_progress(&self, is_scattered: bool) -> Result<(), StoreError> {
        let mut names = self.owned("write")?;
        // Once there were holes, what is written stays on record, whatever the order of this write.
        let has_list = names.noted.as_ref().is_some_and(|noted| noted.front.is_some());
        let size = self.growth.size();
        let is_current = names.noted.as_ref().is_some_and(|noted| noted.size == size);
        if is_current && has_list >= is_scattered {
            return Ok(());
        }
        if has_list || is_scattered {
            return self.list(&mut names, &self.growth.written());
        }
        let boot_id = self.workshop.boot_id.clone();
        let note = Sidecar { size, boot_id, synced: false, front: None, beyond: Vec::new() };
        note.write(&self.workshop.root, &self.sidecar_path, Durability::ProcessDeath)?;
        names.noted = Some(note);
        Ok(())
    }

    /// Lists what is written into a file with holes, when enough has come since the last time. A failure costs
    /// the list its latest entries, and nothing else.
    pub(crate) fn checkpoint(&self) {
        let mut names = self.names();
        let has_list = names.noted.as_ref().is_some_and(|noted| noted.front.is_some());
        if !names.is_owned || !has_list {
            return;
        }
        let lag_bytes = self.growth.written_bytes().saturating_sub(names.noted_bytes);
        if is_due(lag_bytes, names.noted_at.elapsed(), self.growth.size()) {
            let listed = self.list(&mut names, &self.growth.written());
            self.workshop.root.swallow(listed);
        }
    }

    /// Notes all that is written, for a later spool. To be called after the writing was closed. Nothing happens
    /// when the file is no longer this spool's.
    pub(crate) fn leave(&self) -> Result<(), StoreError> {
        let written = self.growth.settled();
        let mut names = self.names();
        let has_list = names.noted.as_ref().is_some_and(|noted| noted.front.is_some());
        // Without a list, the file's length tells.
        if names.is_owned && has_list { self.list(&mut names, &written) } else { Ok(()) }
    }

    /// Everything that is listed was written before.
    fn list(&self, names: &mut Names, written: &Extents) -> Result<(), StoreError> {
        // Tried again no sooner than if it had gone well.
        (names.noted_bytes, names.noted_at) = (written.count(), Instant::now());
        let note = Sidecar::listing(written, self.growth.size(), self.workshop.boot_id.clone(), false);
        note.write(&self.workshop.root, &self.sidecar_path, Durability::ProcessDeath)?;
        names.noted = Some(note);
        Ok(())
    }

    /// Cuts off what lies beyond the content, which is `size` bytes long and all written.
    pub(crate) fn cut_to(&self, size: u64) -> Result<(), StoreError> {
        if self.may_have_tail {
            self.workshop.root.disk().truncate(&self.file, &self.path, size)?;
        }
        Ok(())
    }

    pub(crate) fn write(&self, offset: u64, pieces: &[Bytes]) -> Result<(), StoreError> {
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        self.workshop.root.disk().write_all(&self.file, &self.path, &mut slices, offset)
    }

    /// Makes the bytes durable. On an error the file is deleted: its sync must not be tried again.
    pub(crate) fn sync_content(&self) -> Result<(), StoreError> {
        self.workshop.root.disk().sync_data(&self.file, &self.path).inspect_err(|_| self.delete())
    }

    /// Publishes the file, whose bytes are durable, as `target`, a name that is durable once the directory is. On an
    /// error it is deleted.
    pub(crate) fn publish(&self, target: &Path) -> Result<(), StoreError> {
        let mut names = self.owned("admit")?;
        let published = publish::durable_file(&self.workshop.root, &self.path, target);
        if published.is_err() || names.noted.is_some() {
            // The file is gone from here, or of no further use.
            self.remove(&mut names);
        } else {
            names.is_owned = false;
            self.workshop.left.remove(&self.digest);
        }
        published
    }

    /// The signature of the file; none: as [`OpenBlob::signature`].
    pub(crate) fn signature(&self, size: u64) -> Option<Signature> {
        self.content().verified(size).signature()
    }

    /// Makes what is there durable and notes what that is. Nothing to keep, or an error: it is deleted.
    /// To be called after the writing was closed.
    pub(crate) fn park(&self) -> Result<(), StoreError> {
        // Before the sync, so that it tells of nothing that the sync did not cover.
        let written = self.growth.settled();
        let mut names = self.owned("park")?;
        if written.count() == 0 {
            self.remove(&mut names);
            return Ok(());
        }
        let parked = self.keep(&written);
        match parked {
            Ok(()) => names.is_owned = false,
            Err(_) => self.remove(&mut names),
        }
        parked
    }

    fn keep(&self, written: &Extents) -> Result<(), StoreError> {
        let root = &self.workshop.root;
        root.disk().sync_data(&self.file, &self.path)?;
        let note = Sidecar::listing(written, self.growth.size(), self.workshop.boot_id.clone(), true);
        note.write(root, &self.sidecar_path, Durability::PowerLoss)
    }

    /// Deletes the file, if it is still this spool's.
    pub(crate) fn delete(&self) {
        let mut names = self.names();
        if names.is_owned {
            self.remove(&mut names);
        }
    }

    /// Takes the names away, once whatever is being done by name is done.
    pub(crate) fn disown(&self) {
        self.names().is_owned = false;
    }

    fn remove(&self, names: &mut Names) {
        names.is_owned = false;
        for name in [&self.sidecar_path, &self.path] {
            self.workshop.root.swallow(self.workshop.root.disk().unlink(name));
        }
        self.workshop.left.remove(&self.digest);
    }

    fn owned(&self, call: &'static str) -> Result<MutexGuard<'_, Names>, StoreError> {
        let names = self.names();
        if names.is_owned {
            return Ok(names);
        }
        Err(StoreError::own(StoreErrorKind::Closed, call, &self.path, "the spool no longer owns its file"))
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        // Should a panic strike in between, the sidecar may be rewritten once more than needed.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what was written since the last list is to be listed: `lag_bytes`, in the time that is given, of a
/// content of so many bytes as far as that is known.
fn is_due(lag_bytes: u64, since: Duration, size: Option<u64>) -> bool {
    let share = size.unwrap_or_default() / CHECKPOINT_SHARE;
    let enough = share.clamp(CHECKPOINT_BYTES_MIN, CHECKPOINT_BYTES_MAX);
    lag_bytes >= enough || (lag_bytes > 0 && since >= CHECKPOINT_INTERVAL)
}

#[cfg(test)]
mod tests;
