//! The report of an import.

use std::fmt;

use oci::Digest;
use policy::freshness::ImportedTag;
use serde::{Deserialize, Serialize};

use crate::listing::{Refusal, Refusals, name_more};

/// The most kept tags that a report names; it counts all.
const KEPT_COUNT_MAX: usize = 100;

/// The outcome of an import.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Report {
    /// Images whose manifests and tags are stored, with those of their blobs that the archive has.
    pub images: u64,
    /// Those among them that lack a blob or the manifest of a platform.
    pub incomplete: u64,
    /// Blobs copied.
    pub blobs: u64,
    /// Bytes of the blobs copied.
    pub bytes: u64,
    /// Those among them that share their blocks on disk with the source.
    pub cloned_bytes: u64,
    /// Blobs that the store already had.
    pub held_blobs: u64,
    /// Tags written.
    pub tags: u64,
    /// Tags that named the same manifest already.
    pub held_tags: u64,
    /// Tags that still name another manifest, because the store knows something newer.
    pub kept_tags: u64,
    /// Some of these.
    pub kept: Vec<KeptTag>,
    /// The refused parts of the archive.
    pub refused: u64,
    /// Some of these.
    pub refusals: Vec<Refusal>,
}

/// A tag that still names another manifest than in the archive.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct KeptTag {
    /// The image's name, with registry and tag.
    pub image: String,
    /// The digest that the tag has in the store; `None`: the registry said that the tag is gone.
    pub stored: Option<String>,
    /// The digest that the tag has in the archive.
    pub archived: String,
}

impl fmt::Display for KeptTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { image, stored, archived } = self;
        match stored {
            Some(stored) => write!(f, "{image} at {stored}; the archive has {archived}"),
            None => write!(f, "{image} without an image, as its registry said; the archive has {archived}"),
        }
    }
}

impl Report {
    /// Counts an imported tag. `image` is its name.
    pub(crate) fn count_tag(&mut self, imported: ImportedTag, image: &str, archived: &Digest) {
        match imported {
            ImportedTag::Stored => self.tags += 1,
            ImportedTag::Same => self.held_tags += 1,
            ImportedTag::Kept(stored) => {
                self.kept_tags += 1;
                let stored = stored.map(|digest| digest.to_string());
                self.keep([KeptTag { image: image.to_owned(), stored, archived: archived.to_string() }]);
            }
        }
    }

    /// Adds the outcome of a further archive.
    pub fn add(&mut self, other: Self) {
        self.images += other.images;
        self.incomplete += other.incomplete;
        self.blobs += other.blobs;
        self.bytes += other.bytes;
        self.cloned_bytes += other.cloned_bytes;
        self.held_blobs += other.held_blobs;
        self.tags += other.tags;
        self.held_tags += other.held_tags;
        self.kept_tags += other.kept_tags;
        self.keep(other.kept);
        self.refuse(Refusals { count: other.refused, named: other.refusals });
    }

    /// Adds refused parts.
    pub fn refuse(&mut self, refusals: impl Into<Refusals>) {
        let Refusals { count, named } = refusals.into();
        self.refused += count;
        name_more(&mut self.refusals, named);
    }

    fn keep(&mut self, kept: impl IntoIterator<Item = KeptTag>) {
        let room = KEPT_COUNT_MAX.saturating_sub(self.kept.len());
        self.kept.extend(kept.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use oci::Algorithm;

    use super::*;

    #[test]
    fn all_kept_tags_are_counted_and_the_first_hundred_are_named() {
        let digest = Digest::of(Algorithm::Sha256, b"a");
        let (mut one, mut other) = (Report::default(), Report::default());
        for number in 0..70 {
            one.count_tag(ImportedTag::Kept(None), &format!("a:{number}"), &digest);
            other.count_tag(ImportedTag::Kept(Some(digest.clone())), &format!("b:{number}"), &digest);
        }
        other.count_tag(ImportedTag::Same, "c:1", &digest);
        other.count_tag(ImportedTag::Stored, "c:2", &digest);
        one.add(other);
        assert_eq!((one.tags, one.held_tags, one.kept_tags, one.kept.len()), (1, 1, 140, 100));
        assert_eq!(one.kept[70].image, "b:0");
    }
}
