//! Creates a partial file, or resumes the one that an earlier spool left.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use oci::Digest;
use rustix::fs::OFlags;
use rustix::io::Errno;
use tracing::debug;

use super::disk::Found;
use super::partial::Partial;
use super::partial_files::PartialFiles;
use super::publish::Durability;
use super::sidecar::Sidecar;
use crate::error::StoreError;
use crate::extents::Extents;
use crate::growth::Growth;

/// A blob up to this size is collected in memory and written to its file at once. No client gets a byte of it
/// before its digest is verified.
pub(super) const COLLECTED_BYTES_MAX: u64 = 256 * 1024;

/// The usable part of an earlier spool.
struct Remains {
    file: File,
    len: u64,
    written: Extents,
    noted: Sidecar,
}

impl PartialFiles {
    /// Resumes the partial file of a digest, with its trusted bytes. `None`: it has none, or cannot be read,
    /// and the caller begins a new one.
    pub(super) fn resume(self: &Arc<Self>, digest: &Digest) -> Option<Partial> {
        if !self.left.may_have(digest) {
            return None;
        }
        match self.try_resume(digest) {
            Ok(remains) => remains.map(|remains| {
                let Remains { file, len, written, noted } = remains;
                let growth = Arc::new(Growth::new(written, noted.size));
                Partial::new(self, digest, growth, file, len, Some(noted))
            }),
            Err(error) => {
                debug!(%digest, %error, "partial file cannot be resumed");
                self.root.metrics().store_failed(error.call());
                None
            }
        }
    }

    /// Creates an empty file for the bytes of `growth`, replacing any file under its name.
    pub(super) fn begin(
        self: &Arc<Self>,
        digest: &Digest,
        growth: Arc<Growth>,
    ) -> Result<Partial, StoreError> {
        let layout = self.root.layout();
        let path = layout.partial(digest);
        let may_have_left = self.left.may_have(digest);
        self.left.add(digest);
        let create = || self.root.in_directory(&layout.partials(), || self.root.disk().create(&path));
        if may_have_left {
            self.clear(digest)?;
        }
        let file = match create() {
            // Another program has created it.
            Err(error) if error.is(Errno::EXIST) => {
                self.clear(digest)?;
                create()?
            }
            created => created?,
        };
        self.root.meter().partial_added(0);
        Ok(Partial::new(self, digest, growth, file, 0, None))
    }

    /// Does not truncate the file, because a reader may still have it open. The order of the steps matters:
    /// whenever the process is killed, the sidecar describes the file correctly.
    fn try_resume(&self, digest: &Digest) -> Result<Option<Remains>, StoreError> {
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
        // If all bytes of the file are trusted, its length is enough.
        let is_in_order = written == Extents::prefix(len);
        let noted = if is_in_order {
            let boot_id = self.boot_id.clone();
            Sidecar { size, boot_id, synced: false, front: None, beyond: Vec::new() }
        } else {
            Sidecar::listing(&written, size, self.boot_id.clone(), false)
        };
        // Bytes written from now on are not durable, and a power loss must not bring the old sidecar back.
        let was_synced = old.is_some_and(|old| old.synced);
        let durability = if was_synced { Durability::PowerLoss } else { Durability::ProcessDeath };
        noted.write(&self.root, &sidecar_path, durability)?;
        Ok(Some(Remains { file, len, written, noted }))
    }

    /// Whether a file without a sidecar is a complete small blob: its digest decides.
    fn is_whole(&self, digest: &Digest, file: &File, path: &Path, len: u64) -> Result<bool, StoreError> {
        if !(1..=COLLECTED_BYTES_MAX).contains(&len) {
            return Ok(false);
        }
        // It is at most `COLLECTED_BYTES_MAX`, so it fits.
        let mut bytes = vec![0; len as usize];
        let read = self.root.disk().read_full(file, &mut bytes, 0);
        let count = read.map_err(|error| StoreError::io("pread", path, &error))?;
        Ok(count == bytes.len() && Digest::of(digest.algorithm(), &bytes) == *digest)
    }

    /// Removes the old file; it is not truncated, because a reader may still have it open. The sidecar is
    /// removed first, because it must never be beside bytes that it does not describe.
    fn clear(&self, digest: &Digest) -> Result<(), StoreError> {
        self.remove(&self.root.layout().sidecar(digest))?;
        let path = self.root.layout().partial(digest);
        let len = self.root.len_of(&path)?;
        self.remove(&path)?;
        len.into_iter().for_each(|len| self.root.meter().partial_removed(len));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        // If that fails, it is no file, and is quarantined.
        self.root.unlink(path).or_else(|_| self.root.set_aside(path))
    }
}
