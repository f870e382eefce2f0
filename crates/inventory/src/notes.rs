//! What the inventory notes for the next process: when each content was last used, and which images are
//! pinned.

pub(crate) mod pins;
pub(crate) mod uses;
