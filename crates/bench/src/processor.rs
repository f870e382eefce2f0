//! Assigns processors, and measures their usage by a process.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processor of the measured server, and the one of clients and upstreams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processors {
    pub(crate) server: usize,
    pub(crate) rest: usize,
}

impl Processors {
    /// The first two that this process may use.
    ///
    /// # Errors
    /// If there are fewer than two.
    pub(crate) fn choose() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        match (usable.next(), usable.next()) {
            (Some(server), Some(rest)) => Ok(Self { server, rest }),
            _ => Err(io::Error::other("two processors are needed: one for the server, one for its clients")),
        }
    }

    /// Keeps this process, with its future threads, off the server's processor.
    pub(crate) fn keep_off(self) -> io::Result<()> {
        let mut set = CpuSet::new();
        set.set(self.rest);
        Ok(sched_setaffinity(None, &set)?)
    }
}

/// The usage of a process and its descendants so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) resident: u64,
}

/// The usage of the process `root` and of its living descendants.
pub(crate) fn usage(root: u32) -> Usage {
    let processes: Vec<Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Stat::read)
        .collect();
    let mut members = vec![root];
    let mut next = 0;
    while let Some(parent) = members.get(next).copied() {
        members.extend(processes.iter().filter(|stat| stat.parent == parent).map(|stat| stat.id));
        next += 1;
    }
    let members = processes.iter().filter(|stat| members.contains(&stat.id));
    members.fold(Usage::default(), |sum, stat| Usage {
        cpu: sum.cpu + stat.cpu,
        resident: sum.resident + stat.resident,
    })
}

/// The share of all processors that was busy between two readings of `/proc/stat`: 0 to the number of them.
pub(crate) fn busy_ticks() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal: see proc(5).
    [0, 1, 2, 5, 6, 7].iter().filter_map(|index| fields.get(*index)).sum()
}

/// The ticks of [`busy_ticks`] in one second of one processor.
pub(crate) fn ticks_per_second() -> f64 {
    clock_ticks_per_second() as f64
}

struct Stat {
    id: u32,
    parent: u32,
    cpu: Duration,
    resident: u64,
}

impl Stat {
    /// Reads `/proc/<id>/stat` (proc(5)). Returns `None` if the process has ended.
    fn read(id: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in parentheses may hold anything; the fields after it count from 3.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index - 3)?.parse::<u64>().ok();
        let ticks = number(14)? + number(15)?;
        Some(Self {
            id,
            parent: u32::try_from(number(4)?).ok()?,
            cpu: Duration::from_secs_f64(ticks as f64 / ticks_per_second()),
            resident: number(24)? * rustix::param::page_size() as u64,
        })
    }
}
