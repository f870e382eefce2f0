//! The registry and the image that a request's query names.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use inventory::{CommonKeeper, ImageCursor, ImageEntry, Keeper};
use oci::{Digest, Query, Repository, Tag};

use super::failure::Failure;

/// Manifests that one look at a store's images takes.
const PAGE_COUNT: usize = 1024;

/// The value of `key`, parsed. `None`: it is missing or empty.
pub(super) fn optional<T>(uri: &Uri, key: &'static str) -> Result<Option<T>, Failure>
where
    T: FromStr,
    T::Err: Display,
{
    let value = Query::new(uri.query()).value(key).map_err(|error| Failure::parameter(key, error))?;
    value.map(|text| text.parse().map_err(|error| Failure::parameter(key, error))).transpose()
}

fn required<T>(uri: &Uri, key: &'static str) -> Result<T, Failure>
where
    T: FromStr,
    T::Err: Display,
{
    optional(uri, key)?.ok_or_else(|| Failure::parameter(key, "the parameter is missing"))
}

/// The keepers of all registries, or of the one that the query names, by name.
pub(super) fn keepers(all: &CommonKeeper, uri: &Uri) -> Result<Vec<Arc<Keeper>>, Failure> {
    let mut keepers = all.keepers();
    if let Some(name) = optional::<String>(uri, "registry")? {
        keepers.retain(|keeper| keeper.inventory().name() == name);
        if keepers.is_empty() {
            return Err(Failure::unknown_registry(&name));
        }
    }
    keepers.sort_by(|one, other| one.inventory().name().cmp(other.inventory().name()));
    Ok(keepers)
}

/// One image in one registry, as the query names it.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) keeper: Arc<Keeper>,
    pub(super) repository: Repository,
    name: Name,
}

#[derive(Debug)]
enum Name {
    Tag(Tag),
    Digest(Digest),
}

impl Selection {
    /// Reads `registry`, `repository`, and `tag` or `digest`.
    pub(super) fn read(all: &CommonKeeper, uri: &Uri) -> Result<Self, Failure> {
        let _: String = required(uri, "registry")?;
        let keeper = keepers(all, uri)?.remove(0);
        let repository = required(uri, "repository")?;
        let name = match (optional(uri, "tag")?, optional(uri, "digest")?) {
            (Some(tag), None) => Name::Tag(tag),
            (None, Some(digest)) => Name::Digest(digest),
            (None, None) => return Err(Failure::parameter("tag", "give tag or digest")),
            (Some(_), Some(_)) => return Err(Failure::parameter("tag", "give tag or digest, not both")),
        };
        Ok(Self { keeper, repository, name })
    }

    /// The digest, if the query gives it.
    pub(super) fn digest(&self) -> Option<&Digest> {
        match &self.name {
            Name::Digest(digest) => Some(digest),
            Name::Tag(_) => None,
        }
    }

    /// The image, as people write it.
    pub(super) fn shown(&self) -> String {
        let registry = self.keeper.inventory().name();
        match &self.name {
            Name::Tag(tag) => format!("{registry}/{}:{tag}", self.repository),
            Name::Digest(digest) => format!("{registry}/{}@{digest}", self.repository),
        }
    }

    /// The held image.
    ///
    /// # Errors
    /// Not held, or not known yet.
    pub(super) fn find(&self) -> Result<ImageEntry, Failure> {
        let is_named = |entry: &ImageEntry| {
            entry.repository == self.repository
                && match &self.name {
                    Name::Tag(tag) => entry.tags.contains(tag),
                    Name::Digest(digest) => entry.digest == *digest,
                }
        };
        match images(&self.keeper).find(is_named) {
            Some(entry) => Ok(entry),
            None if self.keeper.inventory().is_complete() => Err(Failure::unknown_image(&self.shown())),
            None => Err(Failure::not_ready()),
        }
    }
}

/// The images of a store, in no order.
pub(super) fn images(keeper: &Keeper) -> impl Iterator<Item = ImageEntry> {
    let mut from = Some(ImageCursor::default());
    let pages = std::iter::from_fn(move || {
        let page = keeper.inventory().images(from?, PAGE_COUNT);
        from = page.next;
        Some(page.images)
    });
    pages.flatten()
}
