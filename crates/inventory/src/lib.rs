//! The images that a store holds: which blobs each needs, when each was last used, and which go when room is
//! needed.
//!
//! The [`Inventory`] of a store takes reports of contents that are stored, used and removed. It keeps them in
//! memory, some 32 bytes for each blob; everything is learned from the files after a start, while they are
//! served. The [`Keeper`] removes images to keep the store to its limits, the [`CommonKeeper`] to keep all
//! stores together to theirs.

#![forbid(unsafe_code)]

mod anatomy;
mod clock;
mod common_limits;
mod contents;
mod eviction;
mod failure;
mod hold;
mod images;
mod inventory;
mod keeper;
mod lists;
mod lookup;
mod model;
mod needing;
mod notes;
mod orphans;
mod outline;
mod prune;
mod purge;
mod repositories;
mod room;
mod serving;
mod short_digest;
mod survey;
mod table;
mod tag_name;
mod tally;
mod verification;
mod walk;

pub use anatomy::{Anatomy, BlobPart, ImageStanding, ManifestPart, PlatformPart};
pub use clock::WallClock;
pub use common_limits::CommonKeeper;
pub use contents::{Contents, NamedBlob};
pub use eviction::Freed;
pub use failure::Failure;
pub use hold::Hold;
pub use inventory::{
    ImageCursor, ImageEntry, ImageFigures, ImagePage, Inventory, Leaving, Listing, PinError, Removing,
    Storing,
};
pub use keeper::Keeper;
pub use lookup::{Referrers, referrers_tags};
pub use outline::Role;
pub use policy::eviction::Reason;
pub use prune::{PRUNE_PARTIAL_AFTER, Pruned};
pub use purge::{Parents, Pins, PurgeError, Purged};
pub use room::{Announced, NoRoom};
pub use serving::{AtRest, Serving, remove_tag_of};
pub use survey::{Survey, SurveyedBlob, SurveyedManifest, survey};
pub use tally::Tally;
pub use verification::{Missing, Shelf, Verification, verify};

#[cfg(test)]
mod tests;
