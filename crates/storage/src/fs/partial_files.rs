//! The state that the partial files of one store share.

use std::sync::Arc;

use super::file_source::FileAccess;
use super::jobs::Jobs;
use super::leftovers::Leftovers;
use super::root::Root;

/// Where partial files are made and read.
#[derive(Debug)]
pub(crate) struct PartialFiles {
    pub(crate) root: Root,
    pub(crate) access: Arc<FileAccess>,
    /// Which start of the machine this is; `None`: that cannot be told.
    pub(crate) boot_id: Option<String>,
    /// The digests of which earlier spools may have left something.
    pub(crate) left: Leftovers,
}

impl PartialFiles {
    pub(crate) fn jobs(&self) -> &Jobs {
        &self.access.jobs
    }
}
