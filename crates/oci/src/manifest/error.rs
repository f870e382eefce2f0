//! The reasons to refuse a manifest, and its size limits.

use crate::descriptor::DescriptorError;

/// The largest manifest read, in bytes; the distribution specification asks registries to take at least 4 MB.
pub const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most layers, or the most child manifests, that one manifest may name.
pub const DESCRIPTOR_COUNT_MAX: usize = 10_000;

/// The deepest nesting of objects and arrays in one manifest.
pub(super) const DEPTH_MAX: usize = 32;

/// The reasons why a document must not be served as a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More than [`MANIFEST_BYTES_MAX`] bytes.
    #[error("the manifest has more than {MANIFEST_BYTES_MAX} bytes")]
    TooLarge,
    /// Objects and arrays nested too deep.
    #[error("the manifest is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// More than [`DESCRIPTOR_COUNT_MAX`] layers or child manifests.
    #[error("the manifest names more than {DESCRIPTOR_COUNT_MAX} contents")]
    TooManyDescriptors,
    /// Not JSON, not an object, or a property of the wrong shape. The text says which and where.
    #[error("the manifest is not readable: {0}")]
    Unreadable(String),
    /// An invalid descriptor.
    #[error("the manifest has a bad descriptor: {0}")]
    Descriptor(#[from] DescriptorError),
    /// Both an index and an image, so that clients could differ about what it is.
    #[error("the manifest is both an index and an image")]
    Ambiguous,
    /// JSON without any part of a manifest, such as an error message.
    #[error("the document has neither config, layers nor manifests")]
    NotAManifest,
}
