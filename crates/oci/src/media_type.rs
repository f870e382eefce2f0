//! Media types, kept exactly as the upstream wrote them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The `Accept` header of every manifest request: all manifest kinds in use, so that an answer never depends
/// on the types that one client accepts.
pub const ACCEPTED_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.artifact.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws, */*";

/// The longest media type accepted, in bytes (RFC 6838 section 4.2 allows 127 on each side of the slash).
const MEDIA_TYPE_BYTES_MAX: usize = 255;

/// A `Content-Type` value of visible ASCII with a slash; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MediaType(Arc<str>);

/// The text is not a media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a media type")]
pub struct MediaTypeError;

/// Tells whether layers of this media type are foreign, also called non-distributable: another server than
/// the registry serves them (image-spec, "Non-Distributable Layers").
pub fn is_foreign_layer(media_type: &str) -> bool {
    media_type.contains(".foreign.") || media_type.contains(".nondistributable.")
}

impl MediaType {
    /// Makes one of the media types that this crate names.
    pub(crate) fn known(text: &'static str) -> Self {
        Self(text.into())
    }

    /// `application/octet-stream`.
    pub(crate) fn octet_stream() -> Self {
        Self::known("application/octet-stream")
    }

    /// Returns the value as the upstream wrote it, parameters included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the value without parameters, for comparison with a manifest's `mediaType`.
    pub fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or_default().trim_end()
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        let is_visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let essence = text.split(';').next().unwrap_or_default().trim_end();
        let has_form = essence
            .split_once('/')
            .is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty() && !essence.contains(' '));
        if is_visible && has_form && text.len() <= MEDIA_TYPE_BYTES_MAX {
            Ok(Self(text.into()))
        } else {
            Err(MediaTypeError)
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
