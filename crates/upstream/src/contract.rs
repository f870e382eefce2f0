//! The contract between the cache and an upstream: questions and answers.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use oci::{ByteRange, Digest, MediaType, Page, Reference, Repository};
use policy::head_trust::Stakes;

use crate::error::Error;

/// A registry that content is pulled from (distribution-spec, "Pull").
///
/// Every method is bounded in time up to the end of the answer's head, and for whole documents up to their
/// end. What a header claims is passed on as a claim.
#[async_trait]
pub trait Upstream: fmt::Debug + Send + Sync + 'static {
    /// Describes a manifest in the upstream's words. The upstream is asked by `HEAD`, which Docker Hub does
    /// not count as a pull. Where that gives nothing and proves nothing, as [`policy::head_trust`] says, a
    /// `GET` decides, whose manifest is handed over.
    ///
    /// # Errors
    /// [`Error`].
    async fn head_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        stakes: Stakes,
    ) -> Result<Described, Error>;

    /// A manifest, at most [`MANIFEST_BYTES_MAX`](crate::MANIFEST_BYTES_MAX) of it.
    ///
    /// # Errors
    /// [`Error`].
    async fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<ManifestBody, Error>;

    /// Describes a blob in the upstream's words, without downloading it: by `HEAD`, and where that gives
    /// nothing and proves nothing, or leaves the size out, by a `GET` of one byte.
    ///
    /// # Errors
    /// [`Error`].
    async fn head_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        stakes: Stakes,
    ) -> Result<BlobHead, Error>;

    /// A blob or a part of it. Every call asks the registry itself, so that a resumption gets a freshly
    /// signed address.
    ///
    /// # Errors
    /// [`Error`]; [`Error::is_range_refused`] tells that the whole must be asked for instead.
    async fn get_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: BlobRange,
    ) -> Result<BlobStream, Error>;

    /// A page of tags or of referrers, as the upstream wrote it, at most
    /// [`LIST_BYTES_MAX`](crate::LIST_BYTES_MAX) of it.
    ///
    /// # Errors
    /// [`Error`].
    async fn list(&self, request: &ListRequest) -> Result<ListPage, Error>;
}

/// An upstream's description of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Described {
    /// `HEAD` was answered.
    Head(ManifestHead),
    /// A `GET` decided, and gave all of it.
    Whole(ManifestBody),
}

/// The claims in the answer to a `HEAD` of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestHead {
    /// `Docker-Content-Digest`, when it is there and a digest.
    pub digest: Option<Digest>,
    /// `Content-Type`.
    pub media_type: Option<MediaType>,
    /// `Content-Length`, in bytes; never zero, which no manifest has.
    pub size: Option<u64>,
}

/// A manifest, not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestBody {
    /// The document.
    pub bytes: Bytes,
    /// `Content-Type`.
    pub media_type: Option<MediaType>,
    /// `Docker-Content-Digest`, when it is there and a digest: the header's claim.
    pub digest: Option<Digest>,
}

/// The claims about a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobHead {
    /// Its size in bytes, if the upstream tells. Zero only where the digest is that of no bytes.
    pub size: Option<u64>,
}

/// Which part of a blob is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobRange {
    /// All of it.
    Whole,
    /// From this offset to the end.
    From(u64),
    /// These bytes; not empty.
    Span(ByteRange),
    /// These bytes, over a further connection beside one that brings the same blob. If the upstream refuses,
    /// however it does, that is not tried again, and tells nothing about the upstream.
    Further(ByteRange),
    /// So many last bytes, or all of a shorter blob; as for [`Further`](Self::Further). Some upstreams know
    /// no such ranges.
    Last(u64),
}

/// A blob's bytes as they arrive, not verified.
pub struct BlobStream {
    /// Offset of the body's first byte: what was asked for, or 0 when the upstream ignored the range.
    pub start: u64,
    /// Offset behind the body's last byte, if the upstream tells. The body then either ends there or fails.
    pub end: Option<u64>,
    /// The size of the whole blob, if the upstream tells.
    pub size: Option<u64>,
    /// The bytes. A cut, a reset or silence is an [`Interrupted`](crate::ErrorKind::Interrupted) error. A
    /// clean end of a body without a told length is taken for its end.
    pub body: BoxStream<'static, Result<Bytes, Error>>,
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream")
            .field("start", &self.start)
            .field("end", &self.end)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Which list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListRequest {
    /// `/v2/<name>/tags/list`.
    Tags {
        /// The repository.
        repository: Repository,
        /// The page.
        page: Page,
    },
    /// `/v2/<name>/referrers/<digest>`.
    Referrers {
        /// The repository.
        repository: Repository,
        /// The subject.
        digest: Digest,
        /// Only artifacts of this type.
        artifact_type: Option<String>,
        /// The page.
        page: Page,
    },
}

/// A page of a list, as the upstream wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// The document.
    pub bytes: Bytes,
    /// `Content-Type`.
    pub media_type: Option<MediaType>,
    /// The query of the `Link` to the next page: `last`, `n` and `artifactType` as the upstream wrote them.
    /// None where the upstream pages by anything else, which no client could bring back through us.
    pub next: Option<String>,
    /// `OCI-Filters-Applied`.
    pub filters_applied: Option<String>,
}
