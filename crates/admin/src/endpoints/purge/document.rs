//! The answer to a purge.

use inventory::{Anatomy, ImageEntry, Inventory, PurgeError};
use oci::Tag;
use serde::Serialize;
use serde_json::{Value, json};

use crate::endpoints::failure::Failure;
use crate::endpoints::images::{ImageDocument, image_properties};
use crate::endpoints::openapi::{list as array, object};

/// The removed objects, or those that a dry run names.
#[derive(Serialize)]
pub(super) struct PurgeDocument {
    dry_run: bool,
    /// The image that the request names, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ImageDocument>,
    images: Vec<PurgedImage>,
    /// Tags that go alone.
    tags_only: Vec<PurgedTag>,
    /// The bytes that come free: layers that several of the images share count once, and not at all if an
    /// image that stays needs them.
    pub(super) freed_bytes: u64,
    /// The images that stay.
    kept: Vec<KeptImage>,
    /// Whether there are more images than one answer has.
    truncated: bool,
}

#[derive(Serialize)]
struct PurgedImage {
    #[serde(flatten)]
    image: ImageDocument,
    /// All tags that go with the image: its own, and those of its parts.
    removed_tags: Vec<String>,
    /// In a dry run: the bytes that come free if only this image goes.
    freed_bytes: u64,
}

/// A tag of a part of an image.
#[derive(Serialize)]
struct PurgedTag {
    registry: String,
    repository: String,
    tag: String,
    digest: String,
}

#[derive(Serialize)]
struct KeptImage {
    #[serde(flatten)]
    image: ImageDocument,
    code: &'static str,
    message: String,
    /// The pins that keep it, each as the argument of `wharf unpin`.
    pins: Vec<String>,
}

impl PurgeDocument {
    pub(super) fn new(dry_run: bool, truncated: bool) -> Self {
        let (images, tags_only, kept) = (Vec::new(), Vec::new(), Vec::new());
        Self { dry_run, image: None, images, tags_only, freed_bytes: 0, kept, truncated }
    }

    /// Adds an image: the bytes that come free and the tags that go, or the reason why it stays.
    pub(super) fn add(
        &mut self,
        inventory: &Inventory,
        entry: ImageEntry,
        anatomy: &Anatomy,
        purged: Result<(u64, Vec<Tag>), PurgeError>,
    ) {
        let image = ImageDocument::new(inventory.name(), entry, Some(anatomy));
        match purged {
            Ok((freed_bytes, tags)) => {
                let removed_tags = tags.iter().map(Tag::to_string).collect();
                self.images.push(PurgedImage { image, removed_tags, freed_bytes });
            }
            Err(error) => {
                let shown = image.shown();
                self.keep(image, &shown, &error);
            }
        }
    }

    /// Adds a tag of a part of an image.
    pub(super) fn add_tag(
        &mut self,
        inventory: &Inventory,
        part: ImageEntry,
        tag: &Tag,
        purged: Result<(), PurgeError>,
    ) {
        let (registry, repository) = (inventory.name().to_owned(), part.repository.to_string());
        let name = tag.to_string();
        let went = |purged: &PurgedImage| {
            let (image, tags) = (&purged.image, &purged.removed_tags);
            image.registry == registry && image.repository == repository && tags.contains(&name)
        };
        if self.images.iter().any(went) {
            return;
        }
        match purged {
            Ok(()) => {
                self.tags_only.push(PurgedTag {
                    registry,
                    repository,
                    tag: name,
                    digest: part.digest.to_string(),
                });
            }
            Err(error) => {
                let shown = format!("{registry}/{repository}:{name}");
                self.keep(ImageDocument::new(inventory.name(), part, None), &shown, &error);
            }
        }
    }

    fn keep(&mut self, image: ImageDocument, shown: &str, error: &PurgeError) {
        let failure = Failure::purge(shown, error);
        let (code, message) = (failure.code(), failure.message().to_owned());
        let pins = match error {
            PurgeError::Pinned(pins) => pins.digests.iter().map(|it| format!("{}@{it}", pins.path)).collect(),
            _ => Vec::new(),
        };
        self.kept.push(KeptImage { image, code, message, pins });
    }

    /// Sums up the bytes of all images.
    pub(super) fn sum_up(&mut self) {
        self.freed_bytes = self.images.iter().map(|image| image.freed_bytes).sum();
    }

    /// The document in its order.
    ///
    /// # Errors
    /// The request `is_exact`, and its image stays.
    pub(super) fn finished(mut self, is_exact: bool) -> Result<Self, Failure> {
        if is_exact && let Some(kept) = self.kept.pop() {
            return Err(Failure::kept(kept.code, kept.message));
        }
        if is_exact {
            self.image = self.images.first().map(|purged| purged.image.clone());
        }
        self.images.sort_unstable_by(|one, other| one.image.key().cmp(&other.image.key()));
        self.kept.sort_unstable_by(|one, other| one.image.key().cmp(&other.image.key()));
        let key = |tag: &PurgedTag| (tag.registry.clone(), tag.repository.clone(), tag.tag.clone());
        self.tags_only.sort_by_cached_key(key);
        Ok(self)
    }
}

/// The schema of the answer.
pub(in crate::endpoints) fn schema() -> Value {
    let text = || json!({ "type": "string" });
    let bytes = |description: &str| json!({ "type": "integer", "minimum": 0, "description": description });
    let texts = |description: &str| {
        let mut schema = array(&json!({ "type": "string" }));
        schema["description"] = description.into();
        schema
    };
    let image = |more: &[(&'static str, Value)]| object(&[image_properties(), more.to_vec()].concat());
    let purged = image(&[
        ("removed_tags", texts("All tags that go: its own, and those of its parts.")),
        ("freed_bytes", bytes("In a dry run: if only this image goes.")),
    ]);
    let pins = ("pins", texts("The pins that keep it, each as `wharf unpin` takes it."));
    let kept = image(&[("code", text()), ("message", text()), pins]);
    let tag = object(&["registry", "repository", "tag", "digest"].map(|name| (name, text())));
    let mut tags_only = array(&tag);
    tags_only["description"] = "Tags of parts of images that stay.".into();
    let mut schema = object(&[
        ("dry_run", json!({ "type": "boolean" })),
        ("image", image(&[])),
        ("images", array(&purged)),
        ("tags_only", tags_only),
        ("freed_bytes", bytes("Of all of them together: a layer that several of them share counts once.")),
        ("kept", array(&kept)),
        ("truncated", json!({ "type": "boolean" })),
    ]);
    schema["required"] = json!(["dry_run", "images", "tags_only", "freed_bytes", "kept", "truncated"]);
    schema
}
