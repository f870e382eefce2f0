//! A backend: one upstream, one store, one set of tables. Nothing in it is shared with another backend.

use std::sync::Arc;
use std::time::Duration;

use budget::Memory;
use oci::{Digest, Page, Reference, Repository, Tag};
use storage::{BlobStore, HeldManifest, RecordStore, StoreError, StoredList};
use telemetry::RegistryMetrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;
use upstream::{Described, Upstream};

use crate::answer::CatalogAnswer;
use crate::error::PullError;
use crate::fill::lanes::Lanes;
use crate::fill::table::FillTable;
use crate::fill::transfer::Transfer;
use crate::flight::Flights;
use crate::grants::{GRANT_COUNT_MAX, Grants};
use crate::held_manifests::HeldManifests;
use crate::manifest_fetch::ManifestFetch;
use crate::recent::Recent;
use crate::settings::Settings;
use crate::tag_check::{AskedAt, TagCheck};
use crate::verified::Verified;
use crate::waiting::Bounds;

/// Entries of each table of recent facts.
const RECENT_COUNT_MAX: usize = 4096;

/// How long a digest that a HEAD named waits for the GET that makes the tag servable.
const NAMED_TTL: Duration = Duration::from_secs(600);

/// How long a digest whose bytes were wrong stays under suspicion.
const SUSPECT_TTL: Duration = Duration::from_secs(60);

/// How long the sizes that a manifest names are remembered: its blobs are asked for next.
const SIZES_TTL: Duration = Duration::from_secs(3600);

/// How long the time of a tag's last check is remembered beside its record on disk.
const CHECKED_TTL: Duration = Duration::from_secs(24 * 3600);

/// What a backend is made of.
#[derive(Debug)]
pub struct Parts {
    /// The registry's name, as configured.
    pub name: String,
    /// Whom to ask.
    pub upstream: Arc<dyn Upstream>,
    /// Where blobs are kept.
    pub blobs: Arc<dyn BlobStore>,
    /// Where tags, manifests and links are kept.
    pub records: Arc<dyn RecordStore>,
    /// What may depend on the upstreams of all backends of the process together.
    pub bounds_of_all: Bounds,
    /// What bodies of all backends of the process together may take of memory.
    pub memory: Memory,
    /// Rules and bounds.
    pub settings: Settings,
    /// This registry's numbers.
    pub metrics: Arc<RegistryMetrics>,
    /// Owns every task that the backend spawns.
    pub tasks: TaskTracker,
    /// Ends fills at shutdown.
    pub cancel: CancellationToken,
}

/// What a registry's no is remembered by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    Manifest(Repository, Reference),
    Blob(Repository, Digest),
}

/// A registry as wharf serves it.
#[derive(Debug)]
pub struct Backend {
    pub(crate) name: Arc<str>,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) records: Arc<dyn RecordStore>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) metrics: Arc<RegistryMetrics>,
    pub(crate) tasks: TaskTracker,
    cancel: CancellationToken,
    /// What may depend on this upstream.
    pub(crate) bounds: Bounds,
    pub(crate) bounds_of_all: Bounds,
    pub(crate) memory: Memory,
    pub(crate) fills: FillTable,
    lanes: Arc<Lanes>,
    pub(crate) manifests: ManifestFetch,
    pub(crate) held_manifests: HeldManifests,
    pub(crate) manifest_flights: Flights<(Repository, Digest), HeldManifest>,
    pub(crate) tag_flights: Flights<(Repository, Tag), TagCheck>,
    pub(crate) hash_flights: Flights<Digest, bool>,
    pub(crate) link_flights: Flights<(Repository, Digest), ()>,
    pub(crate) grant_flights: Flights<(Repository, Digest), ()>,
    pub(crate) confirm_flights: Flights<(Repository, Tag), ()>,
    pub(crate) grants: Arc<Grants>,
    /// What the registry itself has said no to a moment ago.
    pub(crate) refused: Recent<Asked, PullError>,
    pub(crate) suspects: Arc<Recent<Digest, u32>>,
    pub(crate) verified: Arc<Verified>,
    /// When a tag was last checked, and what it named. Its record on disk may be older; where the disk refused the
    /// check, it names something else.
    pub(crate) checked: Arc<Recent<(Repository, Tag), (AskedAt, Digest)>>,
    /// Tags whose new digest a HEAD named, waiting for the manifest itself.
    pub(crate) named: Recent<(Repository, Digest), (Tag, AskedAt)>,
    pub(crate) list_flights: Flights<(Repository, String), StoredList>,
    pub(crate) describe_flights: Flights<(Repository, Digest), Described>,
    pub(crate) size_flights: Flights<(Repository, Digest), Option<u64>>,
}

