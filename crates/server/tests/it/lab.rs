//! A server with two registries, `docker.io` and `quay.io`, each before an upstream of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use budget::Memory;
use cache::{Backend, Bounds};
use policy::freshness::{StaleLimit, TagRule, Upstream404};
use policy::host::{RegistryNames, RoutingTable};
use server::{Control, Parts, Server, Settings, Snapshot};
use storage::{BlobStore, MemoryStore, RecordStore};
use telemetry::Metrics;
use testkit::client::{Connection, Response, request};
use testkit::{Endpoint, FakeRegistry, TempStore, within};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upstream::{Authorities, HttpUpstream};

/// The domain of the virtual hosts.
pub(crate) const DOMAIN: &str = "cache.example";

/// A host name that is Docker Hub's here.
pub(crate) const HUB: &str = "docker.io.cache.example:5000";

/// A host name that is Quay's here.
pub(crate) const QUAY: &str = "quay.io.cache.example";

/// What a test may change before the server starts.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) domain: Option<&'static str>,
    pub(crate) default_registry: Option<&'static str>,
    pub(crate) catalog: bool,
    pub(crate) tag_ttl: Duration,
    /// What the caches take for the wall's clock.
    pub(crate) wall_clock: fn() -> SystemTime,
    /// Blobs up to this size are verified before the first byte leaves.
    pub(crate) verify_first_bytes_max: u64,
    /// Places for requests that wait for one registry's upstream.
    pub(crate) waiting_count_max: usize,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) memory: Memory,
}

pub(crate) struct Lab {
    pub(crate) hub: FakeRegistry,
    pub(crate) quay: FakeRegistry,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) control: Control,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<()>,
    /// Where the stores are, if they are on disk.
    pub(crate) directory: TempStore,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Plan)) -> Self {
        Self::start_beside(change, |_, _| ()).await.0
    }

    /// A lab whose server is handed to `attach`, with the signal for its end, before it serves.
    pub(crate) async fn start_beside<T>(
        change: impl FnOnce(&mut Plan),
        attach: impl FnOnce(&mut Server, &CancellationToken) -> T,
    ) -> (Self, T) {
        let names = ["docker.io".to_owned(), "quay.io".to_owned()];
        let mut plan = Plan {
            settings: Settings::new(vec![loopback()]),
            domain: Some(DOMAIN),
            default_registry: None,
            catalog: true,
            tag_ttl: Duration::ZERO,
            wall_clock: SystemTime::now,
            verify_first_bytes_max: 1024,
            waiting_count_max: 2048,
            metrics: Arc::new(Metrics::new(&names)),
            memory: Memory::default(),
        };
        plan.settings.sendfile = crate::SENDFILE;
        change(&mut plan);
        let directory = TempStore::new();
        let (hub, quay) = (FakeRegistry::start().await, FakeRegistry::start().await);
        let make = |name, fake| Arc::new(backend(name, fake, &plan, store(name, &plan, &directory)));
        let registries = [make("docker.io", &hub), make("quay.io", &quay)];
        let routes = names.map(|name| RegistryNames { name, ..RegistryNames::default() });
        let routes = RoutingTable::new(plan.domain, plan.default_registry, &routes).unwrap();
        let metrics = Arc::clone(&plan.metrics);
        let routes = routes.map(|index| Arc::clone(&registries[*index]));
        let snapshot = Snapshot { routes, settings: plan.settings };
        let mut server = Server::bind(Parts { snapshot, metrics: Arc::clone(&metrics) }).unwrap();
        let control = server.control();
        let address = server.local_addresses()[0];
        let tls = server.tls_addresses().first().copied();
        let shutdown = CancellationToken::new();
        let attached = attach(&mut server, &shutdown);
        let served = tokio::spawn(server.serve(shutdown.clone()));
        (Self { hub, quay, address, tls, control, metrics, shutdown, served, directory }, attached)
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(
        &self,
        method: &str,
        host: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let asked = within(target, request(method, self.address, host, target, headers));
        asked.await.unwrap_or_else(|broken| panic!("{method} {host} {target}: {broken:?}"))
    }

    pub(crate) async fn get(&self, host: &str, target: &str) -> Response {
        self.ask("GET", host, target, &[]).await
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await.unwrap()
    }

    /// Sends these bytes on a connection of their own, and returns everything that comes until the server
    /// closes it.
    pub(crate) async fn send_raw(&self, bytes: &[u8]) -> String {
        let mut connection = self.connect().await;
        connection.send(bytes).await.unwrap();
        let (received, end) = within("the server closes", connection.read_raw_to_end()).await;
        end.unwrap_or_else(|broken| panic!("{broken:?} after {}", String::from_utf8_lossy(&received)));
        String::from_utf8_lossy(&received).into_owned()
    }

    /// How many requests the upstreams have seen.
    pub(crate) fn upstream_requests(&self) -> usize {
        self.hub.requests().len() + self.quay.requests().len()
    }
}

/// A loopback address whose port the kernel chooses.
pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

type Store = (Arc<dyn BlobStore>, Arc<dyn RecordStore>);

fn store(name: &str, plan: &Plan, directory: &TempStore) -> Store {
    if crate::STORES_FILES {
        let metrics = plan.metrics.registry(name);
        let store = storage::fs::open(&directory.path().join(name), metrics).unwrap();
        (Arc::new(store.clone()), Arc::new(store))
    } else {
        let store = MemoryStore::new();
        (Arc::new(store.clone()), Arc::new(store))
    }
}

fn backend(name: &str, fake: &FakeRegistry, plan: &Plan, store: Store) -> Backend {
    let metrics = plan.metrics.registry(name);
    let mut upstream = upstream::Settings::new(name, fake.url().parse().unwrap());
    upstream.trusted_hosts = vec![fake.host_of(Endpoint::Token), fake.host_of(Endpoint::Cdn)];
    let upstream = HttpUpstream::new(upstream, &Authorities::load(), Arc::clone(&metrics)).unwrap();
    let upstream = upstream.with_memory(plan.memory.clone());
    let (blobs, records) = store;
    let mut settings = cache::Settings::new(TagRule {
        ttl: plan.tag_ttl,
        stale_if_error: StaleLimit::Forever,
        on_upstream_404: Upstream404::NotFound,
        offline: false,
    });
    settings.hub_names = name == "docker.io";
    settings.catalog = plan.catalog;
    settings.wall_clock = plan.wall_clock;
    settings.verify_first_bytes_max = plan.verify_first_bytes_max;
    settings.waiting_count_max = plan.waiting_count_max;
    Backend::new(cache::Parts {
        name: name.to_owned(),
        upstream: Arc::new(upstream),
        blobs,
        records,
        bounds_of_all: Bounds::new(1_000_000, 1_000_000),
        memory: plan.memory.clone(),
        settings,
        metrics,
        tasks: TaskTracker::new(),
        cancel: CancellationToken::new(),
    })
}
