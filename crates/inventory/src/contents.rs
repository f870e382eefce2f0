//! The contents that a manifest names.
//!
//! The reader goes by the document's structure alone. What a manifest adds to the counts when it is stored is
//! taken off when it is removed, so both readings must agree, independent of the manifest's media type. A
//! reading that finds too much keeps a blob longer than needed; one that finds too little would remove a blob
//! in use.

use std::fmt;

use oci::{Digest, LenientValue, MANIFEST_BYTES_MAX};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The contents that a manifest names, each once, in the order of their digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The manifests of an index.
    pub children: Vec<Digest>,
    /// Configuration, layers, the blobs of an artifact, the layers of a manifest of schema 1.
    pub blobs: Vec<NamedBlob>,
    /// The manifest that this one is attached to.
    pub subject: Option<Digest>,
    /// The manifest's own length in bytes.
    pub manifest_bytes: u64,
}

/// A blob as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes, as the manifest claims.
    pub size: Option<u64>,
}

impl Contents {
    /// Reads a manifest. Bytes that are no JSON object name nothing; a descriptor without a digest that wharf
    /// can verify is left out. It finds all that [`oci::Manifest`] does.
    pub fn of(bytes: &[u8]) -> Self {
        let manifest_bytes = bytes.len() as u64;
        Self::read(bytes).unwrap_or_else(|| Self { manifest_bytes, ..Self::default() })
    }

    /// How many contents it names.
    pub(crate) fn part_count(&self) -> usize {
        self.children.len() + self.blobs.len()
    }

    /// Reads a manifest. `None`: it is no JSON object, or too long.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let manifest_bytes = bytes.len() as u64;
        if bytes.len() > MANIFEST_BYTES_MAX {
            return None;
        }
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let document = deserializer.deserialize_map(DocumentVisitor).ok()?;
        deserializer.end().ok()?;
        let Document { children, mut blobs, subject } = document;
        let mut children: Vec<_> = children.into_iter().map(|named| named.digest).collect();
        children.sort_unstable();
        children.dedup();
        blobs.sort_unstable();
        blobs.dedup_by(|next, first| next.digest == first.digest);
        let subject = subject.into_iter().next().map(|named| named.digest);
        Some(Self { children, blobs, subject, manifest_bytes })
    }
}

/// The contents that each property names. Of every kind of manifest, whichever it is.
#[derive(Default)]
struct Document {
    children: Vec<NamedBlob>,
    blobs: Vec<NamedBlob>,
    subject: Vec<NamedBlob>,
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut document = Document::default();
        while let Some(name) = map.next_key::<String>()? {
            let named = match name.as_str() {
                "manifests" => &mut document.children,
                // `blobs` is of an OCI artifact manifest, `fsLayers` of Docker's schema 1.
                "config" | "layers" | "blobs" | "fsLayers" => &mut document.blobs,
                "subject" => &mut document.subject,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            named.extend(map.next_value::<Named>()?.0);
        }
        Ok(document)
    }
}

/// The contents that a value names: a descriptor itself, a list the descriptors in it, any other value none.
/// So a property that is malformed, or that another program means otherwise, hides no other one.
#[derive(Default)]
struct Named(Vec<NamedBlob>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamedVisitor)
    }
}

struct NamedVisitor;

impl<'de> Visitor<'de> for NamedVisitor {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Named, E> {
        Ok(Named::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Named, E> {
        Ok(Named::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Named, E> {
        Ok(Named::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Named, E> {
        Ok(Named::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Named, E> {
        Ok(Named::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Named, E> {
        Ok(Named::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Named, A::Error> {
        let mut all = Vec::new();
        while let Some(Named(named)) = list.next_element()? {
            all.extend(named);
        }
        Ok(Named(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
        let (mut digests, mut size) = (Vec::new(), None);
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "digest" | "blobSum" => {
                    let text = map.next_value::<LenientValue>()?.text();
                    digests.extend(text.and_then(|text| text.parse().ok()));
                }
                "size" => size = map.next_value::<LenientValue>()?.number(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let size = size.and_then(|size| u64::try_from(size).ok());
        Ok(Named(digests.into_iter().map(|digest| NamedBlob { digest, size }).collect()))
    }
}

#[cfg(test)]
mod tests;
