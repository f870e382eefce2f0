//! What the spools of one store have in common.

use std::sync::Arc;

use super::file_source::FileAccess;
use super::jobs::Jobs;
use super::left::Left;
use super::root::Root;

/// Where partial files are made and read.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) root: Root,
    pub(crate) access: Arc<FileAccess>,
    /// Which start of the machine this is; `None`: that cannot be told.
    pub(crate) boot_id: Option<String>,
    /// What earlier spools may have left.
    pub(crate) left: Left,
}

impl Workshop {
    pub(crate) fn jobs(&self) -> &Jobs {
        &self.access.jobs
    }
}
