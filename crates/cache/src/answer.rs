//! The answers of a backend, before they are HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use budget::Share;
use bytes::Bytes;
use oci::{ByteRange, Digest, MediaType, Repository};
use storage::HeldManifest;

use crate::blob_reader::BlobReader;
use crate::outcome::Outcome;

/// Whether the client wants the content or only its description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A HEAD request.
    Head,
    /// A GET request.
    Get,
}

/// A manifest exactly as the upstream served it.
#[derive(Debug)]
pub struct ManifestAnswer {
    /// The digest of the bytes.
    pub digest: Digest,
    /// The upstream's media type.
    pub media_type: MediaType,
    /// The manifest's size in bytes.
    pub size: u64,
    /// The manifest, if it is in memory.
    pub bytes: Option<Bytes>,
    /// The manifest, if it is too large for memory. Both may be absent when only the description was wanted.
    pub file: Option<BlobReader>,
    /// The outcome of the request.
    pub outcome: Outcome,
    /// For a tag: how long ago the upstream last confirmed the digest.
    pub age: Option<Duration>,
}

impl ManifestAnswer {
    /// The answer with a manifest from the store: its bytes, or a reader of its file.
    pub(crate) fn of_stored(
        digest: &Digest,
        stored: HeldManifest,
        outcome: Outcome,
        age: Option<Duration>,
    ) -> Self {
        let size = stored.size();
        let (media_type, bytes, file) = match stored {
            HeldManifest::Whole(manifest) => (manifest.media_type, Some(manifest.bytes), None),
            HeldManifest::File { media_type, file } => {
                (media_type, None, Some(BlobReader::stored(file, ByteRange::whole(size))))
            }
        };
        Self { digest: digest.clone(), media_type, size, bytes, file, outcome, age }
    }

    /// The answer with the upstream's description, without stored content.
    pub(crate) fn described(digest: &Digest, media_type: MediaType, size: u64) -> Self {
        let digest = digest.clone();
        Self { digest, media_type, size, bytes: None, file: None, outcome: Outcome::Miss, age: None }
    }

    /// Whether this has the manifest itself, and not only its description.
    pub(crate) fn has_content(&self) -> bool {
        self.bytes.is_some() || self.file.is_some()
    }
}

/// The upstream's answer about a tag that was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// It names the same manifest as before.
    Unchanged {
        /// The manifest's digest.
        digest: Digest,
    },
    /// It names another manifest, which is stored now, unless the store failed.
    Moved {
        /// The digest before.
        from: Digest,
        /// The digest now.
        to: Digest,
    },
    /// The upstream has no such tag.
    Gone {
        /// The digest that it named.
        was: Digest,
        /// Whether the tag stays here, as `on_upstream_404` wants.
        is_kept: bool,
    },
}

/// A blob, or a range of it.
#[derive(Debug)]
pub struct BlobAnswer {
    /// The whole blob's size in bytes; `None` only for a HEAD, if the blob exists but the upstream does not
    /// say its size.
    pub size: Option<u64>,
    /// The bytes that `body` carries.
    pub range: ByteRange,
    /// Whether a range was requested and is served as one (status 206).
    pub partial: bool,
    /// The bytes; absent when only the description was wanted.
    pub body: Option<BlobReader>,
    /// For a body from a fill.
    pub keeping: Option<Keeping>,
    /// The outcome of the request.
    pub outcome: Outcome,
}

/// Tells whether the blob of a fill is still expected to be stored.
#[derive(Clone, Debug)]
pub struct Keeping(Arc<AtomicBool>);

impl Keeping {
    /// `loss` becomes true when the store fails.
    pub(crate) fn new(loss: Arc<AtomicBool>) -> Self {
        Self(loss)
    }

    /// Whether the store has failed to take the blob.
    pub fn has_failed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A page of tags or of referrers, as the upstream served it.
#[derive(Clone, Debug)]
pub struct ListAnswer {
    /// The JSON document.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: String,
    /// The query string that asks for the next page.
    pub next: Option<String>,
    /// The referrers API's `OCI-Filters-Applied`.
    pub filters_applied: Option<String>,
    /// The outcome of the request.
    pub outcome: Outcome,
    /// For a stale page: how long ago the upstream served it.
    pub age: Option<Duration>,
}

/// A page of the repositories with stored content.
#[derive(Debug)]
pub struct CatalogAnswer {
    /// Sorted names.
    pub repositories: Vec<Repository>,
    /// Whether more follow.
    pub more: bool,
    /// The memory of the list, held until it is sent.
    pub memory: Share,
}
