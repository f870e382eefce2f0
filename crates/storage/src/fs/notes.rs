//! The notes of the store as a whole, as files.

use std::path::Path;

use bytes::Bytes;

use super::publish::{self, Durability};
use super::small_file::Content;
use super::store::FsStore;
use crate::error::{StoreError, StoreErrorKind};
use crate::note::NOTE_BYTES_MAX;

impl FsStore {
    pub(super) fn note_blocking(&self, path: &Path) -> Result<Option<Bytes>, StoreError> {
        let len_max = usize::try_from(NOTE_BYTES_MAX).unwrap_or(usize::MAX);
        match self.read_file(path, len_max)? {
            Content::Nothing => Ok(None),
            Content::Bytes(bytes) => Ok(Some(bytes)),
            Content::Unfit => {
                self.root().try_set_aside(path);
                Ok(None)
            }
        }
    }

    pub(super) fn put_note_blocking(
        &self,
        path: &Path,
        bytes: &Bytes,
        durability: Durability,
    ) -> Result<(), StoreError> {
        if bytes.len() as u64 > NOTE_BYTES_MAX {
            let reason = format!("a note of {} bytes is larger than {NOTE_BYTES_MAX}", bytes.len());
            return Err(StoreError::own(StoreErrorKind::Size, "create", path.to_string_lossy(), reason));
        }
        publish::bytes(self.root(), path, std::slice::from_ref(bytes), durability)
    }
}
