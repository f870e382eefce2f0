//! Lists of images, and the order in which they were used.

use std::time::{Duration, SystemTime};

use oci::{Digest, Repository, Tag};

use super::Inventory;
use crate::clock::Seconds;
use crate::images::{Images, Oldest, Row, Slot};

/// How many manifests one page of [`Inventory::images`] looks at, at the most.
const PAGE_COUNT_MAX: usize = 4096;

/// How often the search for the oldest image goes on before it gives up for the moment.
const SEARCH_COUNT_MAX: usize = 64;

/// An image in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    /// Its repository.
    pub repository: Repository,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The tags that name it.
    pub tags: Vec<Tag>,
    /// When its manifest was last used.
    pub last_use: SystemTime,
    /// Whether an operator pinned it.
    pub is_pinned: bool,
    /// Whether a held index of the repository names it, so that it is a part of an image.
    pub is_part: bool,
}

/// A page of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePage {
    /// The images, in no order.
    pub images: Vec<ImageEntry>,
    /// Where the next page begins; `None`: this was the last one.
    pub next: Option<ImageCursor>,
}

/// The images of a store in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageFigures {
    /// How many there are. A part of an image is none, even if it has a tag of its own.
    pub count: usize,
    /// The last use of the least recently used one, as a list shows it.
    pub oldest_use: Option<SystemTime>,
    /// The time since then.
    pub unused: Option<Duration>,
}

/// A place among the images. Images that come or go meanwhile may be listed or not; all others are listed
/// once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageCursor(Slot);

impl Inventory {
    /// A page of images, and of those parts of images that have tags of their own.
    pub fn images(&self, from: ImageCursor, count_max: usize) -> ImagePage {
        let images = self.model.images.read();
        let (rows, next) = images.rows(from.0, count_max.clamp(1, PAGE_COUNT_MAX));
        let entries = rows.into_iter().filter(|row| row.is_held).map(|row| self.entry(&images, row));
        let listed = entries.filter(|entry| !entry.is_part || !entry.tags.is_empty());
        ImagePage { images: listed.collect(), next: next.map(ImageCursor) }
    }

    /// How many manifests the store holds.
    pub fn manifest_count(&self) -> usize {
        self.model.images.read().held_count()
    }

    /// The images of the store in figures. Looks at each manifest, a page at a time.
    pub fn image_figures(&self) -> ImageFigures {
        let (mut count, mut oldest) = (0, None::<Seconds>);
        let mut from = Some(Slot::default());
        while let Some(at) = from {
            from = self.model.images.read().each_held(at, PAGE_COUNT_MAX, |manifest| {
                if self.model.child_count(manifest.number, manifest.key) == 0 {
                    count += 1;
                    oldest = Some(oldest.map_or(manifest.used, |oldest| oldest.min(manifest.used)));
                }
            });
        }
        ImageFigures {
            count,
            oldest_use: oldest.map(|used| self.clock.to_wall(used)),
            unused: oldest.map(|used| self.unused(used)),
        }
    }

    /// A manifest as a list shows it.
    pub(crate) fn entry(&self, images: &Images, row: Row) -> ImageEntry {
        ImageEntry {
            is_part: self.model.is_part(&row),
            tags: images.tags_of(row.slot),
            repository: row.repository,
            digest: row.digest,
            last_use: self.clock.to_wall(row.used),
            is_pinned: row.is_pinned,
        }
    }

    /// The last use of the least recently used manifest or orphan, if it is not after `until`.
    pub(crate) fn oldest(&self, until: Seconds) -> Option<Seconds> {
        let orphan = self.model.orphans.lock().oldest().filter(|used| *used <= until);
        for _ in 0..SEARCH_COUNT_MAX {
            match self.model.images.write().oldest(until) {
                Oldest::Found(_, used) => return Some(orphan.map_or(used, |orphan| orphan.min(used))),
                Oldest::Nothing => return orphan,
                Oldest::Unknown => {}
            }
        }
        orphan
    }
}
