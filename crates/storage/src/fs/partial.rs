//! A spool's file in `partial`, and its sidecar.
//!
//! Every access by the file's name happens under one lock, and only while the spool owns the name. So a spool
//! that was superseded by another one cannot delete, publish or describe its successor's file.

use std::fs::File;
use std::io::IoSlice;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use oci::Digest;
use parking_lot::{Mutex, MutexGuard};

use super::file_source::FileSource;
use super::partial_files::PartialFiles;
use super::publish::{self, Durability};
use super::sidecar::Sidecar;
use super::slots::Tenant;
use crate::error::{StoreError, StoreErrorKind};
use crate::extents::Extents;
use crate::growth::Growth;

/// Bytes written to a file with holes between two checkpoints: a share of the content, so that a kill loses
/// less than a hundredth, within bounds, so that neither small nor large files are checkpointed too often.
const CHECKPOINT_SHARE: u64 = 128;
const CHECKPOINT_BYTES_MIN: u64 = 1 << 20;
const CHECKPOINT_BYTES_MAX: u64 = 16 << 20;

/// The longest time between two checkpoints of a growing file, so that a slow transfer loses no more than
/// that.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// An open partial file.
#[derive(Debug)]
pub(crate) struct Partial {
    partial_files: Arc<PartialFiles>,
    digest: Digest,
    growth: Arc<Growth>,
    source: Arc<FileSource>,
    path: PathBuf,
    sidecar_path: PathBuf,
    /// Whether the file may be longer than its trusted bytes.
    may_have_tail: bool,
    names: Mutex<Names>,
}

#[derive(Debug)]
struct Names {
    is_owned: bool,
    /// Whether the file is under its name, and so counts among the partial files.
    is_there: bool,
    /// The length of the file in bytes.
    len: u64,
    /// The content of the sidecar; `None`: there is no sidecar.
    noted: Option<Sidecar>,
    /// The number of bytes that the sidecar lists, and when it was written.
    noted_bytes: u64,
    noted_at: Instant,
}

