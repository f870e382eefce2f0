//! Publishes files: the only place that implements the commit rule.
//!
//! Bytes are written and made durable under a temporary name on the same file system, then the file is
//! renamed, then the directory is made durable. So at any moment, even after a power loss, the name has the
//! old content, the new content, or none; never a part of it.

use std::fs::File;
use std::io::IoSlice;
use std::path::Path;

use bytes::Bytes;

use super::root::Root;
use crate::error::StoreError;

/// The failure that a published file must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The end of the process, even by a kill.
    ProcessDeath,
    /// A power loss too.
    PowerLoss,
}

/// Publishes the consecutive `pieces` as the content of `target`, replacing any file there.
pub(crate) fn bytes(
    root: &Root,
    target: &Path,
    pieces: &[Bytes],
    durability: Durability,
) -> Result<(), StoreError> {
    let len = pieces.iter().map(|piece| piece.len() as u64).sum();
    written(root, target, len, durability, |file, temporary| {
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        root.disk().write_all(file, temporary, &mut slices, 0)
    })
}

/// Publishes the `len` bytes that `write` writes to an empty file, whose path it gets too.
pub(crate) fn written(
    root: &Root,
    target: &Path,
    len: u64,
    durability: Durability,
    write: impl FnOnce(&File, &Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let temporary = root.temporary_path();
    let published = write_temporary(root, &temporary, durability, write)
        .and_then(|()| move_into_place(root, &temporary, target, len, durability));
    if published.is_err() {
        // If this fails too, the next start removes the file.
        let _ = root.unlink(&temporary);
    }
    published
}

/// Writes `pieces` to a temporary file and removes it again.
pub(crate) fn trial(
    root: &Root,
    temporary: &Path,
    pieces: &[Bytes],
    durability: Durability,
) -> Result<(), StoreError> {
    let written = write_temporary(root, temporary, durability, |file, temporary| {
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        root.disk().write_all(file, temporary, &mut slices, 0)
    });
    let removed = root.unlink(temporary);
    written.and(removed)
}

/// Publishes the file `source` of `len` durable bytes as `target`. The name survives a power loss once the
/// caller has synced its directory.
pub(crate) fn durable_file(root: &Root, source: &Path, target: &Path, len: u64) -> Result<(), StoreError> {
    move_into_place(root, source, target, len, Durability::ProcessDeath)
}

fn write_temporary(
    root: &Root,
    temporary: &Path,
    durability: Durability,
    write: impl FnOnce(&File, &Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let file = root.in_directory(parent(temporary), || root.disk().create(temporary))?;
    write(&file, temporary)?;
    match durability {
        Durability::ProcessDeath => Ok(()),
        Durability::PowerLoss => root.disk().sync(&file, temporary),
    }
}

fn move_into_place(
    root: &Root,
    source: &Path,
    target: &Path,
    len: u64,
    durability: Durability,
) -> Result<(), StoreError> {
    let directory = parent(target);
    root.in_directory(directory, || root.rename(source, target, Some(len)))?;
    match durability {
        Durability::ProcessDeath => Ok(()),
        Durability::PowerLoss => root.sync_names(directory),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("whatever is published lies in a directory of its root")
}

#[cfg(test)]
mod tests;
