//! A word on a tag: the manifest that it names, and when the upstream was asked.

use std::time::{Instant, SystemTime};

use oci::{Digest, MediaType, Repository, Tag};

use crate::shared::Shared;

/// The tag of a word.
pub(crate) type Key = (Repository, Tag);

/// When the upstream was asked. The answer to a later request is newer, whenever it arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedAt {
    /// Orders two requests, because the wall clock may be set back between them.
    pub(super) moment: Instant,
    /// The time for the record on disk.
    pub(super) time: SystemTime,
}

impl AskedAt {
    /// A request that is sent now.
    pub(crate) fn now(shared: &Shared) -> Self {
        Self { moment: Instant::now(), time: shared.now() }
    }

    /// Whether this request was sent before that one.
    pub(crate) fn is_older_than(self, other: Self) -> bool {
        self.moment < other.moment
    }
}

/// The manifest that a tag names, as its record describes it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) digest: Digest,
    pub(crate) media_type: MediaType,
    /// The manifest's length in bytes.
    pub(crate) size: u64,
}
