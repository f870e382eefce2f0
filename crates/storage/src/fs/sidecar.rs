//! The note beside a partial file, which tells a later process how much of the file to believe.
//!
//! A file that was written in order is as long as what was written into it: the kernel keeps what a killed
//! process has written, so its length says where to go on. A file written out of order has holes, so there
//! the note lists what is written. A power loss may spare the length and lose the bytes, so after another
//! start of the machine only what was made durable before counts.

use std::path::Path;

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::disk::Found;
use super::publish::{self, Durability};
use super::root::Root;
use crate::error::StoreError;
use crate::extents::Extents;

/// More than any sidecar has.
const SIDECAR_BYTES_MAX: u64 = 4096;

/// Ranges beyond the first hole that a note lists: the longest ones. Each takes up to 43 bytes of it.
const BEYOND_COUNT_MAX: usize = 64;

/// The note; a small JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sidecar {
    /// The whole content's size in bytes, once known.
    pub(crate) size: Option<u64>,
    /// Which start of the machine the bytes were written in; `None`: that could not be told.
    pub(crate) boot_id: Option<String>,
    /// Whether the noted bytes were made durable.
    #[serde(default)]
    pub(crate) synced: bool,
    /// No hole lies below this offset; `None`: there is none at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) front: Option<u64>,
    /// The ranges that are written beyond the first hole: starts and ends. Programs that do not know it believe the front.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) beyond: Vec<(u64, u64)>,
}

impl Sidecar {
    /// A note on a file with or without holes, of which `written` is there.
    pub(crate) fn listing(
        written: &Extents,
        size: Option<u64>,
        boot_id: Option<String>,
        synced: bool,
    ) -> Self {
        let front = written.contiguous_from(0);
        let mut beyond: Vec<_> = written.ranges().iter().filter(|range| range.start > 0).copied().collect();
        if beyond.len() > BEYOND_COUNT_MAX {
            beyond.sort_unstable_by_key(|range| std::cmp::Reverse(range.len()));
            beyond.truncate(BEYOND_COUNT_MAX);
            beyond.sort_unstable_by_key(|range| range.start);
        }
        let beyond = beyond.iter().map(|range| (range.start, range.end)).collect();
        Self { size, boot_id, synced, front: Some(front), beyond }
    }

    /// The ranges of a file of `len` bytes that are believed, in a machine started as `boot_id`.
    pub(crate) fn trusted(&self, len: u64, boot_id: Option<&str>) -> Extents {
        let end = len.min(self.size.unwrap_or(u64::MAX));
        let is_same_start = boot_id.is_some() && self.boot_id.as_deref() == boot_id;
        match self.front {
            Some(front) if is_same_start || self.synced => {
                let noted = [(0, front)].into_iter().chain(self.beyond.iter().copied());
                Extents::of(noted.map(|(start, stop)| (start, stop.min(end))))
            }
            None if is_same_start => Extents::prefix(end),
            _ => Extents::default(),
        }
    }

    /// Reads the sidecar at `path`; `None`: there is none that can be read.
    pub(crate) fn read(root: &Root, path: &Path) -> Result<Option<Self>, StoreError> {
        let Found::Regular(file, size) = root.disk().open_regular(path, OFlags::RDONLY)? else {
            return Ok(None);
        };
        let Ok(len @ 1..) = usize::try_from(size.min(SIDECAR_BYTES_MAX)) else { return Ok(None) };
        let mut buffer = vec![0; len];
        let Ok(count) = root.disk().read_full(&file, &mut buffer, 0) else { return Ok(None) };
        Ok(serde_json::from_slice(&buffer[..count]).ok())
    }

    /// Replaces the sidecar at `path`.
    pub(crate) fn write(&self, root: &Root, path: &Path, durability: Durability) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec(self).expect("strings and numbers are always JSON");
        text.push(b'\n');
        let text = [Bytes::from(text)];
        match publish::bytes(root, path, &text, durability) {
            // Somebody has put a directory there. Anything else is replaced.
            Err(error) if error.is(Errno::ISDIR) => {
                root.set_aside(path)?;
                publish::bytes(root, path, &text, durability)
            }
            written => written,
        }
    }
}

#[cfg(test)]
mod tests;
