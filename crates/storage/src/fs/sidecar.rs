//! The sidecar of a partial file tells a later process which bytes of the file to trust.
//!
//! The length of a file that was written in order says where to resume: the kernel keeps the bytes that a
//! killed process has written. A file that was written out of order has holes, so its sidecar lists the
//! written ranges. A power loss may keep the length and lose the bytes, so after a restart of the machine
//! only bytes that were made durable before are trusted.

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

/// Larger than any sidecar.
const SIDECAR_BYTES_MAX: u64 = 4096;

/// The most ranges after the first hole that a sidecar lists: the longest ones. Each takes up to 43 bytes.
const BEYOND_COUNT_MAX: usize = 64;

/// The sidecar; a small JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sidecar {
    /// The whole content's size in bytes, once known.
    pub(crate) size: Option<u64>,
    /// The kernel's id of the start of the machine in which the bytes were written; `None`: unknown.
    pub(crate) boot_id: Option<String>,
    /// Whether the listed bytes were made durable.
    #[serde(default)]
    pub(crate) synced: bool,
    /// The length of the contiguous beginning; `None`: the file has no holes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) front: Option<u64>,
    /// The written ranges after the first hole: starts and ends. Older programs ignore it and trust only the
    /// front.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) beyond: Vec<(u64, u64)>,
}

impl Sidecar {
    /// The sidecar of a file, with or without holes, that has the `written` ranges.
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

    /// The trusted ranges of a file of `len` bytes, if this start of the machine is `boot_id`.
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
            // Another program has put a directory there. A rename replaces anything else.
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
