//! The blobs that recently fetched manifests name: their claimed sizes, for blobs that the upstream sends
//! without a size, and the other layers of their image.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oci::{Digest, Manifest, Repository, is_foreign_layer};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::recent::Recent;

/// A blob is remembered for this time: a client requests the blobs of a manifest next.
const BLOB_TTL: Duration = Duration::from_secs(3600);

/// The most blobs that are remembered.
const BLOB_COUNT_MAX: usize = 4096;

/// The most blobs that one manifest adds. Images have some dozens of layers.
const BLOB_COUNT_PER_MANIFEST_MAX: usize = 256;

/// The blobs that manifests name, by repository.
#[derive(Debug)]
pub(crate) struct NamedBlobs(Recent<(Repository, Digest), NamedBlob>);

/// A blob as the last fetched manifest describes it.
#[derive(Clone, Debug)]
struct NamedBlob {
    size: Option<u64>,
    /// The layers of the manifest; `None` for a config.
    layers: Option<Arc<Layers>>,
}

/// The layers of one image that its registry serves, in the order in which clients request them.
#[derive(Debug)]
pub(crate) struct Layers {
    digests: Vec<Digest>,
    is_read_ahead: AtomicBool,
    /// When a client last requested one of them that was not stored.
    asked_at: Mutex<Instant>,
}

/// The right to read ahead in one image. One task at a time has it.
#[derive(Debug)]
pub(crate) struct ReadAheadTurn(Arc<Layers>);

impl NamedBlobs {
    pub(crate) fn new() -> Self {
        Self(Recent::new(BLOB_TTL, BLOB_COUNT_MAX))
    }

    /// Notes the blobs in a manifest.
    pub(crate) fn note(&self, repository: &Repository, manifest: &Manifest) {
        let layers = manifest.layers.iter().take(BLOB_COUNT_PER_MANIFEST_MAX);
        let digests = layers
            .clone()
            .filter(|layer| !is_foreign_layer(layer.media_type.as_str()))
            .map(|it| it.digest.clone());
        let layers_of_image = Arc::new(Layers {
            digests: digests.collect(),
            is_read_ahead: AtomicBool::new(false),
            asked_at: Mutex::new(Instant::now()),
        });
        let config = manifest.config.iter().map(|config| (config, None));
        for (descriptor, layers) in config.chain(layers.map(|layer| (layer, Some(&layers_of_image)))) {
            let blob = NamedBlob { size: descriptor.size, layers: layers.cloned() };
            self.0.insert((repository.clone(), descriptor.digest.clone()), blob);
        }
    }

    /// The blob's size in bytes, according to a recent manifest of the repository.
    pub(crate) fn size(&self, repository: &Repository, digest: &Digest) -> Option<u64> {
        self.0.get(&(repository.clone(), digest.clone()))?.size
    }

    /// The layers of the image with this layer, if the image's manifest was fetched recently.
    pub(crate) fn layers_beside(&self, repository: &Repository, digest: &Digest) -> Option<Arc<Layers>> {
        self.0.get(&(repository.clone(), digest.clone()))?.layers
    }
}

impl Layers {
    /// The right to read ahead, when a client requests a layer that is not stored; `None` while another task
    /// has it.
    pub(crate) fn begin_read_ahead(self: &Arc<Self>) -> Option<ReadAheadTurn> {
        *self.asked_at.lock() = Instant::now();
        (!self.is_read_ahead.swap(true, Ordering::Relaxed)).then(|| ReadAheadTurn(Arc::clone(self)))
    }
}

impl ReadAheadTurn {
    pub(crate) fn digests(&self) -> &[Digest] {
        &self.0.digests
    }

    /// When a client last requested a layer of the image that was not stored.
    pub(crate) fn asked_at(&self) -> Instant {
        *self.0.asked_at.lock()
    }
}

impl Drop for ReadAheadTurn {
    fn drop(&mut self) {
        self.0.is_read_ahead.store(false, Ordering::Relaxed);
    }
}
