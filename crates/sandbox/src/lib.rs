//! Takes rights from the process that it never uses, so that a fault in it does less harm.
//!
//! Linux lets a process confine itself without any privilege: Landlock (landlock(7)) limits the files that it
//! can write, and a seccomp filter (seccomp(2)) the system calls that it can make. Neither can be taken back.
//! Where the kernel lacks one, the process runs without it.

mod calls;
mod files;

use std::path::PathBuf;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// The reason for which a limit is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconfined {
    /// The kernel or the processor's architecture lacks it.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The system refused it.
    #[error("the system refused it: {0}")]
    Refused(String),
}

/// The limits in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Writing files is limited to directories.
    pub files: Result<(), Unconfined>,
    /// System calls are limited to those that a server without child processes makes.
    pub calls: Result<(), Unconfined>,
}

/// The directories in which a confined process can change something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Directories<'a> {
    /// It can create, change and remove files below these.
    pub writable: &'a [PathBuf],
    /// It can remove empty directories below these.
    pub emptied: &'a [PathBuf],
    /// It can make Unix sockets and remove files below these.
    pub sockets: &'a [PathBuf],
}

/// Confines the process: it can change files only in these directories, read any file, and start no
/// program. Threads that started
/// before keep their rights on kernels before Linux 7.0, so a caller confines the process before it starts
/// any.
///
/// Files and sockets that are open stay usable.
pub fn confine(directories: Directories<'_>) -> Confinement {
    // The filter forbids the calls of Landlock.
    let files = files::confine(directories);
    Confinement { files, calls: calls::confine() }
}

/// Forbids memory dumps of the process, and reading its memory and environment through `/proc` by other
/// processes of its user (`PR_SET_DUMPABLE`, prctl(2)): they hold passwords.
pub fn forbid_dumps() {
    // The call fails for a wrong argument only.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
