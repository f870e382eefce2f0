//! The kernel's numbers of this process, read from `/proc`: memory and file descriptors, the two things whose slow growth
//! is a leak. Where there is no `/proc` there are no numbers.

use std::fs;

/// The memory that the kernel holds for this process, in bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    // The `VmRSS` line counts in kB whatever the page size.
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The file descriptors in use.
pub(crate) fn open_files() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    // Reading the directory takes one descriptor itself.
    (entries.count() as u64).checked_sub(1)
}
