//! The kernel's numbers of this process, read from `/proc` when somebody asks for the metrics.

use std::fs;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Memory and file descriptors: the two things whose slow growth is a leak.
#[derive(Debug, Default)]
pub(crate) struct Process {
    resident_bytes: Gauge,
    open_files: Gauge,
}

impl Process {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let process = Self::default();
        registry.register_with_unit(
            "process_resident_memory",
            "Memory that the kernel holds for this process",
            Unit::Bytes,
            process.resident_bytes.clone(),
        );
        registry.register(
            "process_open_files",
            "File descriptors in use, sockets among them",
            process.open_files.clone(),
        );
        process
    }

    /// Reads both anew. Where there is no `/proc` they stay 0.
    pub(crate) fn sample(&self) {
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            self.resident_bytes.set(resident_bytes(&status).unwrap_or(0));
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // Reading the directory takes one descriptor itself.
            self.open_files.set(i64::try_from(entries.count()).unwrap_or(i64::MAX) - 1);
        }
    }
}

/// The `VmRSS` line counts in kB whatever the page size.
fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}
