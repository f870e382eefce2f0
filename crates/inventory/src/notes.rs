//! The notes for the next process: last uses, pinned images, and manifests whose removal may be unfinished.

pub(crate) mod leftovers;
pub(crate) mod pins;
pub(crate) mod uses;
