//! Builds images layer by layer.

use serde_json::{Map, Value, json};

use super::{Blob, Compression, Entry, Format, Image, archive};
use crate::blob_source::{BlobSource, digest_of};

/// An image that is being built.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    format: Format,
    compression: Compression,
    platform: (String, String),
    layers: Vec<Blob>,
    /// Digests of the layers before compression, in the same order.
    diff_ids: Vec<String>,
    command: Vec<String>,
    annotations: Map<String, Value>,
}

impl ImageBuilder {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            compression: Compression::default(),
            platform: ("linux".to_owned(), "amd64".to_owned()),
            layers: Vec::new(),
            diff_ids: Vec::new(),
            command: Vec::new(),
            annotations: Map::new(),
        }
    }

    /// For this operating system and architecture, in Go's words.
    #[must_use]
    pub fn platform(mut self, os: &str, architecture: &str) -> Self {
        self.platform = (os.to_owned(), architecture.to_owned());
        self
    }

    /// Sets the compression of the next layers; the default is gzip.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Adds a layer of these entries.
    #[must_use]
    pub fn layer(mut self, entries: &[Entry<'_>]) -> Self {
        let archive = archive(entries);
        self.diff_ids.push(digest_of(&archive));
        let media_type = self.compression.media_type(self.format);
        self.layers.push(Blob::new(media_type, self.compression.apply(&archive)));
        self
    }

    /// Adds a layer of exactly `len` bytes of noise. It looks like an uncompressed archive until a client
    /// unpacks it.
    #[must_use]
    pub fn generated_layer(mut self, seed: u64, len: u64) -> Self {
        let media_type = Compression::None.media_type(self.format);
        let layer = Blob::new(media_type, BlobSource::Generated { seed, len });
        self.diff_ids.push(layer.digest.clone());
        self.layers.push(layer);
        self
    }

    /// Sets the command of the image.
    #[must_use]
    pub fn command(mut self, words: &[&str]) -> Self {
        self.command = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Adds an annotation to the manifest; omitted in Docker's format, which has none.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }

    /// Builds the image.
    pub fn build(self) -> Image {
        let history: Vec<Value> = self.layers.iter().map(|_| json!({ "created_by": "testkit" })).collect();
        let config = json!({
            "os": self.platform.0,
            "architecture": self.platform.1,
            "config": { "Env": ["PATH=/bin"], "Cmd": self.command },
            "rootfs": { "type": "layers", "diff_ids": self.diff_ids },
            "history": history,
        });
        let config = Blob::document(self.format.config(), &config);
        let layers: Vec<Value> = self.layers.iter().map(Blob::descriptor).collect();
        let media_type = self.format.manifest();
        let mut manifest = json!({ "schemaVersion": 2, "mediaType": media_type,
            "config": config.descriptor(), "layers": layers });
        if self.format == Format::Oci && !self.annotations.is_empty() {
            manifest["annotations"] = Value::Object(self.annotations);
        }
        let manifest = Blob::document(media_type, &manifest);
        Image { manifest, config, layers: self.layers, platform: self.platform }
    }
}
