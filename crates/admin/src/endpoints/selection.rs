//! The registry and the image that a request's query names.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use inventory::{CommonKeeper, ImageCursor, ImageEntry, Keeper};
use oci::{Digest, Query, Repository, Tag};
use policy::docker_hub;
use policy::image::{ImagePattern, NamedImage};

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

fn parsed<T>(key: &'static str, text: &str) -> Result<T, Failure>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error| Failure::parameter(key, error))
}

pub(super) fn required<T>(uri: &Uri, key: &'static str) -> Result<T, Failure>
where
    T: FromStr,
    T::Err: Display,
{
    optional(uri, key)?.ok_or_else(|| Failure::parameter(key, "the parameter is missing"))
}

/// The keepers of all registries, or of the one that the query names, by name.
pub(super) fn keepers(all: &CommonKeeper, uri: &Uri) -> Result<Vec<Arc<Keeper>>, Failure> {
    keepers_of(all, optional::<String>(uri, "registry")?.as_deref())
}

fn keepers_of(all: &CommonKeeper, registry: Option<&str>) -> Result<Vec<Arc<Keeper>>, Failure> {
    let mut keepers = all.keepers();
    if let Some(name) = registry
        && let Some(at) = keepers.iter().position(|keeper| keeper.inventory().name() == name)
    {
        return Ok(vec![keepers.swap_remove(at)]);
    }
    keepers.sort_by(|one, other| one.inventory().name().cmp(other.inventory().name()));
    let Some(name) = registry else { return Ok(keepers) };
    let served: Vec<_> = keepers.iter().map(|keeper| keeper.inventory().name().to_owned()).collect();
    Err(Failure::unknown_registry(name, &served))
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
        let registry: String = required(uri, "registry")?;
        keepers_of(all, Some(&registry))?;
        let repository: String = required(uri, "repository")?;
        let (tag, digest) = (optional::<String>(uri, "tag")?, optional::<String>(uri, "digest")?);
        Self::of(all, &registry, (&repository, tag.as_deref(), digest.as_deref()))
    }

    /// The image in `registry` with this repository, and tag or digest.
    pub(super) fn of(
        all: &CommonKeeper,
        registry: &str,
        (repository, tag, digest): (&str, Option<&str>, Option<&str>),
    ) -> Result<Self, Failure> {
        let keeper = keepers_of(all, Some(registry))?.remove(0);
        let mut repository: Repository = parsed("repository", repository)?;
        if keeper.inventory().name() == docker_hub::NAME {
            // As everywhere else, `alpine` is `library/alpine` there.
            repository = docker_hub::in_library_if_short(&repository)
                .map_err(|error| Failure::parameter("repository", error))?;
        }
        let tag = tag.map(|tag| parsed("tag", tag)).transpose()?;
        let digest = digest.map(|digest| parsed("digest", digest)).transpose()?;
        let name = match (tag, digest) {
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

    /// The tag, if the query gives it.
    pub(super) fn tag(&self) -> Option<&Tag> {
        match &self.name {
            Name::Tag(tag) => Some(tag),
            Name::Digest(_) => None,
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

    /// The held image, or part of one.
    ///
    /// # Errors
    /// Not held, or not known yet.
    pub(super) fn find(&self) -> Result<ImageEntry, Failure> {
        let inventory = self.keeper.inventory();
        let found = match &self.name {
            Name::Tag(tag) => inventory.find_tag(&self.repository, tag),
            Name::Digest(digest) => inventory.find_digest(&self.repository, digest),
        };
        match found {
            Some(found) => Ok(found),
            None if inventory.is_complete() => {
                let repository = format!("{}/{}", inventory.name(), self.repository);
                Err(Failure::unknown_image(&self.shown(), &repository))
            }
            None => Err(Failure::not_ready()),
        }
    }
}

/// The images that a request selects.
#[derive(Debug)]
pub(super) struct Choice {
    /// One of them has to name the image; none: all are chosen.
    patterns: Vec<ImagePattern>,
    /// Only images without a tag.
    is_untagged: bool,
}

impl Choice {
    /// Reads `pattern`, which may be there several times, and `untagged`.
    pub(super) fn read(uri: &Uri) -> Result<Self, Failure> {
        let mut patterns = Vec::new();
        for text in Query::new(uri.query()).values("pattern") {
            let text = text.map_err(|error| Failure::parameter("pattern", error))?;
            let pattern = text.parse().map_err(|error| Failure::parameter("pattern", error));
            let pattern: Result<ImagePattern, _> = pattern;
            patterns.push(pattern?);
        }
        Ok(Self { patterns, is_untagged: optional(uri, "untagged")?.unwrap_or(false) })
    }

    /// Whether it chooses anything less than all images.
    pub(super) fn is_narrow(&self) -> bool {
        !self.patterns.is_empty() || self.is_untagged
    }

    pub(super) fn is_untagged(&self) -> bool {
        self.is_untagged
    }

    /// Whether it chooses this image.
    pub(super) fn has(&self, registry: &str, repository: &Repository, digest: &Digest, tags: &[Tag]) -> bool {
        let named = NamedImage { registry, repository: repository.as_str(), digest };
        let names = |pattern: &ImagePattern| pattern.names(named, tags.iter().map(Tag::as_str));
        let is_named = self.patterns.is_empty() || self.patterns.iter().any(names);
        is_named && (!self.is_untagged || tags.is_empty())
    }

    /// The chosen images of a store, and parts of images with tags, in no order.
    pub(super) fn of<'a>(&'a self, keeper: &'a Keeper) -> impl Iterator<Item = ImageEntry> + 'a {
        let registry = keeper.inventory().name();
        let is_here = self.patterns.is_empty() || self.patterns.iter().any(|it| it.is_for(registry));
        let images = is_here.then(|| images(keeper)).into_iter().flatten();
        images.filter(move |entry| self.has(registry, &entry.repository, &entry.digest, &entry.tags))
    }
}

impl Choice {
    /// The tags of a part of an image that a pattern names as such: a pattern for all tags names images, and
    /// their parts go with them.
    pub(super) fn tags_by_name(&self, registry: &str, part: &ImageEntry) -> Vec<Tag> {
        let named = NamedImage { registry, repository: part.repository.as_str(), digest: &part.digest };
        let by_name = |tag: &&Tag| {
            let is_it =
                |pattern: &ImagePattern| pattern.names(named, [tag.as_str()]) && !pattern.names(named, []);
            self.patterns.iter().any(is_it)
        };
        part.tags.iter().filter(by_name).cloned().collect()
    }
}

/// The images of a store, and parts of images with tags, in no order.
fn images(keeper: &Keeper) -> impl Iterator<Item = ImageEntry> {
    let mut from = Some(ImageCursor::default());
    let pages = std::iter::from_fn(move || {
        let page = keeper.inventory().images(from?, PAGE_COUNT);
        from = page.next;
        Some(page.images)
    });
    pages.flatten()
}
