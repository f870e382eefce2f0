//! Builds images, indexes and artifacts as registries store them, and computes their digests (OCI image-spec;
//! Docker's image manifest version 2, schema 2).

mod archive;
mod artifact;
mod builder;
mod compression;
mod index;

pub use archive::{Entry, archive, file_header};
pub use artifact::Artifact;
pub use builder::ImageBuilder;
pub use compression::Compression;
pub use index::Index;

use std::io;
use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::blob_source::BlobSource;

/// Content with its descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The media type.
    pub media_type: String,
    /// `sha256:<hex>` of the content.
    pub digest: String,
    /// The content.
    pub source: BlobSource,
}

impl Blob {
    /// Content of this media type.
    pub fn new(media_type: &str, source: impl Into<BlobSource>) -> Self {
        let source = source.into();
        Self { media_type: media_type.to_owned(), digest: source.digest(), source }
    }

    /// The length in bytes.
    pub fn size(&self) -> u64 {
        self.source.len()
    }

    /// The content, collected in memory.
    pub fn bytes(&self) -> Bytes {
        self.source.bytes()
    }

    /// The digest without its algorithm.
    pub fn hex(&self) -> &str {
        self.digest.split_once(':').map_or(&self.digest, |(_, hex)| hex)
    }

    /// The descriptor (image-spec, "OCI Content Descriptors").
    pub fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size() })
    }

    fn document(media_type: &str, document: &Value) -> Self {
        Self::new(media_type, document.to_string().into_bytes())
    }
}

/// The family of media types that a document uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `application/vnd.oci.image...`
    #[default]
    Oci,
    /// `application/vnd.docker...`, schema 2.
    Docker,
}

impl Format {
    /// The media type of an image manifest.
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.manifest.v1+json",
            Self::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    /// The media type of an image index or manifest list.
    pub fn index(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.index.v1+json",
            Self::Docker => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    /// The media type of an image's configuration.
    pub fn config(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.config.v1+json",
            Self::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }
}

/// One image for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The manifest.
    pub manifest: Blob,
    /// The configuration.
    pub config: Blob,
    /// The layers, lowest first.
    pub layers: Vec<Blob>,
    platform: (String, String),
}

impl Image {
    /// Starts an image of that format, for linux/amd64, without layers.
    pub fn builder(format: Format) -> ImageBuilder {
        ImageBuilder::new(format)
    }

    /// An OCI image of one small layer. Images with different markers share nothing.
    pub fn small(marker: &str) -> Self {
        let file = Entry::File("marker", marker.as_bytes());
        Self::builder(Format::Oci).layer(&[file]).command(&[marker]).build()
    }

    /// An OCI image whose layers are generated noise of exactly these sizes, which takes no memory. No client
    /// can unpack it. The same seed and sizes give the same image.
    pub fn generated(seed: u64, layer_bytes: &[u64]) -> Self {
        let builder =
            layer_bytes.iter().zip(0..).fold(Self::builder(Format::Oci), |builder, (len, number)| {
                builder.generated_layer(seed.wrapping_mul(0x1_0000).wrapping_add(number), *len)
            });
        builder.command(&[&seed.to_string()]).build()
    }

    /// An image that runs: a statically linked busybox in one layer, and in another the file `/etc/marker`,
    /// which its command prints, so that the output identifies the image.
    ///
    /// # Errors
    /// When `busybox` cannot be read.
    pub fn runnable(
        busybox: &Path,
        format: Format,
        compression: Compression,
        marker: &str,
    ) -> io::Result<Self> {
        let program = std::fs::read(busybox)?;
        let system = [
            Entry::Directory("bin/"),
            Entry::Program("bin/busybox", &program),
            Entry::Link("bin/sh", "busybox"),
            Entry::Link("bin/cat", "busybox"),
        ];
        let marked = [Entry::Directory("etc/"), Entry::File("etc/marker", marker.as_bytes())];
        let builder = Self::builder(format).compression(compression).layer(&system).layer(&marked);
        Ok(builder.command(&["/bin/cat", "/etc/marker"]).build())
    }

    /// The manifest's digest.
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// The blobs of the manifest: the configuration, then the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

#[cfg(test)]
mod tests;
