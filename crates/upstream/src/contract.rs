//! The contract between the cache and an upstream.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use oci::{ByteRange, Digest, MediaType, Page, Reference, Repository};
use policy::head_trust::Stakes;

use crate::error::Error;

pub use credentials::{Login as ClientLogin, State as LoginState, Status as LoginStatus};

/// A registry that content is pulled from (distribution-spec, "Pull").
///
/// Every method has a deadline for the answer's head, and for whole documents one for their end. Headers are
/// passed on as unverified claims.
#[async_trait]
pub trait Upstream: fmt::Debug + Send + Sync + 'static {
    /// Describes a manifest in the upstream's words. It sends a `HEAD`, which Docker Hub does not count as a
    /// pull. If that fails and proves nothing (see [`policy::head_trust`]), a `GET` decides, and its manifest
    /// is returned.
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

    /// Describes a blob in the upstream's words, without downloading it: by `HEAD`, and if that fails and
    /// proves nothing, or has no size, by a `GET` of one byte.
    ///
    /// # Errors
    /// [`Error`].
    async fn head_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        stakes: Stakes,
    ) -> Result<BlobHead, Error>;

    /// Fetches a blob or a part of it. Every call starts at the registry, so that a resumption gets a freshly
    /// signed URL.
    ///
    /// # Errors
    /// [`Error`]; [`Error::is_range_refused`] means that the whole must be requested instead.
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

    /// The logins of this upstream and what their sources say. It asks no source.
    fn logins(&self) -> Vec<LoginStatus> {
        Vec::new()
    }

    /// The same upstream for one client, which has this login or none. `None`: it knows no clients.
    fn for_client(&self, _login: Option<ClientLogin>) -> Option<Arc<dyn Upstream>> {
        None
    }

    /// Asks the registry, or its token service, whether the login is right, without a repository.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) if it is wrong, and any other [`Error`].
    async fn check_login(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Drops the tokens for a repository that worked before, so that the next request for it proves the login
    /// again.
    async fn forget_tokens(&self, _repository: &Repository) {}

    /// Whether the registry or its token service has accepted the login.
    fn has_login_worked(&self) -> bool {
        false
    }

    /// The addresses of this upstream and their health, in the order of the configuration.
    fn addresses(&self) -> Vec<AddressStatus> {
        Vec::new()
    }

    /// Notes that content was wrong which these addresses sent for this digest: requests for it go to other
    /// addresses first. Returns whether a retry is worthwhile, because another address may have the right
    /// bytes.
    fn note_wrong(&self, _digest: &Digest, _senders: &Senders) -> bool {
        false
    }

    /// Closes all idle connections, and ends requests that the upstream makes by itself. Callers end their
    /// own requests by dropping them. A later request opens new connections.
    fn disconnect(&self);
}

/// An address of an upstream, by its position in the configured list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressPosition(usize);

impl AddressPosition {
    /// The address at this position; the first one has 0.
    pub const fn new(position: usize) -> Self {
        Self(position)
    }

    /// Its position.
    pub const fn get(self) -> usize {
        self.0
    }

    /// Whether it is another than the first address. Its word on a tag may be old (`policy::failover`).
    pub const fn is_stand_in(self) -> bool {
        self.0 > 0
    }
}

/// The addresses that sent the bytes of one content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Senders {
    /// Those that are known.
    pub addresses: Vec<AddressPosition>,
    /// Whether they sent all bytes. Some may be from an earlier transfer, of which the address is not known.
    pub are_all: bool,
}

impl Senders {
    /// One address that sent everything.
    pub fn only(address: AddressPosition) -> Self {
        Self { addresses: vec![address], are_all: true }
    }
}

/// An address of an upstream, for operators.
#[derive(Clone, Debug)]
pub struct AddressStatus {
    /// Its URL, without the final slash.
    pub url: String,
    /// Whether it failed, so that requests go to the other addresses first until a probe finds it again.
    pub is_resting: bool,
    /// The failure that began the rest.
    pub failure: Option<Error>,
}

/// An upstream's description of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Described {
    /// `HEAD` was answered.
    Head(ManifestHead),
    /// A `GET` decided, and returned the manifest.
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
    /// The address that sent it.
    pub sent_by: AddressPosition,
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
    /// The address that sent it.
    pub sent_by: AddressPosition,
}

/// The claims in the answer about a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobHead {
    /// Its size in bytes, if known. Zero only if the digest is that of empty content.
    pub size: Option<u64>,
}

/// The requested part of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobRange {
    /// All of it.
    Whole,
    /// From this offset to the end.
    From(u64),
    /// These bytes; not empty.
    Span(ByteRange),
    /// These bytes, over a further connection beside a transfer of the same blob. A refusal is not retried,
    /// and does not count against the upstream.
    Further(ByteRange),
    /// This many last bytes, or all of a shorter blob; otherwise like [`Further`](Self::Further). Some
    /// upstreams do not support such ranges.
    Last(u64),
}

/// A blob's bytes as they arrive, not verified.
pub struct BlobStream {
    /// Offset of the body's first byte: the requested one, or 0 if the upstream ignored the range.
    pub start: u64,
    /// Offset behind the body's last byte, if known. The body then either ends there or fails.
    pub end: Option<u64>,
    /// The size of the whole blob, if known.
    pub size: Option<u64>,
    /// The address that sends it.
    pub sent_by: AddressPosition,
    /// The bytes. A cut, a reset or silence is an [`Interrupted`](crate::ErrorKind::Interrupted) error. A
    /// body without a known length ends where the connection does.
    pub body: BoxStream<'static, Result<Bytes, Error>>,
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream")
            .field("start", &self.start)
            .field("end", &self.end)
            .field("size", &self.size)
            .field("sent_by", &self.sent_by)
            .finish_non_exhaustive()
    }
}

/// The requested list.
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
    /// The address that sent it.
    pub sent_by: AddressPosition,
}
