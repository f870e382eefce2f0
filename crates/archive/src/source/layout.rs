//! OCI image layouts in directories (image-spec, "Image Layout").

use std::collections::BTreeMap;
use std::io;

use oci::Digest;
use serde::Deserialize;

use crate::confined::Confined;
use crate::listing::{Found, Listing, Refusal};
use crate::name::ImageName;

/// The largest `index.json`, in bytes: an entry takes about 500.
const INDEX_BYTES_MAX: usize = 32 << 20;

/// The annotations that name an image; the first one found with a repository counts.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    annotations: Option<BTreeMap<String, String>>,
}

/// All images that `index.json` names in full. It is as old as the file.
pub(super) fn images(root: &Confined) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let Some((bytes, modified_at)) = root.read(&["index.json"], INDEX_BYTES_MAX)? else { return Ok(listing) };
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|error| io::Error::other(format!("index.json is not readable: {error}")))?;
    for entry in index.manifests {
        let digest: Digest = match entry.digest.parse() {
            Ok(digest) => digest,
            Err(error) => {
                listing.refusals.push(Refusal::new(entry.digest, error));
                continue;
            }
        };
        let annotations = entry.annotations.unwrap_or_default();
        // A bare tag, as some tools write it, names no repository.
        let full =
            NAMES.iter().filter_map(|key| annotations.get(*key)).find(|text| text.contains(['/', ':']));
        match full.and_then(|text| ImageName::parse(text)) {
            Some(name) => listing.images.push(Found {
                host: Some(name.host),
                repository: name.repository,
                digest,
                tags: name.tag.into_iter().map(|tag| (tag, modified_at)).collect(),
            }),
            None => listing.refusals.push(Refusal::new(
                digest,
                "index.json gives no full name; copy it under one, such as \
                 `skopeo copy oci:OLD oci:NEW:ghcr.io/org/app:v1`",
            )),
        }
    }
    Ok(listing)
}
