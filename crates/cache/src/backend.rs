//! A backend: one upstream, one store, one set of tables. It shares none of them with another backend.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use access::{ClientHash, Clients};
use budget::Memory;
use inventory::Inventory;
use oci::{Digest, Page, RangeRequest, RangeSet, Reference, Repository, Tag};
use policy::capacity::LoginShare;
use storage::{BlobStore, RecordStore};
use telemetry::RegistryMetrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upstream::{AddressStatus, LoginStatus, Upstream};

use crate::answer::{BlobAnswer, CatalogAnswer, ListAnswer, ManifestAnswer, Want};
use crate::asker::Asker;
use crate::blobs::Blobs;
use crate::error::PullError;
use crate::grants::Grants;
use crate::listings::Listings;
use crate::manifests::Manifests;
use crate::named_blobs::NamedBlobs;
use crate::offline::OfflineSwitch;
use crate::permits::{Bounds, Permits};
use crate::pull_ranges::BlobParts;
use crate::scrub_state::ScrubReport;
use crate::served_store::ServedStore;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::store_health::StoreHealth;
use crate::store_tables::StoreTables;
use crate::tags::Tags;
use crate::visibility::{AnonymousUpstream, Subject, Visibility};

/// The parts of a backend.
#[derive(Debug)]
pub struct Parts {
    /// The registry's name, as configured.
    pub name: String,
    /// The upstream registry.
    pub upstreams: Upstreams,
    /// The store of blobs.
    pub blobs: Arc<dyn BlobStore>,
    /// The store of tags, manifests and grants.
    pub records: Arc<dyn RecordStore>,
    /// The images in the store.
    pub inventory: Arc<Inventory>,
    /// Admission limits of the upstreams of all backends together.
    pub bounds_of_all: Bounds,
    /// The memory that bodies of all backends of the process share.
    pub memory: Memory,
    /// Rules and bounds.
    pub settings: Settings,
    /// This registry's numbers.
    pub metrics: Arc<RegistryMetrics>,
    /// Tracks every task that the backend spawns.
    pub tasks: TaskTracker,
    /// Ends fills at shutdown.
    pub cancel: CancellationToken,
    /// Whether requests may go to the upstream. All backends over a store share it.
    pub offline: Arc<OfflineSwitch>,
}

/// The ways to the upstream registry.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// With the registry's logins, if it has any.
    pub own: Arc<dyn Upstream>,
    /// Without a login, if clients get only what it gives to everyone. If clients pull with their own logins,
    /// this is for those without one.
    pub anonymous: Option<AnonymousUpstream>,
}

impl Upstreams {
    /// One way, whose content every client may have.
    pub fn shared(own: Arc<dyn Upstream>) -> Self {
        Self { own, anonymous: None }
    }
}

/// A registry as wharf serves it.
#[derive(Debug)]
pub struct Backend {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tables: StoreTables,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) manifests: Arc<Manifests>,
    pub(crate) tags: Tags,
    pub(crate) listings: Listings,
    pub(crate) asker: Arc<Asker>,
    /// Present if clients get only what the upstream gives to everyone.
    pub(crate) visibility: Option<Visibility>,
    /// The clients that pull with their own logins, if they do, each with its backend.
    pub(crate) clients: Option<Clients<Arc<Backend>>>,
    /// The client whose backend this is.
    pub(crate) client: Option<OwnLogin>,
}

/// The client of a backend that is for one login.
#[derive(Debug)]
pub(crate) struct OwnLogin {
    pub(crate) hash: ClientHash,
    /// Whether the upstream is known to have accepted the login.
    pub(crate) is_proved: AtomicBool,
}

impl Backend {
    /// A backend with empty tables.
    pub fn new(parts: Parts) -> Self {
        Self::with_tables(parts, None)
    }

    /// A successor of this backend over the same store, with other rules or another upstream. It joins the
    /// transfers in flight and takes over the tables of the store. It asks for grants and refusals again,
    /// because they belong to the old login.
    #[must_use]
    pub fn succeeded_by(&self, parts: Parts) -> Self {
        Self::with_tables(parts, Some(self.tables.for_successor()))
    }

