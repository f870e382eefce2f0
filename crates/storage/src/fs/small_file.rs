//! Reads small files whole: records, lists and manifests.

use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use rustix::fs::OFlags;

use super::disk::Found;
use super::store::FsStore;
use crate::error::StoreError;

/// The content of a small file.
pub(super) enum Content {
    Nothing,
    /// It is no regular file, or longer than any that the store writes.
    Unfit,
    Bytes(Bytes),
}

/// An opened small file.
pub(super) enum Small {
    Nothing,
    /// It is no regular file, or longer than any that the store writes.
    Unfit,
    /// The file and its length.
    File(File, usize),
}

impl FsStore {
    pub(super) fn read_file(&self, path: &Path, len_max: usize) -> Result<Content, StoreError> {
        Ok(match self.find_file(path, len_max)? {
            Small::Nothing => Content::Nothing,
            Small::Unfit => Content::Unfit,
            Small::File(file, len) => self.read_all(path, &file, len)?.map_or(Content::Unfit, Content::Bytes),
        })
    }

    pub(super) fn find_file(&self, path: &Path, len_max: usize) -> Result<Small, StoreError> {
        match self.root().disk().open_regular(path, OFlags::RDONLY)? {
            Found::Nothing => {
                self.root().ensure_present()?;
                Ok(Small::Nothing)
            }
            Found::Unfit => Ok(Small::Unfit),
            Found::Regular(file, size) => {
                let len = usize::try_from(size).ok().filter(|len| *len <= len_max);
                Ok(len.map_or(Small::Unfit, |len| Small::File(file, len)))
            }
        }
    }

    /// All `len` bytes of a file; `None`: it was truncated meanwhile.
    pub(super) fn read_all(&self, path: &Path, file: &File, len: usize) -> Result<Option<Bytes>, StoreError> {
        let mut buffer = vec![0; len];
        let read = self.root().disk().read_full(file, &mut buffer, 0);
        let count = read.map_err(|error| StoreError::io("pread", path, &error))?;
        Ok((count == len).then(|| buffer.into()))
    }
}
