//! The capabilities of a root's file system.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::OFlags;

use super::disk::{Disk, Found};
use super::layout::Layout;

/// The `statfs` numbers of ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs, F2FS, bcachefs and ZFS (statfs(2)).
const LOCAL_FILE_SYSTEMS: [i128; 8] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0xf2f5_2010, 0xca45_1a4e, 0x2fc1_2fc1];

/// Those on which one call makes everything durable: ext2 to ext4, XFS, Btrfs, tmpfs and F2FS.
const SYNCED_TOGETHER: [i128; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0xf2f5_2010];

/// Those of which several, each with an id of its own, take their bytes from one pool: Btrfs and ZFS.
const POOLED: [i128; 2] = [0x9123_683e, 0x2fc1_2fc1];

/// The capabilities, detected once when a store is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capabilities {
    /// Whether the file system supports `sendfile`.
    pub(crate) can_send: bool,
    /// Whether opening a file that the kernel has in memory involves neither another machine nor another
    /// program.
    pub(crate) is_local: bool,
    /// Whether one call makes everything written to the file system durable, and reports every failed write.
    pub(crate) syncs_together: bool,
    /// Whether file systems with other ids may take the same bytes.
    pub(crate) is_pooled: bool,
}

impl Capabilities {
    /// Detects the capabilities of an open root's file system.
    pub(super) fn of(disk: &Disk, layout: &Layout) -> Self {
        let kind = kind_of(layout.root());
        let is_one_of = |kinds: &[i128]| kind.is_some_and(|kind| kinds.contains(&kind));
        let release = rustix::system::uname();
        // Through overlayfs `syncfs` does not report failed writes.
        let tells = release.release().to_str().is_ok_and(tells_of_failed_writes);
        Self {
            can_send: can_send(disk, layout),
            is_local: is_one_of(&LOCAL_FILE_SYSTEMS),
            syncs_together: tells && is_one_of(&SYNCED_TOGETHER),
            is_pooled: is_one_of(&POOLED),
        }
    }
}

/// Whether the root's file system supports `sendfile`, tried with the root's `VERSION` file. Without it (some
/// FUSE and network file systems), only speed is lost.
fn can_send(disk: &Disk, layout: &Layout) -> bool {
    let marker = disk.open_regular(&layout.version(), OFlags::RDONLY);
    let (Ok(Found::Regular(file, _)), Ok((socket, _peer))) = (marker, UnixStream::pair()) else {
        return false;
    };
    disk.send(&file, socket.as_fd(), 0, 1).is_ok()
}

/// Whether `syncfs` reports failed writes in a kernel of this release: from Linux 5.8 on.
fn tells_of_failed_writes(release: &str) -> bool {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (5, 8))
}

fn kind_of(path: &Path) -> Option<i128> {
    // The field's width differs between machines.
    rustix::fs::statfs(path).map(|stat| i128::from(stat.f_type)).ok()
}

#[cfg(test)]
mod tests;