impl Partial {
    /// The partial file of a digest: `file`, with the bytes in `growth` and the sidecar `noted`.
    pub(super) fn new(
        partial_files: &Arc<PartialFiles>,
        digest: &Digest,
        growth: Arc<Growth>,
        file: File,
        len: u64,
        noted: Option<Sidecar>,
    ) -> Self {
        let layout = partial_files.root.layout();
        let noted_bytes = growth.written_bytes();
        let may_have_tail = growth.written().end() < len;
        Self {
            partial_files: Arc::clone(partial_files),
            digest: digest.clone(),
            growth,
            source: Arc::new(FileSource::new(Arc::clone(&partial_files.access), file)),
            path: layout.partial(digest),
            sidecar_path: layout.sidecar(digest),
            may_have_tail,
            names: Mutex::new(Names {
                is_owned: true,
                is_there: true,
                len,
                noted,
                noted_bytes,
                noted_at: Instant::now(),
            }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn partial_files(&self) -> &Arc<PartialFiles> {
        &self.partial_files
    }

    pub(crate) fn growth(&self) -> &Arc<Growth> {
        &self.growth
    }

    pub(crate) fn source(&self) -> &Arc<FileSource> {
        &self.source
    }

    /// Updates the sidecar before a write: with the size once it is known, and with the contiguous beginning
    /// before the file gets its first hole.
    pub(crate) fn note_progress(&self, is_scattered: bool) -> Result<(), StoreError> {
        let mut names = self.owned("write")?;
        // Once there were holes, the sidecar keeps its list, whatever the order of this write.
        let has_list = names.noted.as_ref().is_some_and(|noted| noted.front.is_some());
        let size = self.growth.size();
        let is_current = names.noted.as_ref().is_some_and(|noted| noted.size == size);
        if is_current && has_list >= is_scattered {
            return Ok(());
        }
        if has_list || is_scattered {
            return self.list(&mut names, &self.growth.written());
        }
        let boot_id = self.partial_files.boot_id.clone();
        let note = Sidecar { size, boot_id, synced: false, front: None, beyond: Vec::new() };
        note.write(&self.partial_files.root, &self.sidecar_path, Durability::ProcessDeath)?;
        names.noted = Some(note);
        Ok(())
    }

    /// Updates the list of a file with holes, if enough was written since the last time. A failure costs only
    /// the latest entries.
    pub(crate) fn checkpoint(&self) {
        let mut names = self.names.lock();
        let has_list = names.noted.as_ref().is_some_and(|noted| noted.front.is_some());
        if !names.is_owned || !has_list {
            return;
        }
        let lag_bytes = self.growth.written_bytes().saturating_sub(names.noted_bytes);
        if is_due(lag_bytes, names.noted_at.elapsed(), self.growth.size()) {
            let listed = self.list(&mut names, &self.growth.written());
            self.partial_files.root.swallow(listed);
        }
    }

    /// Lists all written bytes, for a later spool. Call it after the writing was closed. Has no effect when
    /// this spool no longer owns the file.
    pub(crate) fn leave(&self) -> Result<(), StoreError> {
        let written = self.growth.settled();
        let mut names = self.names.lock();
        let has_list = names.noted.as_ref().is_some_and(|noted| noted.front.is_some());
        // Without a list, the file's length is enough.
        if names.is_owned && has_list { self.list(&mut names, &written) } else { Ok(()) }
    }

    /// Writes the sidecar with a list of `written`, all of which was written before.
    fn list(&self, names: &mut Names, written: &Extents) -> Result<(), StoreError> {
        // After a failure, the next attempt comes no sooner than after a success.
        (names.noted_bytes, names.noted_at) = (written.count(), Instant::now());
        let note = Sidecar::listing(written, self.growth.size(), self.partial_files.boot_id.clone(), false);
        note.write(&self.partial_files.root, &self.sidecar_path, Durability::ProcessDeath)?;
        names.noted = Some(note);
        Ok(())
    }

    /// Cuts off any bytes beyond the content, whose `size` bytes are all written.
    pub(crate) fn cut_to(&self, size: u64) -> Result<(), StoreError> {
        // A failed write may also have left bytes after the content.
        let mut names = self.names.lock();
        if self.may_have_tail || names.len > size {
            self.partial_files.root.disk().truncate(self.source.file(), &self.path, size)?;
            self.note_len(&mut names, size);
        }
        Ok(())
    }

    pub(crate) fn write(&self, offset: u64, pieces: &[Bytes]) -> Result<(), StoreError> {
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let disk = self.partial_files.root.disk();
        let end = offset + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let written = disk.write_all(self.source.file(), &self.path, &mut slices, offset);
        // After a failed write, the file's length tells how far it got.
        let end = if written.is_ok() { end } else { disk.len(self.source.file()).unwrap_or(end) };
        let mut names = self.names.lock();
        if end > names.len {
            self.note_len(&mut names, end);
        }
        written
    }

    /// Makes the file's content that of `other`, and shares its blocks, if the file system can. Returns the
    /// new length in bytes.
    pub(crate) fn share(&self, other: &File) -> Result<Option<u64>, StoreError> {
        let disk = self.partial_files.root.disk();
        if !disk.share(other, self.source.file(), &self.path)? {
            return Ok(None);
        }
        let len = disk.len(self.source.file());
        let mut names = self.owned("ioctl")?;
        self.note_len(&mut names, len.unwrap_or(0));
        Ok(len)
    }

    /// Makes the bytes durable. On an error the file is deleted: a sync must not be repeated.
    pub(crate) fn sync_content(&self) -> Result<(), StoreError> {
        self.partial_files
            .root
            .disk()
            .sync_data(self.source.file(), &self.path)
            .inspect_err(|_| self.delete())
    }

    /// Publishes the file, whose bytes are durable, as `target`. That name is durable once its directory was
    /// synced. On an error the file is deleted.
    pub(crate) fn publish(&self, target: &Path) -> Result<(), StoreError> {
        let mut names = self.owned("admit")?;
        let published = publish::durable_file(&self.partial_files.root, &self.path, target, names.len);
        if published.is_ok() {
            self.note_gone(&mut names);
        }
        if published.is_err() || names.noted.is_some() {
            // The file was renamed, or is of no further use.
            self.remove(&mut names);
        } else {
            names.is_owned = false;
            self.partial_files.left.remove(&self.digest);
        }
        published
    }

    /// Makes the written bytes durable and lists them. An empty file is deleted, and so is any after an
    /// error. Call it after the writing was closed.
    pub(crate) fn park(&self) -> Result<(), StoreError> {
        // Taken before the sync, so that it lists only bytes that the sync covered.
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
        let root = &self.partial_files.root;
        root.disk().sync_data(self.source.file(), &self.path)?;
        let note = Sidecar::listing(written, self.growth.size(), self.partial_files.boot_id.clone(), true);
        note.write(root, &self.sidecar_path, Durability::PowerLoss)
    }

    /// Deletes the file, if this spool still owns it.
    pub(crate) fn delete(&self) {
        let mut names = self.names.lock();
        if names.is_owned {
            self.remove(&mut names);
        }
    }

    fn remove(&self, names: &mut Names) {
        names.is_owned = false;
        let root = &self.partial_files.root;
        root.swallow(root.unlink(&self.sidecar_path));
        let removed = root.unlink(&self.path);
        if removed.is_ok() {
            self.note_gone(names);
        }
        root.swallow(removed);
        self.partial_files.left.remove(&self.digest);
    }

    fn note_len(&self, names: &mut Names, len: u64) {
        if names.is_there {
            self.partial_files.root.meter().partial_resized(names.len, len);
        }
        names.len = len;
    }

    fn note_gone(&self, names: &mut Names) {
        if mem::take(&mut names.is_there) {
            self.partial_files.root.meter().partial_removed(names.len);
        }
    }

    fn owned(&self, call: &'static str) -> Result<MutexGuard<'_, Names>, StoreError> {
        let names = self.names.lock();
        if names.is_owned {
            return Ok(names);
        }
        Err(StoreError::own(
            StoreErrorKind::Closed,
            call,
            self.path.to_string_lossy(),
            "the spool no longer owns its file",
        ))
    }
}

impl Tenant for Partial {
    fn vacate(&self, is_resumable: bool) {
        if is_resumable {
            self.partial_files.root.swallow(self.leave());
        }
        // The lock waits for any access by name.
        self.names.lock().is_owned = false;
    }
}

/// Whether the list must be updated: `lag_bytes` were written in the time `since` the last update, of content
/// of `size` bytes, if that is known.
fn is_due(lag_bytes: u64, since: Duration, size: Option<u64>) -> bool {
    let share = size.unwrap_or_default() / CHECKPOINT_SHARE;
    let enough = share.clamp(CHECKPOINT_BYTES_MIN, CHECKPOINT_BYTES_MAX);
    lag_bytes >= enough || (lag_bytes > 0 && since >= CHECKPOINT_INTERVAL)
}

#[cfg(test)]
mod tests;
