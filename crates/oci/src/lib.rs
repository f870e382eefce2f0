//! The nouns and the grammar of the OCI distribution and image specifications.
//!
//! No I/O, no clock, no runtime: every function maps values to values, and every type can only be made
//! by parsing or by hashing.

mod challenge;
mod descriptor;
mod digest;
mod error_body;
mod error_code;
mod lenient;
mod manifest;
mod media_type;
mod platform;
mod query;
mod range;
mod reference;
mod repository;
mod request;
mod schema1;
mod tag_list;

pub use challenge::Challenge;
pub use descriptor::{Descriptor, DescriptorError};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error_body::ErrorBody;
pub use error_code::ErrorCode;
pub use lenient::LenientValue;
pub use manifest::{DESCRIPTOR_COUNT_MAX, MANIFEST_BYTES_MAX, Manifest, ManifestError, ManifestKind};
pub use media_type::{ACCEPTED_MANIFESTS, MediaType, MediaTypeError, is_foreign_layer};
pub use platform::{Platform, PlatformError, Platforms};
pub use query::{Query, QueryError};
pub use range::{ByteRange, RANGE_COUNT_MAX, RangeError, RangeRequest, RangeSet, ResolvedRanges};
pub use reference::{Reference, ReferenceError, Tag};
pub use repository::{Repository, RepositoryError};
pub use request::{CURSOR_KEYS, PAGE_COUNT_MAX, Page, Request, RequestError};
pub use tag_list::is_tag_list;