    fn with_tables(parts: Parts, tables: Option<StoreTables>) -> Self {
        let bandwidths = tables.as_ref().map(|tables| Arc::clone(&tables.bandwidths)).unwrap_or_default();
        let last_failure = tables.as_ref().map(|tables| Arc::clone(&tables.last_failure)).unwrap_or_default();
        bandwidths.upstream.set(parts.settings.upstream_bandwidth);
        bandwidths.client.set(parts.settings.client_bandwidth);
        let shared = Arc::new(Shared {
            bandwidths,
            last_failure,
            name: parts.name.into(),
            settings: parts.settings.consistent(),
            metrics: parts.metrics,
            tasks: parts.tasks,
            cancel: parts.cancel,
            blobs: parts.blobs,
            records: parts.records,
            offline: parts.offline,
            inventory: parts.inventory,
            memory: parts.memory,
        });
        let tables = tables.unwrap_or_else(|| StoreTables::new(&shared, &shared.settings));
        shared.inventory.serve_with(Arc::new(ServedStore::new(&shared, &tables)));
        let permits = Arc::new(Permits::new(tables.bounds.clone(), parts.bounds_of_all));
        let offline = Arc::clone(&shared.offline);
        let asker = |upstream, permits| {
            let (name, offline) = (shared.name.clone(), Arc::clone(&offline));
            Arc::new(Asker::new(name, upstream, offline, &shared.settings, permits))
        };
        let visibility = parts.upstreams.anonymous.map(|AnonymousUpstream { upstream, address }| {
            let asker = asker(upstream, permits.clone());
            Visibility::new(shared.clone(), asker, tables.public.clone(), address)
        });
        let asker = asker(parts.upstreams.own, permits);
        let grants = Arc::new(Grants::new(shared.clone(), asker.clone()));
        let named = Arc::new(NamedBlobs::new());
        let stored = tables.manifests.clone();
        let manifests =
            Arc::new(Manifests::new(shared.clone(), asker.clone(), grants.clone(), named.clone(), stored));
        let words = tables.words.clone();
        Self {
            tags: Tags::new(shared.clone(), asker.clone(), grants.clone(), manifests.clone(), words),
            listings: Listings::new(shared.clone(), asker.clone()),
            blobs: Arc::new(Blobs::new(shared.clone(), asker.clone(), grants, named, &tables)),
            manifests,
            tables,
            clients: shared.settings.passthrough.then(|| Clients::new(LoginShare::of_one(1))),
            client: None,
            shared,
            asker,
            visibility,
        }
    }

    /// The admission limits of this registry's upstream; [resize](Bounds::resize) them when the process's
    /// capacity changes.
    pub fn bounds(&self) -> &Bounds {
        &self.tables.bounds
    }

    /// Changes how many logins of clients are remembered, if clients pull with their own.
    pub fn resize_logins(&self, share: LoginShare) {
        self.clients.iter().for_each(|clients| clients.resize(share));
    }

    /// The state of the store's scrub.
    pub fn scrub_report(&self) -> ScrubReport {
        self.tables.scrub.report()
    }

    /// Whether the store can be written.
    pub fn store_health(&self) -> &Arc<StoreHealth> {
        &self.tables.health
    }

    /// The registry's name, as configured.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// This registry's numbers.
    pub fn metrics(&self) -> &Arc<RegistryMetrics> {
        &self.shared.metrics
    }

    /// Whether requests may go to the upstream.
    pub fn offline(&self) -> &Arc<OfflineSwitch> {
        &self.shared.offline
    }

    /// The logins at the upstream, and what their sources say. No source is asked.
    pub fn logins(&self) -> Vec<LoginStatus> {
        self.asker.logins()
    }

    /// The addresses of the upstream and their health. No address gets a request.
    pub fn addresses(&self) -> Vec<AddressStatus> {
        self.asker.addresses()
    }

    /// Whether the upstream is asked with credentials or a certificate.
    pub fn has_login(&self) -> bool {
        self.shared.settings.links
    }

    /// Whether one-part repository names get `library/` put in front.
    pub fn hub_names(&self) -> bool {
        self.shared.settings.hub_names
    }

    /// Whether clients get only what the upstream gives to everyone.
    pub fn is_public_only(&self) -> bool {
        self.visibility.is_some()
    }

    /// Checks that a client may get content of this repository: every client's request passes here first.
    async fn check(
        &self,
        repository: &Repository,
        subject: impl FnOnce() -> Subject,
    ) -> Result<(), PullError> {
        match &self.visibility {
            Some(visibility) => visibility.check(repository, subject).await,
            None => Ok(()),
        }
    }

