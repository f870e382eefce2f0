//! Images from elsewhere: the storage directory of another registry, and OCI image layouts.
//!
//! A [`Source`] is foreign input. Paths never lead out of it, symbolic links in it are not followed, each
//! document has a size bound, and a store takes nothing before its digest was verified. [`import`] copies
//! images through the public contract of a store: manifests, then blobs, then tags. A crash therefore leaves
//! no tag without its manifest, and another run continues where the last one ended.

mod blocking;
mod confined;
mod import;
mod listing;
mod name;
mod source;

pub use import::{ImportError, Options, Report, import};
pub use listing::Refusal;
pub use name::ImageName;
pub use source::{Kind, Source, SourceError};
