//! Images on their way between stores: imports from other registries' directories and from archives, and
//! exports as OCI image layouts.
//!
//! An import reads foreign content. Paths never lead out of it, symbolic links in it are not followed, each
//! document has a size bound, and a store takes nothing before its digest was verified.

mod blocking;
mod confined;
mod content;
mod export;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod image_index;
mod import;
mod layout;
mod listing;
mod pack;
mod selector;
mod source;
mod tarball;
mod target;
mod unpack;

pub use blocking::SentBytes;
pub use export::{ExportError, ExportReport, Progress, export};
pub use import::{ImportError, KeptTag, Options, Report, import, import_archive};
pub use listing::{Refusal, Refusals};
pub use pack::{Batch, Packer, Receiver, Registries};
pub use selector::Selector;
pub use source::{Kind, Source, SourceError};
pub use tarball::TarError;
pub use target::{OpenTargets, ServedTargets, Target, Targets};
pub use unpack::{WriteError, Written, write_export};
