//! A spool's file in `partial`, and the note beside it.
//!
//! Whatever goes by the file's name happens under one lock and only as long as the spool owns the name. So a
//! spool that was succeeded by another one cannot delete, publish or describe its successor's file.

use std::fs::File;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use oci::{Digest, Hasher};
use rustix::fs::OFlags;
use rustix::io::Errno;
use tracing::debug;

use super::disk::Found;
use super::jobs::Jobs;
use super::quarantine;
use super::root::Root;
use super::sidecar::Sidecar;
use crate::error::{StoreError, StoreErrorKind};
use crate::open_blob::{FileAccess, OpenBlob};
use crate::publish::{self, Durability};
use crate::spool::growth::Growth;

/// How far the front of a file with holes gets ahead of what is on record.
const CHECKPOINT_BYTES: u64 = 16 * 1024 * 1024;

/// How much is read at once when what an earlier process wrote is hashed.
const REHASH_BYTES: usize = 1024 * 1024;

/// What the partial files of one store have in common.
#[derive(Clone, Debug)]
pub(crate) struct Workshop {
    pub(crate) root: Arc<Root>,
    pub(crate) jobs: Jobs,
    pub(crate) access: Arc<FileAccess>,
    /// Which start of the machine this is; none: that cannot be told.
    pub(crate) boot_id: Option<String>,
}

/// An open partial file.
#[derive(Debug)]
pub(crate) struct Partial {
    workshop: Workshop,
    growth: Arc<Growth>,
    file: Arc<File>,
    path: PathBuf,
    sidecar_path: PathBuf,
    names: Mutex<Names>,
}

#[derive(Debug)]
struct Names {
    is_owned: bool,
    /// What stands in the sidecar; none: there is no sidecar.
    noted: Option<Sidecar>,
}

/// What of an earlier spool can be used.
struct Remains {
    file: File,
    front: u64,
    hasher: Hasher,
    noted: Sidecar,
}

impl Workshop {
    /// Opens the partial file of a digest: what is there, as far as it can be trusted, if `may_take_up`;
    /// else an empty file. Returns the hash over its front, too.
    pub(crate) fn open(&self, digest: &Digest, may_take_up: bool) -> Result<(Partial, Hasher), StoreError> {
        let layout = self.root.layout();
        let (path, sidecar_path) = (layout.partial(digest), layout.sidecar(digest));
        let remains = if may_take_up { self.take_up(digest, &path, &sidecar_path) } else { None };
        let (file, front, hasher, noted) = match remains {
            Some(Remains { file, front, hasher, noted }) => (file, front, hasher, Some(noted)),
            None => (self.start(&path, &sidecar_path)?, 0, Hasher::new(digest.algorithm()), None),
        };
        let size = noted.as_ref().and_then(|noted| noted.size);
        let partial = Partial {
            workshop: self.clone(),
            growth: Arc::new(Growth::new(front, size)),
            file: Arc::new(file),
            path,
            sidecar_path,
            names: Mutex::new(Names { is_owned: true, noted }),
        };
        Ok((partial, hasher))
    }

    /// Whatever is wrong with what is there, the answer is to start anew.
    fn take_up(&self, digest: &Digest, path: &Path, sidecar_path: &Path) -> Option<Remains> {
        match self.try_take_up(digest, path, sidecar_path) {
            Ok(remains) => remains,
            Err(error) => {
                debug!(%digest, %error, "partial file cannot be taken up");
                self.root.metrics().store_failed(error.call());
                None
            }
        }
    }

    /// The order matters at each step: should the process be killed, what is noted holds for what is there.
    fn try_take_up(
        &self,
        digest: &Digest,
        path: &Path,
        sidecar_path: &Path,
    ) -> Result<Option<Remains>, StoreError> {
        let Some(old) = Sidecar::read(&self.root, sidecar_path)? else { return Ok(None) };
        let Found::Regular(file, len) = self.root.disk().open_regular(path, OFlags::RDWR)? else {
            return Ok(None);
        };
        let front = old.trusted(len, self.boot_id.as_deref());
        if front == 0 {
            return Ok(None);
        }
        if front < len {
            self.root.disk().truncate(&file, path, front)?;
        }
        let hasher = self.rehash(digest, &file, path, front)?;
        // What is written from now on is not durable, and a power loss must not bring the old note back.
        let durability = if old.synced { Durability::PowerLoss } else { Durability::ProcessDeath };
        let noted = Sidecar { size: old.size, boot_id: self.boot_id.clone(), synced: false, front: None };
        noted.write(&self.root, sidecar_path, durability)?;
        Ok(Some(Remains { file, front, hasher, noted }))
    }

