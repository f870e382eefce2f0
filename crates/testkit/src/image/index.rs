//! One name for the same image on several platforms.

use serde_json::{Value, json};

use super::{Blob, Format, Image};

/// An image index, or in Docker's format a manifest list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The document.
    pub manifest: Blob,
    /// The images that it names, in order.
    pub images: Vec<Image>,
}

impl Index {
    /// The index of `images`, each under the platform that it was built for.
    pub fn of(format: Format, images: &[Image]) -> Self {
        let manifests: Vec<Value> = images.iter().map(describe).collect();
        let media_type = format.index();
        let document = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        Self { manifest: Blob::document(media_type, &document), images: images.to_vec() }
    }

    /// The digest of the document.
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }
}

fn describe(image: &Image) -> Value {
    let (os, architecture) = &image.platform;
    let mut descriptor = image.manifest.descriptor();
    descriptor["platform"] = json!({ "os": os, "architecture": architecture });
    descriptor
}