impl Backend {
    /// A backend that has asked nobody anything yet.
    pub fn new(mut parts: Parts) -> Self {
        let settings = &mut parts.settings;
        if settings.links {
            // A tag that is served unasked is a grant that is not asked again.
            settings.tags.ttl = settings.tags.ttl.min(settings.auth_ttl);
        }
        let manifests = ManifestFetch {
            upstream: parts.upstream.clone(),
            metrics: parts.metrics.clone(),
            suspects: Arc::new(Recent::new(SUSPECT_TTL, RECENT_COUNT_MAX)),
            sizes: Arc::new(Recent::new(SIZES_TTL, RECENT_COUNT_MAX)),
        };
        let name: Arc<str> = parts.name.into();
        let held_manifests = HeldManifests::new(
            name.clone(),
            parts.records.clone(),
            parts.metrics.clone(),
            parts.tasks.clone(),
        );
        Self {
            manifests,
            held_manifests,
            manifest_flights: Flights::new(parts.tasks.clone()),
            tag_flights: Flights::new(parts.tasks.clone()),
            hash_flights: Flights::new(parts.tasks.clone()),
            link_flights: Flights::new(parts.tasks.clone()),
            confirm_flights: Flights::new(parts.tasks.clone()),
            grant_flights: Flights::new(parts.tasks.clone()),
            grants: Arc::new(Recent::new(parts.settings.auth_ttl, GRANT_COUNT_MAX)),
            refused: Recent::new(parts.settings.negative_ttl, RECENT_COUNT_MAX),
            suspects: Arc::new(Recent::new(SUSPECT_TTL, RECENT_COUNT_MAX)),
            verified: Arc::new(Verified::new()),
            checked: Arc::new(Recent::new(CHECKED_TTL, RECENT_COUNT_MAX)),
            named: Recent::new(NAMED_TTL, RECENT_COUNT_MAX),
            list_flights: Flights::new(parts.tasks.clone()),
            describe_flights: Flights::new(parts.tasks.clone()),
            size_flights: Flights::new(parts.tasks.clone()),
            bounds: Bounds::new(parts.settings.waiting_count_max, parts.settings.asking_count_max),
            bounds_of_all: parts.bounds_of_all,
            fills: FillTable::new(parts.memory.clone()),
            memory: parts.memory,
            lanes: Arc::new(Lanes::new()),
            name,
            upstream: parts.upstream,
            blobs: parts.blobs,
            records: parts.records,
            settings: Arc::new(parts.settings),
            metrics: parts.metrics,
            tasks: parts.tasks,
            cancel: parts.cancel,
        }
    }

    /// The registry's name, as configured.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This registry's numbers.
    pub fn metrics(&self) -> &Arc<RegistryMetrics> {
        &self.metrics
    }

    /// Whether the upstream is asked with credentials or a certificate.
    pub fn has_login(&self) -> bool {
        self.settings.links
    }

    /// Whether one-part repository names get `library/` put in front.
    pub fn hub_names(&self) -> bool {
        self.settings.hub_names
    }

    /// What this registry holds here, by repository name; `None` when the listing is turned off.
    ///
    /// # Errors
    /// [`PullError::Store`] when the store cannot be listed; [`PullError::Overloaded`] when there is no memory left for
    /// the list.
    pub async fn catalog(&self, page: &Page) -> Result<Option<CatalogAnswer>, PullError> {
        if !self.settings.catalog {
            return Ok(None);
        }
        let count = page.n.map_or(PAGE_COUNT_DEFAULT, |n| n as usize);
        let listed = self.records.repositories(page.last.as_deref(), count + 1).await;
        let mut repositories = listed.map_err(|error| PullError::from(&error))?;
        let more = repositories.len() > count;
        repositories.truncate(count);
        let bytes: usize = repositories.iter().map(|name| name.as_str().len() + NAME_BYTES).sum();
        let memory = self.memory.lists.take(bytes as u64).ok_or(PullError::Overloaded)?;
        Ok(Some(CatalogAnswer { repositories, more, memory }))
    }

    pub(crate) fn transfer(&self, repository: &Repository, digest: &Digest) -> Arc<Transfer> {
        Arc::new(Transfer {
            registry: self.name.clone(),
            upstream: self.upstream.clone(),
            blobs: self.blobs.clone(),
            records: self.records.clone(),
            repository: repository.clone(),
            digest: digest.clone(),
            settings: self.settings.clone(),
            metrics: self.metrics.clone(),
            suspects: self.suspects.clone(),
            sizes: self.manifests.sizes.clone(),
            grants: self.grants.clone(),
            verified: self.verified.clone(),
            lanes: self.lanes.clone(),
            bounds: self.bounds.clone(),
            bounds_of_all: self.bounds_of_all.clone(),
            tasks: self.tasks.clone(),
            cancel: self.cancel.clone(),
        })
    }

    /// Remembers for a moment what the registry itself has said no to, and nothing else.
    pub(crate) fn remember_no<T>(&self, asked: Asked, answer: &Result<T, PullError>) {
        if let Err(error) = answer
            && error.is_definite_no()
        {
            self.refused.insert(asked, error.clone());
        }
    }

    /// Counts and logs a failure of the store that the upstream can make good.
    pub(crate) fn store_failed(&self, error: &StoreError) {
        self.metrics.store_failed(error.call());
        warn!(registry = %self.name, %error, "store failed");
    }

    /// What an offline backend says of a thing that it does not hold: it could not ask.
    pub(crate) fn offline(&self) -> PullError {
        PullError::Offline
    }
}

/// What a name in the answer to `_catalog` takes beside its letters, and its part of what stands around all of them.
const NAME_BYTES: usize = 32;

/// The page size of `_catalog` when the client names none.
const PAGE_COUNT_DEFAULT: usize = 1000;