    fn rehash(&self, digest: &Digest, file: &File, path: &Path, len: u64) -> Result<Hasher, StoreError> {
        let failed = |error| StoreError::io("pread", path, &error);
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; REHASH_BYTES];
        let mut offset = 0;
        while offset < len {
            let wanted = usize::try_from(len - offset).unwrap_or(usize::MAX).min(REHASH_BYTES);
            match self.root.disk().read(file, &mut buffer[..wanted], offset).map_err(failed)? {
                0 => return Err(StoreError::os("pread", path, Errno::IO)),
                count => {
                    hasher.update(&buffer[..count]);
                    offset += count as u64;
                }
            }
        }
        Ok(hasher)
    }

    /// A new file, never the old one emptied: someone may still read that. The note goes first, because it
    /// must never stand beside bytes that it does not describe.
    fn start(&self, path: &Path, sidecar_path: &Path) -> Result<File, StoreError> {
        for name in [sidecar_path, path] {
            if self.root.disk().unlink(name).is_err() {
                // It is no file; whatever it is, it has no place here.
                quarantine::set_aside(&self.root, name)?;
            }
        }
        self.root.in_directory(&self.root.layout().partials(), || self.root.disk().create(path))
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

    pub(crate) fn growth(&self) -> &Arc<Growth> {
        &self.growth
    }

    pub(crate) fn content(&self) -> OpenBlob {
        let (access, file) = (Arc::clone(&self.workshop.access), Arc::clone(&self.file));
        OpenBlob::of_growing_file(access, file, Arc::clone(&self.growth))
    }

    /// Brings the note up to date before something is written: the size once it is known, and for a file
    /// with holes how far it has none, at most [`CHECKPOINT_BYTES`] behind.
    pub(crate) fn note_progress(&self, is_scattered: bool) -> Result<(), StoreError> {
        let mut names = self.owned("write")?;
        let (size, watermark) = (self.growth.size(), self.growth.watermark());
        // Once there were holes, the front stays on record, whatever the order of this write.
        let is_scattered = is_scattered || names.noted.as_ref().is_some_and(|noted| noted.front.is_some());
        let is_current = names.noted.as_ref().is_some_and(|noted| {
            let lag = noted.front.map(|front| watermark.saturating_sub(front));
            noted.size == size && (!is_scattered || lag.is_some_and(|lag| lag < CHECKPOINT_BYTES))
        });
        if is_current {
            return Ok(());
        }
        let front = is_scattered.then_some(watermark);
        let boot_id = self.workshop.boot_id.clone();
        let note = Sidecar { size, boot_id, synced: false, front };
        note.write(&self.workshop.root, &self.sidecar_path, Durability::ProcessDeath)?;
        names.noted = Some(note);
        Ok(())
    }

    pub(crate) fn write(&self, offset: u64, pieces: &[Bytes]) -> Result<(), StoreError> {
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        self.workshop.root.disk().write_all(&self.file, &self.path, &mut slices, offset)
    }

    /// Publishes the file as `target`. On an error it is deleted.
    pub(crate) fn publish(&self, target: &Path) -> Result<(), StoreError> {
        let mut names = self.owned("admit")?;
        let published = publish::file(&self.workshop.root, &self.path, &self.file, target);
        // The file is gone from here, or of no further use.
        self.remove(&mut names);
        published
    }

    /// Makes what is there durable and notes how much that is. Nothing to keep, or an error: it is deleted.
    pub(crate) fn park(&self) -> Result<(), StoreError> {
        let mut names = self.owned("park")?;
        // Read before the sync, so that it tells of nothing that the sync did not cover.
        let front = self.growth.watermark();
        if front == 0 {
            self.remove(&mut names);
            return Ok(());
        }
        let parked = self.keep(front);
        match parked {
            Ok(()) => names.is_owned = false,
            Err(_) => self.remove(&mut names),
        }
        parked
    }

    fn keep(&self, front: u64) -> Result<(), StoreError> {
        let root = &self.workshop.root;
        root.disk().sync_data(&self.file, &self.path)?;
        let boot_id = self.workshop.boot_id.clone();
        let note = Sidecar { size: self.growth.size(), boot_id, synced: true, front: Some(front) };
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
