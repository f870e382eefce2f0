//! Descriptors (image-spec, "OCI Content Descriptors"): what a manifest says of a content it refers to.

use serde::Deserialize;

use crate::digest::{Digest, DigestError};
use crate::loose::Loose;
use crate::media_type::MediaType;

/// What a manifest says of one content. Its `urls` are not kept: wharf never fetches from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The content's media type; `application/octet-stream` where the manifest names none.
    pub media_type: MediaType,
    /// The content's digest.
    pub digest: Digest,
    /// The content's length in bytes; none where the manifest names none that makes sense.
    pub size: Option<u64>,
}

/// Why a descriptor is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// `digest` is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// A descriptor as JSON has it. Properties not named here are ignored, and of those that are only the digest must
/// be right: whoever has that has the content.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawDescriptor {
    #[serde(default)]
    media_type: Loose,
    digest: String,
    #[serde(default)]
    size: Loose,
}

impl RawDescriptor {
    /// The media type as it stands there.
    pub(crate) fn media_type(&self) -> Option<&str> {
        if let Loose::Text(text) = &self.media_type { Some(text) } else { None }
    }
}

impl TryFrom<RawDescriptor> for Descriptor {
    type Error = DescriptorError;

    fn try_from(raw: RawDescriptor) -> Result<Self, DescriptorError> {
        let media_type = raw.media_type().and_then(|text| text.parse().ok());
        Ok(Self {
            media_type: media_type.unwrap_or_else(MediaType::octet_stream),
            digest: raw.digest.parse()?,
            size: raw.size.number().and_then(|size| u64::try_from(size).ok()),
        })
    }
}

#[cfg(test)]
mod tests;
