//! The state that the partial files of one store share.

use std::sync::Arc;

use super::file_source::FileAccess;
use super::jobs::Jobs;
use super::leftovers::Leftovers;
use super::root::Root;

/// The shared state of partial files.
#[derive(Debug)]
pub(crate) struct PartialFiles {
    pub(crate) root: Root,
    pub(crate) access: Arc<FileAccess>,
    /// The kernel's id of this start of the machine; `None`: unknown.
    pub(crate) boot_id: Option<String>,
    /// The digests of which earlier spools may have left files.
    pub(crate) left: Leftovers,
}

impl PartialFiles {
    pub(crate) fn jobs(&self) -> &Jobs {
        &self.access.jobs
    }
}
