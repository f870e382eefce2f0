//! The memory and the file descriptors of this process, whose slow growth shows a leak. They are read from
//! `/proc`; without it there are no numbers.

use std::fs;

/// The resident memory of this process, in bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    // `VmRSS` is in kB, whatever the page size.
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The number of open file descriptors.
pub(crate) fn open_files() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    // Reading the directory itself needs one descriptor.
    (entries.count() as u64).checked_sub(1)
}
