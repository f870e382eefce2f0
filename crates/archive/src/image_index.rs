//! `index.json` of an OCI image layout: the names of the images in an archive.

use std::collections::BTreeMap;
use std::time::SystemTime;

use oci::Digest;
use policy::image::ImageName;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::listing::{Found, Listing, Refusal};

/// The largest document of an archive that names images, in bytes: an entry takes about 500.
pub(crate) const INDEX_BYTES_MAX: usize = 32 << 20;

/// The annotation of OCI that names an image.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation of containerd that names an image in full.
pub(crate) const FULL_NAME: &str = "io.containerd.image.name";

/// The annotation with the time at which wharf last learned what the tag names.
const CHECKED_AT: &str = "io.wharf.checked-at";

/// The annotation with the registry that the name begins with: some names of registries have no dot, by which
/// other programs tell them from repositories.
const REGISTRY: &str = "io.wharf.registry";

/// The annotation with the bytes that an archive has, about.
const TOTAL_BYTES: &str = "io.wharf.total-bytes";

/// The document.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageIndex {
    #[serde(default)]
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    manifests: Vec<IndexEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
}

/// One name of one image.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IndexEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

impl IndexEntry {
    /// The entry of an image. `name` is its name in the registry.
    pub(crate) fn new(
        registry: &str,
        name: &str,
        media_type: &str,
        digest: &Digest,
        size: u64,
        checked_at: Option<SystemTime>,
    ) -> Self {
        let mut annotations: BTreeMap<_, _> =
            [REF_NAME, FULL_NAME].map(|key| (key.to_owned(), format!("{registry}/{name}"))).into();
        annotations.insert(REGISTRY.to_owned(), registry.to_owned());
        let time = checked_at.map(|at| OffsetDateTime::from(at).replace_nanosecond(0));
        if let Some(time) = time.and_then(|time| time.ok()?.format(&Rfc3339).ok()) {
            annotations.insert(CHECKED_AT.to_owned(), time);
        }
        Self {
            media_type: Some(media_type.to_owned()),
            digest: digest.to_string(),
            size: Some(size),
            annotations: Some(annotations),
        }
    }
}

/// The name that an entry gives, which begins with the `registry` that it gives.
fn name_of(text: &str, registry: Option<&str>) -> Option<ImageName> {
    let Some(registry) = registry else { return text.parse().ok() };
    ImageName::within(registry, text.strip_prefix(registry)?.strip_prefix('/')?).ok()
}

impl ImageIndex {
    pub(crate) fn new(manifests: Vec<IndexEntry>) -> Self {
        let media_type = Some("application/vnd.oci.image.index.v1+json".to_owned());
        Self { schema_version: 2, media_type, manifests, annotations: None }
    }

    /// Says how many bytes the archive has, about.
    pub(crate) fn with_total(mut self, bytes: u64) -> Self {
        self.annotations = Some([(TOTAL_BYTES.to_owned(), bytes.to_string())].into());
        self
    }

    /// The bytes that the archive has, about, if it says so.
    pub(crate) fn total(&self) -> Option<u64> {
        self.annotations.as_ref()?.get(TOTAL_BYTES)?.parse().ok()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// It is no such document.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an index is a document of text and numbers")
    }

    /// The images that have a full name. A tag without a time of its own is as old as `made_at`.
    pub(crate) fn listing(self, made_at: SystemTime) -> Listing {
        let mut listing = Listing::default();
        for entry in self.manifests {
            let digest: Digest = match entry.digest.parse() {
                Ok(digest) => digest,
                Err(error) => {
                    listing.refusals.push(Refusal::new(entry.digest, error));
                    continue;
                }
            };
            let annotations = entry.annotations.unwrap_or_default();
            // A bare tag, as some tools write it, names no repository.
            let full = [FULL_NAME, REF_NAME]
                .iter()
                .filter_map(|key| annotations.get(*key))
                .find(|text| text.contains(['/', ':']));
            let checked_at = annotations.get(CHECKED_AT);
            let checked_at = checked_at.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
            let checked_at = checked_at.map_or(made_at, SystemTime::from);
            let registry = annotations.get(REGISTRY).map(String::as_str);
            let name = full.and_then(|text| name_of(text, registry));
            match name.and_then(|name| Found::named(&name, digest.clone(), checked_at)) {
                Some(found) => listing.images.push(found),
                None => listing.refusals.push(Refusal::new(
                    digest,
                    "index.json gives no full name; copy it under one, such as \
                     `skopeo copy oci:OLD oci:NEW:ghcr.io/org/app:v1`",
                )),
            }
        }
        listing
    }
}
