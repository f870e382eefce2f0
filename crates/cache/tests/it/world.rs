//! A backend on paused time, and shorthands for the tests.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use budget::Memory;
use bytes::{Bytes, BytesMut};
use cache::{
    Backend, BlobAnswer, BlobReader, Bounds, OfflineSwitch, OfflineSwitches, Parts, PullError, Settings,
    Upstreams, Want,
};
use inventory::Inventory;
use oci::{Digest, RangeRequest, Repository};
use policy::freshness::{StaleLimit, TagRule, Upstream404};
use storage::{BlobStore, MemoryStore, RecordStore, Store};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::upstream::MemoryUpstream;

pub(crate) struct World {
    pub(crate) upstream: Arc<MemoryUpstream>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) records: Arc<dyn RecordStore>,
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
    /// The memory of bodies.
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
    /// The order for all registries.
    pub(crate) all_offline: OfflineSwitches,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let store = Arc::new(MemoryStore::new());
        Self::over(Arc::default(), store.clone(), store, change)
    }

    /// New tables over the upstream and the store of another world, as after a restart.
    pub(crate) fn restarted(&self) -> Self {
        Self::over(self.upstream.clone(), self.blobs.clone(), self.records.clone(), |_| {})
    }

    pub(crate) fn over(
        upstream: Arc<MemoryUpstream>,
        blobs: Arc<dyn BlobStore>,
        records: Arc<dyn RecordStore>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::beside_others(upstream, blobs, records, Bounds::new(1_000_000, 1_000_000), change)
    }

    /// One of several backends that share `bounds_of_all`. Its inventory is told of this store, and can
    /// remove nothing from it.
    pub(crate) fn beside_others(
        upstream: Arc<MemoryUpstream>,
        blobs: Arc<dyn BlobStore>,
        records: Arc<dyn RecordStore>,
        bounds_of_all: Bounds,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::listed_in(Arc::new(MemoryStore::new()), upstream, (blobs, records), bounds_of_all, change)
    }

    /// A backend whose inventory removes images from this store.
    pub(crate) fn evicting(store: Arc<dyn Store>, change: impl FnOnce(&mut Settings)) -> Self {
        Self::evicting_before(Arc::default(), store, change)
    }

    /// A backend before this upstream, whose inventory removes images from this store.
    pub(crate) fn evicting_before(
        upstream: Arc<MemoryUpstream>,
        store: Arc<dyn Store>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let stores: (Arc<dyn BlobStore>, Arc<dyn RecordStore>) = (store.clone(), store.clone());
        Self::listed_in(store, upstream, stores, Bounds::new(1_000_000, 1_000_000), change)
    }

    fn listed_in(
        listed: Arc<dyn Store>,
        upstream: Arc<MemoryUpstream>,
        (blobs, records): (Arc<dyn BlobStore>, Arc<dyn RecordStore>),
        bounds_of_all: Bounds,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let rule = TagRule {
            ttl: Duration::ZERO,
            stale_if_error: StaleLimit::Forever,
            on_upstream_404: Upstream404::NotFound,
            offline: false,
        };
        let mut settings = Settings::new(rule);
        change(&mut settings);
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let metrics = telemetry::Metrics::new(&["memory.test".to_owned()]);
        let memory = Memory::default();
        let inventory =
            Inventory::new("memory.test", listed, metrics.registry("memory.test"), Box::new(SystemTime::now));
        let all_offline = OfflineSwitches::default();
        let offline = OfflineSwitch::unused("memory.test", records.clone(), &all_offline);
        let backend = Backend::new(Parts {
            name: "memory.test".to_owned(),
            upstreams: Upstreams::shared(upstream.clone()),
            blobs: blobs.clone(),
            records: records.clone(),
            inventory: inventory.clone(),
            bounds_of_all,
            memory: memory.clone(),
            settings,
            metrics: metrics.registry("memory.test"),
            tasks: tasks.clone(),
            cancel: cancel.clone(),
            offline,
        });
        let backend = Arc::new(backend);
        Self { upstream, blobs, records, inventory, backend, tasks, cancel, memory, metrics, all_offline }
    }

    pub(crate) fn metrics_text(&self) -> String {
        self.metrics.encode()
    }

    pub(crate) async fn get(&self, digest: &Digest) -> Result<BlobAnswer, PullError> {
        self.backend.pull_blob(&repository(), digest, None, Want::Get).await
    }

    /// Pulls a range, given as its header.
    pub(crate) async fn get_range(&self, digest: &Digest, range: &str) -> Result<BlobAnswer, PullError> {
        let range = RangeRequest::parse(range).unwrap();
        self.backend.pull_blob(&repository(), digest, range, Want::Get).await
    }

    /// Pulls the whole blob to its end.
    pub(crate) async fn pull(&self, digest: &Digest) -> Result<Bytes, PullError> {
        let answer = self.get(digest).await?;
        read(answer.body.expect("a GET has a body")).await.1
    }

    /// Waits until every task that the backend spawned has ended.
    pub(crate) async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    pub(crate) async fn holds(&self, digest: &Digest) -> bool {
        self.blobs.open(digest).await.unwrap().is_some()
    }
}

pub(crate) fn repository() -> Repository {
    "library/app".parse().unwrap()
}

/// Bytes that do not repeat within a piece.
pub(crate) fn noise(length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(length as u64);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

pub(crate) async fn next(reader: &mut BlobReader) -> Option<Result<Bytes, PullError>> {
    std::future::poll_fn(|context| reader.poll_chunk(context)).await
}

/// Reads to the end. Returns the number of bytes, and the whole body only if the end was clean.
pub(crate) async fn read(mut reader: BlobReader) -> (usize, Result<Bytes, PullError>) {
    let mut whole = BytesMut::new();
    loop {
        match next(&mut reader).await {
            Some(Ok(bytes)) => whole.extend_from_slice(&bytes),
            Some(Err(error)) => return (whole.len(), Err(error)),
            None => return (whole.len(), Ok(whole.freeze())),
        }
    }
}
