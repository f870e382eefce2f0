//! An image in a list, as JSON.

use std::time::SystemTime;

use inventory::{Anatomy, ImageEntry};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::endpoints::openapi::{list as array, object};

/// The bytes of an image in a list without its names, at the most.
const ENTRY_BYTES: usize = 420;

/// An image in a list.
#[derive(Clone, Debug, Serialize)]
pub(in crate::endpoints) struct ImageDocument {
    pub(in crate::endpoints) registry: String,
    pub(in crate::endpoints) repository: String,
    pub(in crate::endpoints) digest: String,
    pub(in crate::endpoints) tags: Vec<String>,
    last_use: Option<String>,
    pub(in crate::endpoints) pinned: bool,
    /// Whether a held index of the repository names it, so that it is a part of an image.
    pub(in crate::endpoints) part_of_index: bool,
    platforms: Platforms,
    /// Whether a client can pull every part of it from the store alone.
    whole: bool,
    /// The bytes of all parts that are held; `null`: the store could not be read.
    bytes: Option<u64>,
    /// Of those, the bytes that other images need too.
    shared_bytes: Option<u64>,
}

/// The platforms of an image.
#[derive(Clone, Debug, Default, Serialize)]
struct Platforms {
    /// A client can pull them from the store alone.
    held: Vec<String>,
    missing: Vec<String>,
}

impl ImageDocument {
    pub(in crate::endpoints) fn new(registry: &str, entry: ImageEntry, anatomy: Option<&Anatomy>) -> Self {
        let mut tags: Vec<_> = entry.tags.iter().map(ToString::to_string).collect();
        tags.sort_unstable();
        let mut platforms = Platforms::default();
        for platform in anatomy.into_iter().flat_map(|anatomy| &anatomy.platforms) {
            let list = if platform.is_held { &mut platforms.held } else { &mut platforms.missing };
            list.push(platform.name.clone());
        }
        let used = anatomy.map_or(entry.last_use, |anatomy| anatomy.standing.last_use);
        Self {
            registry: registry.to_owned(),
            repository: entry.repository.to_string(),
            digest: entry.digest.to_string(),
            tags,
            last_use: rfc_3339(used),
            pinned: entry.is_pinned,
            part_of_index: entry.is_part,
            platforms,
            whole: anatomy.is_some_and(|anatomy| anatomy.is_whole),
            bytes: anatomy.map(|anatomy| anatomy.bytes),
            shared_bytes: anatomy.map(|anatomy| anatomy.bytes - anatomy.own_bytes),
        }
    }

    /// The image, as people write it: by its first tag, or by its digest.
    pub(in crate::endpoints) fn shown(&self) -> String {
        let (registry, repository) = (&self.registry, &self.repository);
        match self.tags.first() {
            Some(tag) => format!("{registry}/{repository}:{tag}"),
            None => format!("{registry}/{repository}@{}", self.digest),
        }
    }

    /// The place in a list.
    pub(in crate::endpoints) fn key(&self) -> (&str, &str, Option<&String>, &str) {
        (&self.registry, &self.repository, self.tags.first(), &self.digest)
    }

    /// The bytes that [`bytes_of`] does not count.
    pub(in crate::endpoints) fn further_bytes(&self) -> usize {
        let platforms = self.platforms.held.iter().chain(&self.platforms.missing);
        self.registry.len() + platforms.map(|name| name.len() + 3).sum::<usize>()
    }
}

/// The properties of an image in a list, with their schemas.
pub(in crate::endpoints) fn image_properties() -> Vec<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    let bytes =
        |description: &str| json!({ "type": ["integer", "null"], "minimum": 0, "description": description });
    let platforms = object(&[("held", array(&text())), ("missing", array(&text()))]);
    vec![
        ("registry", text()),
        ("repository", text()),
        ("digest", text()),
        ("tags", array(&text())),
        ("last_use", json!({ "type": ["string", "null"], "format": "date-time" })),
        ("pinned", json!({ "type": "boolean" })),
        (
            "part_of_index",
            json!({ "type": "boolean", "description": "Whether it is a part of an image: a held index names it." }),
        ),
        ("platforms", platforms),
        (
            "whole",
            json!({ "type": "boolean", "description": "Whether every part can be pulled from the store alone." }),
        ),
        ("bytes", bytes("All held parts; null: the store could not be read.")),
        ("shared_bytes", bytes("Of those, the parts that other images need too.")),
    ]
}

/// The bytes of an image in a list, about.
pub(super) fn bytes_of(entry: &ImageEntry) -> usize {
    let names: usize = entry.tags.iter().map(|tag| tag.as_str().len() + 3).sum();
    ENTRY_BYTES + entry.repository.as_str().len() + names
}

/// The time in UTC, to the second.
pub(in crate::endpoints) fn rfc_3339(time: SystemTime) -> Option<String> {
    let time = OffsetDateTime::from(time).replace_nanosecond(0).ok()?;
    time.format(&Rfc3339).ok()
}
