//! What is noted beside a partial file, so that a later process knows how much of it to believe.
//!
//! A file that was written in order is as long as what was written into it: the kernel keeps what a killed
//! process has written, so its length says where to go on. A file written out of order has holes, so there
//! the note says up to where it had none. A power loss may spare the length and lose the bytes, so after
//! another start of the machine only what was made durable before counts.

use std::path::Path;

use bytes::Bytes;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::disk::Found;
use super::root::Root;
use crate::error::StoreError;
use crate::publish::{self, Durability};

/// More than any sidecar has.
const SIDECAR_BYTES_MAX: u64 = 4096;

/// The note; a small JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sidecar {
    /// The whole content's size in bytes, once known.
    pub(crate) size: Option<u64>,
    /// Which start of the machine the bytes were written in; none: that could not be told.
    pub(crate) boot_id: Option<String>,
    /// Everything below `front` was made durable.
    #[serde(default)]
    pub(crate) synced: bool,
    /// No hole lies below this offset; none: there is none at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) front: Option<u64>,
}

impl Sidecar {
    /// How many bytes of a file of `len` bytes are believed, in a machine started as `boot_id`.
    pub(crate) fn trusted(&self, len: u64, boot_id: Option<&str>) -> u64 {
        let is_same_start = boot_id.is_some() && self.boot_id.as_deref() == boot_id;
        let written = match (is_same_start, self.synced, self.front) {
            (_, true, Some(front)) | (true, false, Some(front)) => front.min(len),
            (true, _, None) => len,
            (false, ..) => 0,
        };
        written.min(self.size.unwrap_or(u64::MAX))
    }

    /// Reads the sidecar at `path`; none: there is none that can be read.
    pub(crate) fn read(root: &Root, path: &Path) -> Result<Option<Self>, StoreError> {
        let Found::Regular(file, size) = root.disk().open_regular(path, OFlags::RDONLY)? else {
            return Ok(None);
        };
        let Ok(len @ 1..) = usize::try_from(size.min(SIDECAR_BYTES_MAX)) else { return Ok(None) };
        let mut buffer = vec![0; len];
        let Ok(count) = root.disk().read(&file, &mut buffer, 0) else { return Ok(None) };
        Ok(serde_json::from_slice(&buffer[..count]).ok())
    }

    /// Replaces the sidecar at `path`.
    pub(crate) fn write(&self, root: &Root, path: &Path, durability: Durability) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec(self).expect("strings and numbers are always JSON");
        text.push(b'\n');
        publish::bytes(root, path, &[Bytes::from(text)], durability)
    }
}

#[cfg(test)]
mod tests;
