//! The descriptions of a manifest's contents, for people who look at an image.
//!
//! All of it is foreign text. A description that cannot be read is left out: it makes no content unknown.

mod document;

use std::collections::{HashMap, HashSet};

use oci::{Digest, is_foreign_layer};

use crate::contents::Contents;
use document::{Document, Named, Platform};

/// The longest text that is shown of a description, in characters.
const SHOWN_COUNT_MAX: usize = 255;

/// The contents that a manifest names, with their descriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    /// The manifests of an index, each once.
    pub(crate) children: Vec<Child>,
    /// The blobs, each once: the configuration first, then layers in their order.
    pub(crate) blobs: Vec<Described>,
    /// The manifest that this one is attached to.
    pub(crate) subject: Option<Digest>,
    /// The kind of an artifact.
    pub(crate) artifact_type: Option<String>,
    /// The annotation of the place where the image's source is.
    pub(crate) source: Option<String>,
}

/// A manifest that an index names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) digest: Digest,
    /// `linux/arm64/v8`; `None`: the index names none.
    pub(crate) platform: Option<String>,
    /// The same, to choose by; that of an attestation too, which is unknown.
    pub(crate) target: Option<oci::Platform>,
    /// It describes another one of the index, so that no client runs it.
    pub(crate) is_attestation: bool,
}

/// The use of a blob in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The configuration.
    Config,
    /// A layer, or a file of an artifact.
    Layer,
}

/// A blob as a manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) digest: Digest,
    pub(crate) role: Role,
    pub(crate) media_type: Option<String>,
    /// Its size in bytes, as the manifest claims.
    pub(crate) size: Option<u64>,
    /// The registry does not serve it: the layer is foreign, also called non-distributable.
    pub(crate) is_elsewhere: bool,
}

impl Outline {
    /// Reads a manifest. It names the same contents as [`Contents::of`].
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or_default()
    }

    /// Reads a manifest. `None`: [`Contents::of`] cannot read it either.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let contents = Contents::read(bytes)?;
        let document = Document::read(bytes).unwrap_or_default();
        let mut outline = Self {
            subject: contents.subject.clone(),
            artifact_type: text(document.artifact_type),
            source: text(document.annotations.source),
            ..Self::default()
        };
        outline.add_children(&contents, document.manifests);
        let config = document.config.into_iter().map(|named| (Role::Config, named));
        let layers = document.layers.into_iter().chain(document.blobs);
        outline.add_blobs(&contents, config.chain(layers.map(|named| (Role::Layer, named))));
        Some(outline)
    }

    /// The configuration of an image, which names its platform. That of an artifact does not count.
    pub(crate) fn image_config(&self) -> Option<&Described> {
        self.blobs.iter().find(|blob| {
            let media_type = blob.media_type.as_deref().unwrap_or_default();
            blob.role == Role::Config
                && (media_type.contains("image.config.v1") || media_type.contains("container.image.v1"))
        })
    }

    fn add_children(&mut self, contents: &Contents, described: Vec<Named>) {
        let mut missing: HashSet<&Digest> = contents.children.iter().collect();
        for named in described {
            let Some(digest) = named.digest.filter(|digest| missing.remove(digest)) else { continue };
            let platform = named.platform;
            let reference = text(named.annotations.reference);
            let is_unknown = platform.as_ref().is_some_and(Platform::is_unknown);
            let is_attestation = is_unknown || reference.is_some();
            let target = platform.as_ref().and_then(Platform::target);
            let platform = platform.and_then(Platform::name).filter(|_| !is_attestation);
            self.children.push(Child { digest, platform, target, is_attestation });
        }
        let rest = contents.children.iter().filter(|digest| missing.contains(digest));
        self.children.extend(rest.map(|digest| Child {
            digest: digest.clone(),
            platform: None,
            target: None,
            is_attestation: false,
        }));
    }

    fn add_blobs(&mut self, contents: &Contents, described: impl Iterator<Item = (Role, Named)>) {
        let mut missing: HashMap<&Digest, Option<u64>> =
            contents.blobs.iter().map(|blob| (&blob.digest, blob.size)).collect();
        for (role, named) in described {
            let Some(digest) = named.digest else { continue };
            let Some(size) = missing.remove(&digest) else { continue };
            let media_type = text(named.media_type);
            let is_elsewhere = media_type.as_deref().is_some_and(is_foreign_layer);
            self.blobs.push(Described { digest, role, media_type, size, is_elsewhere });
        }
        // Those of a manifest of schema 1, which describes none.
        let rest = contents.blobs.iter().filter(|blob| missing.contains_key(&blob.digest));
        self.blobs.extend(rest.map(|blob| Described {
            digest: blob.digest.clone(),
            role: Role::Layer,
            media_type: None,
            size: blob.size,
            is_elsewhere: false,
        }));
    }
}

/// The platform that an image's configuration names, to be shown.
pub(crate) fn platform_of_config(config: &[u8]) -> Option<String> {
    let platform = Platform::read(config)?;
    if platform.is_unknown() { None } else { platform.name() }
}

/// The platform that an image's configuration names, to choose by.
pub(crate) fn target_of_config(config: &[u8]) -> Option<oci::Platform> {
    let platform = Platform::read(config)?;
    if platform.is_unknown() { None } else { platform.target() }
}

impl Platform {
    fn is_unknown(&self) -> bool {
        let is = |part: &Option<String>| part.as_deref() == Some("unknown");
        is(&self.os) && is(&self.architecture)
    }

    /// The platform to choose by. `None`: it lacks a name.
    fn target(&self) -> Option<oci::Platform> {
        let read = |part: &Option<String>| part.clone().filter(|text| !text.is_empty());
        let (os, architecture) = (read(&self.os)?, read(&self.architecture)?);
        Some(oci::Platform::new(&os, &architecture, read(&self.variant).as_deref()))
    }

    /// The name as containerd writes it: `linux/arm64/v8`, `windows(10.0.17763)/amd64`.
    fn name(self) -> Option<String> {
        let (os, architecture) = (text(self.os)?, text(self.architecture)?);
        let version = text(self.os_version).map(|version| format!("({version})")).unwrap_or_default();
        let variant = text(self.variant).map(|variant| format!("/{variant}")).unwrap_or_default();
        Some(format!("{os}{version}/{architecture}{variant}"))
    }
}

/// A text that can be shown on a terminal: printable ASCII, and `?` for everything else.
fn text(text: Option<String>) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    let shown = text.chars().take(SHOWN_COUNT_MAX).map(|c| if c.is_ascii_graphic() { c } else { '?' });
    Some(shown.collect())
}

#[cfg(test)]
mod tests;
