//! Descriptors (image-spec, "OCI Content Descriptors"): a manifest's reference to a content.

use serde::Deserialize;

use crate::digest::{Digest, DigestError};
use crate::lenient::LenientValue;
use crate::media_type::MediaType;

/// A manifest's reference to one content. It leaves out `urls`: wharf never fetches from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The content's media type; `application/octet-stream` where the manifest names none.
    pub media_type: MediaType,
    /// The content's digest.
    pub digest: Digest,
    /// The content's length in bytes; `None` where the manifest gives no length or an impossible one.
    pub size: Option<u64>,
}

/// The reasons why a descriptor is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// `digest` is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// A descriptor as JSON has it. Other properties are ignored. Only the digest must be right, because it alone
/// identifies the content.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawDescriptor {
    #[serde(default)]
    media_type: LenientValue,
    digest: String,
    #[serde(default)]
    size: LenientValue,
}

impl RawDescriptor {
    /// Returns the media type as the manifest writes it.
    pub(crate) fn media_type(&self) -> Option<&str> {
        if let LenientValue::Text(text) = &self.media_type { Some(text) } else { None }
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