    /// Pulls a manifest for a client. After a HEAD, its digest can be pulled.
    ///
    /// # Errors
    /// See [`PullError`]. An outage is an error only when nothing stored may stand in.
    pub async fn pull_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        want: Want,
    ) -> Result<ManifestAnswer, PullError> {
        self.check(repository, || Subject::Manifest(reference.clone())).await?;
        self.pull_owned_manifest(repository, reference, want).await
    }

    /// Pulls a manifest for wharf's owner, who may have whatever wharf's account may read.
    pub(crate) async fn pull_owned_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        want: Want,
    ) -> Result<ManifestAnswer, PullError> {
        let pulled = match reference {
            Reference::Digest(digest) => match self.manifests.pull_stored(repository, digest).await? {
                Some(hit) => Ok(hit),
                // If a HEAD of a tag has just named it, the tag can be served from now on.
                None => Box::pin(self.tags.pull_digest(repository, digest, want)).await,
            },
            Reference::Tag(tag) => self.tags.pull(repository, tag, want).await,
        };
        // Tools that look whether an image has moved send HEADs; those do not use it.
        if let (Want::Get, Ok(answer)) = (want, &pulled) {
            self.shared.inventory.manifest_used(repository, &answer.digest);
        }
        pulled.map(|answer| self.limited_manifest(answer, want))
    }

    fn limited_manifest(&self, mut answer: ManifestAnswer, want: Want) -> ManifestAnswer {
        if want == Want::Get {
            answer.file = answer.file.map(|file| file.limited(&self.shared.bandwidths));
            // One in memory is small: it counts, and others wait for it.
            let len = answer.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
            self.shared.bandwidths.client.take(len);
        }
        answer
    }

    /// The time of the upstream's last confirmation of a tag; `None`: the tag is not known here.
    pub async fn tag_checked_at(&self, repository: &Repository, tag: &Tag) -> Option<SystemTime> {
        self.tags.checked_at(repository, tag).await
    }

    /// Pulls a blob or a range of it. A HEAD downloads no body. A GET that misses starts a fill, and returns
    /// with the first byte, or some seconds after the size is known (for a small blob: as soon as it is
    /// verified).
    ///
    /// # Errors
    /// See [`PullError`]. The body can still fail after that; then the connection must not end it cleanly.
    pub async fn pull_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: Option<RangeRequest>,
        want: Want,
    ) -> Result<BlobAnswer, PullError> {
        self.check(repository, || Subject::Blob(digest.clone())).await?;
        let answer = self.blobs.pull(repository, digest, range, want).await?;
        let Shared { bandwidths, inventory, .. } = &*self.shared;
        let body = answer.body.map(|body| body.limited(bandwidths).of_blob(inventory, digest));
        Ok(BlobAnswer { body, ..answer })
    }

    /// Opens several ranges of a blob. `None`: the whole blob is the answer (RFC 9110, section 14.2), because
    /// it is not stored, is not hashed yet and hashing takes long, or is smaller than the ranges together.
    ///
    /// # Errors
    /// As [`pull_blob`](Self::pull_blob).
    pub async fn pull_ranges(
        &self,
        repository: &Repository,
        digest: &Digest,
        ranges: &RangeSet,
    ) -> Result<Option<BlobParts>, PullError> {
        self.check(repository, || Subject::Blob(digest.clone())).await?;
        self.blobs.pull_ranges(repository, digest, ranges).await
    }

    /// The tags of a repository, from the upstream. While the upstream is unavailable, returns the last
    /// stored page, marked as stale; without one, the error, because a list also says what is absent.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn tags(&self, repository: &Repository, page: &Page) -> Result<ListAnswer, PullError> {
        self.check(repository, || Subject::List).await?;
        self.listings.tags(repository, page).await
    }

    /// The referrers of a digest (distribution-spec, "Listing Referrers"). While the upstream is unavailable,
    /// returns the last stored page, marked as stale; without one, a not-found, which no client treats as a
    /// failed pull.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
        artifact_type: Option<&str>,
        page: &Page,
    ) -> Result<ListAnswer, PullError> {
        self.check(repository, || Subject::List).await?;
        self.listings.referrers(repository, digest, artifact_type, page).await
    }

    /// Lists the repositories with stored content; `None`: the listing is turned off. If clients get only
    /// what the upstream gives to everyone, it names no other repository, and a page may be shorter.
    ///
    /// # Errors
    /// [`PullError::Store`] when the store cannot be listed; [`PullError::Overloaded`] when no memory is left
    /// for the list.
    pub async fn catalog(&self, page: &Page) -> Result<Option<CatalogAnswer>, PullError> {
        let Some(visibility) = &self.visibility else { return self.listings.catalog(page).await };
        let mut from = page.clone();
        loop {
            let Some(mut catalog) = self.listings.catalog(&from).await? else { return Ok(None) };
            let last = catalog.repositories.last().map(|repository| repository.as_str().to_owned());
            visibility.retain_public(&mut catalog.repositories).await;
            // A page without public repositories has no name for a link, so the next page follows.
            if !catalog.repositories.is_empty() || !catalog.more || last.is_none() {
                return Ok(Some(catalog));
            }
            from.last = last;
        }
    }
}
