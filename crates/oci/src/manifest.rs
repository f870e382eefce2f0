//! Manifests (image-spec, "Image Manifest" and "Image Index"): the parts that wharf reads.
//!
//! wharf serves a manifest as the bytes that were hashed and never rewrites it. It parses a manifest for two
//! reasons: to refuse documents that two clients would understand differently (CVE-2021-41190), and to learn
//! which contents belong to it.

mod error;
mod kind;

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

use crate::descriptor::{Descriptor, DescriptorError, RawDescriptor};
use crate::digest::DigestError;
use crate::lenient::LenientValue;
use crate::media_type::MediaType;
use error::DEPTH_MAX;
pub use error::{DESCRIPTOR_COUNT_MAX, MANIFEST_BYTES_MAX, ManifestError};
pub use kind::ManifestKind;
use kind::Structure;

/// A manifest's kind and references. Documents of unknown kinds have no references and are no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The kind of manifest.
    pub kind: ManifestKind,
    /// The media type to serve it under: its own if it names one (old Docker manifests and some OCI ones do
    /// not), else the `Content-Type` it came with if its parts fit that, else the type that its parts show.
    pub media_type: MediaType,
    /// The manifest that the document is attached to.
    pub subject: Option<Descriptor>,
    /// An image's configuration.
    pub config: Option<Descriptor>,
    /// An image's layers, in order. Those under a digest algorithm that wharf cannot verify are left out.
    pub layers: Vec<Descriptor>,
    /// An index's manifests, in order. Those under a digest algorithm that wharf cannot verify are left out.
    pub manifests: Vec<Descriptor>,
}

impl Manifest {
    /// Reads a manifest that came with the header `Content-Type: served`, which may be wrong.
    ///
    /// # Errors
    /// [`ManifestError`]: the document is too large, not readable, ambiguous, or no manifest at all.
    /// Properties not known here are ignored; `null` counts as absent.
    pub fn parse(bytes: &[u8], served: Option<&MediaType>) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge);
        }
        if depth(bytes) > DEPTH_MAX {
            return Err(ManifestError::TooDeep);
        }
        let document = parse_document(bytes)?;
        let parts = document.parts();
        let inside = document.media_type.text().and_then(|text| text.parse().ok());
        let (kind, media_type) = kind::recognise(&parts, inside, served)?;
        Ok(Self {
            kind,
            media_type,
            // No client pulls by it, so a malformed one is ignored.
            subject: document.subject.and_then(|raw| Descriptor::try_from(raw).ok()),
            config: document.config.map_or(Ok(None), parse_descriptor)?,
            layers: parse_descriptors(document.layers)?,
            manifests: parse_descriptors(document.manifests)?,
        })
    }
}

/// The properties that wharf reads, before it checks their values.
#[derive(Default)]
struct Document {
    media_type: LenientValue,
    subject: Option<RawDescriptor>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    names_manifests: bool,
    schema_version: LenientValue,
    fs_layers: LenientValue,
    signatures: LenientValue,
}

impl Document {
    fn parts(&self) -> Structure {
        let config_type = self.config.as_ref().and_then(RawDescriptor::media_type);
        Structure {
            schema_version: self.schema_version.number(),
            has_image_parts: self.layers.is_some() || self.config.is_some(),
            has_manifests: self.manifests.is_some(),
            has_no_manifests: self.names_manifests && self.manifests.is_none(),
            has_fs_layers: matches!(self.fs_layers, LenientValue::List { .. }),
            has_signatures: matches!(self.signatures, LenientValue::List { is_empty: false }),
            has_docker_config: config_type.is_some_and(|text| text.starts_with("application/vnd.docker.")),
        }
    }
}

fn parse_document(bytes: &[u8]) -> Result<Document, ManifestError> {
    let unreadable = |error: serde_json::Error| ManifestError::Unreadable(error.to_string());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let document = deserializer.deserialize_map(DocumentVisitor).map_err(unreadable)?;
    deserializer.end().map_err(unreadable)?;
    Ok(document)
}

/// Reads an object's properties by hand, because it refuses two things that a derived reader accepts: a
/// property given twice, and a known name in other letters. Clients written in Go ignore the case of names,
/// so they read `Layers` as `layers`.
struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        const KNOWN: [&str; 5] = ["mediaType", "subject", "config", "layers", "manifests"];
        let mut document = Document::default();
        let mut seen = [false; KNOWN.len()];
        while let Some(name) = map.next_key::<String>()? {
            // Upper case also unites the letters beyond ASCII that fold to ASCII ones, such as the long s.
            let folded = name.to_uppercase();
            let Some(index) = KNOWN.iter().position(|known| known.to_uppercase() == folded) else {
                match name.as_str() {
                    "schemaVersion" => document.schema_version = map.next_value()?,
                    "fsLayers" => document.fs_layers = map.next_value()?,
                    "signatures" => document.signatures = map.next_value()?,
                    _ => {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                continue;
            };
            if std::mem::replace(&mut seen[index], true) || KNOWN[index] != name {
                return Err(serde::de::Error::custom(format_args!("`{}` is ambiguous", KNOWN[index])));
            }
            match KNOWN[index] {
                "mediaType" => document.media_type = map.next_value()?,
                "subject" => document.subject = map.next_value()?,
                "config" => document.config = map.next_value()?,
                "layers" => document.layers = map.next_value()?,
                _ => {
                    document.names_manifests = true;
                    document.manifests = map.next_value()?;
                }
            }
        }
        Ok(document)
    }
}

/// Returns `None` for a content under a digest algorithm that wharf cannot verify. No client can ask for it
/// here.
fn parse_descriptor(raw: RawDescriptor) -> Result<Option<Descriptor>, ManifestError> {
    match Descriptor::try_from(raw) {
        Ok(descriptor) => Ok(Some(descriptor)),
        Err(DescriptorError::Digest(DigestError::Algorithm)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn parse_descriptors(raw: Option<Vec<RawDescriptor>>) -> Result<Vec<Descriptor>, ManifestError> {
    let raw = raw.unwrap_or_default();
    if raw.len() > DESCRIPTOR_COUNT_MAX {
        return Err(ManifestError::TooManyDescriptors);
    }
    raw.into_iter().filter_map(|raw| parse_descriptor(raw).transpose()).collect()
}

/// Returns the deepest nesting of objects and arrays, whether or not the rest of the text is JSON.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut is_in_string = false;
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_in_string = !is_in_string,
            b'\\' if is_in_string => {
                bytes.next();
            }
            b'{' | b'[' if !is_in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !is_in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
