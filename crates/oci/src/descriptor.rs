//! Descriptors (image-spec, "OCI Content Descriptors"): what a manifest says of a content it refers to.

use serde::Deserialize;

use crate::digest::{Digest, DigestError};
use crate::media_type::{MediaType, MediaTypeError};

/// What a manifest says of one content. Its `urls` are not kept: wharf never fetches from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The content's media type; `application/octet-stream` where the manifest names none.
    pub media_type: MediaType,
    /// The content's digest.
    pub digest: Digest,
    /// The content's length in bytes.
    pub size: u64,
}

/// Why a descriptor is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// `digest` is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// `mediaType` is no media type.
    #[error(transparent)]
    MediaType(#[from] MediaTypeError),
    /// `size` is negative or beyond the specification's `int64`.
    #[error("the size is not between 0 and 2^63 - 1")]
    Size,
}

/// A descriptor as JSON has it. Properties not named here are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawDescriptor {
    media_type: Option<String>,
    digest: String,
    size: i64,
}

impl TryFrom<RawDescriptor> for Descriptor {
    type Error = DescriptorError;

    fn try_from(raw: RawDescriptor) -> Result<Self, DescriptorError> {
        let media_type = raw.media_type.filter(|text| !text.is_empty());
        Ok(Self {
            media_type: media_type.as_deref().unwrap_or("application/octet-stream").parse()?,
            digest: raw.digest.parse()?,
            size: u64::try_from(raw.size).map_err(|_| DescriptorError::Size)?,
        })
    }
}

#[cfg(test)]
mod tests;
