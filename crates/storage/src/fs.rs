//! The file engine: plain files that a person can read with `find` and `cat` (`layout.rs` draws the tree).
//!
//! Files are the truth; there is no index, only a cache of small files that were used lately. Disk work runs
//! on the runtime's blocking threads, because a disk that hangs would hold up every connection of a thread.
//! Only files that the kernel has in memory are opened and read on the caller's thread.

mod backings;
mod batcher;
mod blobs;
mod buffer_pool;
mod capabilities;
mod collected;
mod commits;
mod counted;
mod disk;
mod entries;
pub mod fault;
mod file_cache;
mod file_source;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod inspection;
mod jobs;
mod layout;
mod leftovers;
mod levels;
mod lists;
mod litter;
mod meter;
mod notes;
mod open_root;
mod opening;
mod os_error;
pub(crate) mod partial;
mod partial_files;
mod publish;
mod record_names;
mod records;
mod removal;
mod repositories;
mod resume;
mod root;
mod sidecar;
mod slots;
mod small_file;
mod spools;
mod stock;
mod store;
mod sweep;
mod timestamp;

#[cfg(any(test, feature = "fault"))]
pub use opening::open_with;
pub use opening::{Settings, may_be_store, open};
pub use store::FsStore;

#[cfg(test)]
mod tests;
