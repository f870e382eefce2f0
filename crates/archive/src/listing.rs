//! The images that a source names.

use std::fmt;
use std::time::SystemTime;

use oci::{Digest, Repository, Tag};
use policy::docker_hub;
use policy::image::ImageName;
use serde::{Deserialize, Serialize};

use crate::target::Target;

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
    /// The image of this name, with its tag as it was `at` that time. `None`: no registry can have it.
    pub(crate) fn named(name: &ImageName, digest: Digest, at: SystemTime) -> Option<Self> {
        let (host, repository) = name.as_docker_reads_it().ok()?;
        let tags = name.tag().map(|tag| (tag.clone(), at)).into_iter().collect();
        Some(Self { host: Some(host), repository, digest, tags })
    }

    /// The image as the registry that takes it knows it: on Docker Hub, a repository of one part is in
    /// `library/`.
    ///
    /// # Errors
    /// A line for the operator: the repository is too long for that.
    pub(crate) fn taken_by(&self, target: &Target) -> Result<Self, String> {
        let mut image = self.clone();
        if target.is_docker_hub() {
            image.repository =
                docker_hub::in_library_if_short(&self.repository).map_err(|error| error.to_string())?;
        }
        Ok(image)
    }

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
    pub(crate) refusals: Refusals,
}

/// The most refused parts that a report names; it counts all.
const NAMED_COUNT_MAX: usize = 10_000;

/// The longest name and the longest reason in a report, in bytes.
const TEXT_BYTES_MAX: usize = 512;

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
        Self { what: shortened(what.to_string()), reason: shortened(reason.to_string()) }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

/// Refused parts: all are counted, and the first ones are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    pub(crate) count: u64,
    pub(crate) named: Vec<Refusal>,
}

impl Refusals {
    pub(crate) fn push(&mut self, refusal: Refusal) {
        self.append(refusal.into());
    }

    pub(crate) fn append(&mut self, more: Self) {
        self.count += more.count;
        name_more(&mut self.named, more.named);
    }
}

impl From<Refusal> for Refusals {
    fn from(refusal: Refusal) -> Self {
        Self { count: 1, named: vec![refusal] }
    }
}

/// Names further refused parts, as far as there is room.
pub(crate) fn name_more(named: &mut Vec<Refusal>, more: impl IntoIterator<Item = Refusal>) {
    let room = NAMED_COUNT_MAX.saturating_sub(named.len());
    named.extend(more.into_iter().take(room));
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_refused_parts_are_counted_and_the_first_ones_are_named_in_short() {
        let long = "é".repeat(TEXT_BYTES_MAX);
        let mut refusals = Refusals::default();
        for number in 0..NAMED_COUNT_MAX + 5 {
            let mut more = Refusals::default();
            more.push(Refusal::new(number, &long));
            refusals.append(more);
        }
        assert_eq!((refusals.count, refusals.named.len()), (10_005, 10_000));
        let last = &refusals.named[9_999];
        assert_eq!((last.what.as_str(), last.reason.chars().count()), ("9999", TEXT_BYTES_MAX / 2 + 1));
        assert!(last.reason.ends_with('…'));
    }
}
