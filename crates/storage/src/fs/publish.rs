//! How a file gets its name: the one place that follows the commit rule.
//!
//! Bytes are written and made durable under a temporary name on the same file system, then renamed, then the
//! directory is made durable. Whoever looks at any moment, even after a power loss, finds the old content,
//! the new content, or nothing under the name; never a part of it.

use std::fs::File;
use std::io::IoSlice;
use std::path::Path;

use bytes::Bytes;

use super::root::Root;
use crate::error::StoreError;

/// The failure that a published file has to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The end of the process, in whatever way.
    ProcessDeath,
    /// A power loss too.
    PowerLoss,
}

/// Publishes `pieces`, one after the other, as the content of `target`, replacing what is there.
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

/// Publishes the `len` bytes that `write` puts into the empty file that it is given, together with the file's path.
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
        // If this fails too, the next start empties the directory.
        let _ = root.unlink(&temporary);
    }
    published
}

/// Publishes a file of `len` durable bytes that stands under `source` as `target`; the name outlives a power loss once
/// its directory is synced, which is left to the caller.
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
        Durability::PowerLoss => root.disk().sync_directory(directory),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("whatever is published lies in a directory of its root")
}

#[cfg(test)]
mod tests;
