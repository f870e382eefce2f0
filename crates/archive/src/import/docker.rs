//! Archives of `docker save`: `manifest.json` names a configuration and layer files by their paths.
//!
//! Such an archive has no registry's manifest, because Docker keeps layers unpacked. wharf makes a manifest
//! from the configuration and the layers as they are, uncompressed. It has another digest than the registry's
//! manifest of the same image.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use oci::{Algorithm, Digest};
use policy::image::ImageName;
use serde::Deserialize;
use serde_json::json;

use super::ImportError;
use crate::listing::{Found, Refusal, Refusals};

/// The most links from one name to another.
const LINK_COUNT_MAX: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// The memory for the names of all files of one archive, in bytes.
const NAME_BYTES_MAX: usize = 64 << 20;

/// The memory for one file beside its names, in bytes, about.
const FILE_BYTES: usize = 128;

/// The files of an archive, by name.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The digest and the size in bytes of files that may be configurations or layers.
    contents: BTreeMap<String, (Digest, u64)>,
    /// The targets of symbolic links, as written.
    links: BTreeMap<String, String>,
    bytes: usize,
}

impl Files {
    /// Adds a file.
    ///
    /// # Errors
    /// [`ImportError::Bound`].
    pub(super) fn add(&mut self, name: String, digest: Digest, size: u64) -> Result<(), ImportError> {
        self.take_room(name.len())?;
        self.contents.insert(name, (digest, size));
        Ok(())
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// [`ImportError::Bound`].
    pub(super) fn add_link(&mut self, name: String, target: String) -> Result<(), ImportError> {
        self.take_room(name.len() + target.len())?;
        self.links.insert(name, target);
        Ok(())
    }

    fn take_room(&mut self, bytes: usize) -> Result<(), ImportError> {
        self.bytes += bytes + FILE_BYTES;
        match self.bytes {
            0..=NAME_BYTES_MAX => Ok(()),
            _ => Err(ImportError::Bound(format!(
                "the names of its files take more than {NAME_BYTES_MAX} bytes; import its images in several archives"
            ))),
        }
    }

    /// The file of this name, after the links of the archive.
    fn find(&self, name: &str) -> Option<&(Digest, u64)> {
        let mut name = normal("", name)?;
        for _ in 0..LINK_COUNT_MAX {
            if let Some(found) = self.contents.get(&name) {
                return Some(found);
            }
            let above = name.rsplit_once('/').map_or("", |(above, _)| above);
            name = normal(above, self.links.get(&name)?)?;
        }
        None
    }
}

/// The name that `name` has, read in the directory `above`; `None`: it leads out of the archive.
fn normal(above: &str, name: &str) -> Option<String> {
    if name.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = above.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// An image of the archive.
#[derive(Debug)]
pub(super) struct Saved {
    /// Its names, all with the digest of the manifest.
    pub(super) names: Vec<Found>,
    /// The manifest that wharf makes for it.
    pub(super) manifest: Bytes,
}

/// Reads `manifest.json`. `config_of` gives the bytes of a configuration by their digest.
///
/// # Errors
/// The document is not readable.
pub(super) fn images(
    document: &[u8],
    files: &Files,
    made_at: SystemTime,
    mut config_of: impl FnMut(&Digest) -> Option<Bytes>,
) -> Result<(Vec<Saved>, Refusals), Refusal> {
    let items: Vec<Item> = serde_json::from_slice(document)
        .map_err(|error| Refusal::new("manifest.json", format!("it is not readable: {error}")))?;
    let (mut images, mut refusals) = (Vec::new(), Refusals::default());
    for item in items {
        let named = item.repo_tags.iter().flatten().next().cloned();
        let what = named.unwrap_or_else(|| item.config.clone());
        match image(&item, files, made_at, &mut config_of) {
            Ok(image) => images.push(image),
            Err(reason) => refusals.push(Refusal::new(what, reason)),
        }
    }
    Ok((images, refusals))
}

fn image(
    item: &Item,
    files: &Files,
    made_at: SystemTime,
    mut config_of: impl FnMut(&Digest) -> Option<Bytes>,
) -> Result<Saved, String> {
    let missing = |name: &str| format!("the archive lacks the file {name:?}");
    let (config, config_size) = files.find(&item.config).ok_or_else(|| missing(&item.config))?;
    let bytes = config_of(config).ok_or_else(|| missing(&item.config))?;
    let document: Config = serde_json::from_slice(&bytes)
        .map_err(|error| format!("its configuration is not readable: {error}"))?;
    let diff_ids = document.rootfs.diff_ids;
    if diff_ids.len() != item.layers.len() {
        let (layers, ids) = (item.layers.len(), diff_ids.len());
        return Err(format!("it has {layers} layers, and its configuration names {ids}"));
    }
    let mut layers = Vec::new();
    for (name, diff_id) in item.layers.iter().zip(diff_ids) {
        let (digest, size) = files.find(name).ok_or_else(|| missing(name))?;
        if digest.to_string() != diff_id {
            return Err(format!("the layer {name:?} has the digest {digest}, and should have {diff_id}"));
        }
        layers.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": diff_id,
            "size": size,
        }));
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config.to_string(),
            "size": config_size,
        },
        "layers": layers,
    });
    let manifest = Bytes::from(manifest.to_string());
    let digest = Digest::of(Algorithm::Sha256, &manifest);
    let mut names = Vec::new();
    for text in item.repo_tags.iter().flatten() {
        let name: Option<ImageName> = text.parse().ok();
        let named = name.and_then(|name| Found::named(&name, digest.clone(), made_at));
        names.push(named.ok_or_else(|| format!("{text:?} is no name of an image"))?);
    }
    if names.is_empty() {
        return Err("it has no name; tag it before you save it".to_owned());
    }
    Ok(Saved { names, manifest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(links: &[(&str, &str)]) -> Files {
        let layer = (Digest::of(Algorithm::Sha256, b"layer"), 5);
        let contents = [("a/layer.tar".to_owned(), layer)].into();
        let links = links.iter().map(|(name, target)| ((*name).to_owned(), (*target).to_owned())).collect();
        Files { contents, links, bytes: 0 }
    }

    #[test]
    fn links_are_followed_inside_the_archive_only() {
        let files = files(&[
            ("b/layer.tar", "../a/layer.tar"),
            ("c/layer.tar", "../b/layer.tar"),
            ("out", "../../etc/passwd"),
            ("absolute", "/a/layer.tar"),
            ("circle", "circle"),
        ]);
        for name in ["a/layer.tar", "./b/layer.tar", "c/layer.tar", "x/../a/layer.tar"] {
            assert!(files.find(name).is_some(), "{name}");
        }
        for name in ["out", "absolute", "circle", "none", "../a/layer.tar"] {
            assert!(files.find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_layer_must_have_the_digest_that_the_configuration_names() {
        let config = |id: &str| Bytes::from(format!(r#"{{"rootfs":{{"diff_ids":["{id}"]}}}}"#));
        let right = Digest::of(Algorithm::Sha256, b"layer").to_string();
        let wrong = Digest::of(Algorithm::Sha256, b"other").to_string();
        for (id, is_right) in [(&right, true), (&wrong, false)] {
            let mut files = files(&[]);
            let bytes = config(id);
            let digest = Digest::of(Algorithm::Sha256, &bytes);
            files.contents.insert("c.json".to_owned(), (digest, bytes.len() as u64));
            let document = r#"[{"Config":"c.json","RepoTags":["alpine:3.20","quay.io/a/b:1"],"Layers":["a/layer.tar"]}]"#;
            let (images, refusals) =
                images(document.as_bytes(), &files, SystemTime::UNIX_EPOCH, |_| Some(bytes.clone())).unwrap();
            assert_eq!((images.len(), refusals.count), (usize::from(is_right), u64::from(!is_right)));
            for image in images {
                let names: Vec<_> = image.names.iter().map(ToString::to_string).collect();
                assert_eq!(names, ["docker.io/library/alpine:3.20", "quay.io/a/b:1"]);
            }
        }
    }
}
