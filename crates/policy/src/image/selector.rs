//! An argument that names one image, or all that match a pattern.

use std::fmt;
use std::str::FromStr;

use super::{ImageName, ImageNameError, ImagePattern, PatternError, digest_alone};

/// An argument that names images.
#[derive(Clone, Debug)]
pub enum ImageSelector {
    /// `alpine`, which is `alpine:latest`; `ghcr.io/org/app@sha256:...`.
    One(ImageName),
    /// With `*` or `?`, or a digest alone.
    Pattern(ImagePattern),
}

/// The reasons why a text names no images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// No name.
    #[error("{0}; write an image as alpine, ghcr.io/org/app:v1 or ghcr.io/org/app@sha256:...")]
    Name(#[from] ImageNameError),
    /// No pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl FromStr for ImageSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        match text.contains(['*', '?']) || text.starts_with('@') || digest_alone(text).is_some() {
            true => Ok(Self::Pattern(text.parse()?)),
            false => Ok(Self::One(text.parse()?)),
        }
    }
}

impl fmt::Display for ImageSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(image) => image.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}
