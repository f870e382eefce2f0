//! The images that a source names.

use std::fmt;
use std::time::SystemTime;

use oci::{Digest, Repository, Tag};
use serde::{Deserialize, Serialize};

/// A top-level image of a source.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The registry that the source names, if it names one.
    pub(crate) host: Option<String>,
    pub(crate) repository: Repository,
    /// The digest of its manifest or index.
    pub(crate) digest: Digest,
    /// Its tags, each with the time for which the source vouches.
    pub(crate) tags: Vec<(Tag, SystemTime)>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        f.write_str(&self.in_registry())
    }
}

impl Found {
    /// Its name without a registry.
    pub(crate) fn in_registry(&self) -> String {
        match self.tags.first() {
            Some((tag, _)) => format!("{}:{tag}", self.repository),
            None => format!("{}@{}", self.repository, self.digest),
        }
    }
}

/// A part of a source: images, and what was malformed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) images: Vec<Found>,
    pub(crate) refusals: Vec<Refusal>,
}

/// Something that was not imported, and the reason.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// An image, a tag, a blob or a repository.
    pub what: String,
    /// The reason.
    pub reason: String,
}

impl Refusal {
    pub(crate) fn new(what: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self { what: what.to_string(), reason: reason.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}
