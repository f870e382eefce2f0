//! A running server with two registries, `docker.io` and `quay.io`, each before its own fake upstream. The
//! tests of `server` and `admin` share it.
//!
//! It is not part of `testkit`, which imports nothing of the product.

#![allow(clippy::unwrap_used, reason = "test code: every failure is to be loud")]

use std::fs::OpenOptions;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::AccessTable;
use budget::Memory;
use cache::{Backend, Bounds, OfflineSwitch, OfflineSwitches, Upstreams};
use inventory::Inventory;
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
pub const DOMAIN: &str = "cache.example";

/// A host name of Docker Hub.
pub const HUB: &str = "docker.io.cache.example:5000";

/// A host name of Quay.
pub const QUAY: &str = "quay.io.cache.example";

/// Where a lab stores blobs and how it sends them.
pub trait Mode {
    /// Whether the stores are on disk.
    const STORES_FILES: bool;
    /// Whether the kernel sends stored files.
    const SENDFILE: bool;
}

/// Stores in memory.
#[derive(Debug)]
pub struct InMemory;

impl Mode for InMemory {
    const STORES_FILES: bool = false;
    const SENDFILE: bool = true;
}

/// Stores on disk, and files that are copied to the socket.
#[derive(Debug)]
pub struct CopiedFiles;

impl Mode for CopiedFiles {
    const STORES_FILES: bool = true;
    const SENDFILE: bool = false;
}

/// Stores on disk, and files that the kernel sends.
#[derive(Debug)]
pub struct SentFiles;

impl Mode for SentFiles {
    const STORES_FILES: bool = true;
    const SENDFILE: bool = true;
}

/// The configuration of a lab, which a test may change before the server starts.
#[derive(Debug)]
pub struct Plan {
    /// The server's settings.
    pub settings: Settings,
    /// The domain of the virtual hosts.
    pub domain: Option<&'static str>,
    /// The registry for requests that name none.
    pub default_registry: Option<&'static str>,
    /// Whether the registries have a catalog.
    pub catalog: bool,
    /// The time for which a checked tag needs no further check.
    pub tag_ttl: Duration,
    /// The wall clock of the caches.
    pub wall_clock: fn() -> SystemTime,
    /// Blobs up to this size are verified before their first byte is sent.
    pub verify_first_bytes_max: u64,
    /// Requests that may wait for one registry's upstream.
    pub waiting_count_max: usize,
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// The budget of bodies in memory.
    pub memory: Memory,
    /// The order that takes all registries offline.
    pub all_offline: OfflineSwitches,
    /// Who may pull.
    pub access: Option<Arc<AccessTable>>,
}

/// A running server and its upstreams.
#[derive(Debug)]
pub struct Lab<M> {
    /// The upstream of `docker.io`.
    pub hub: FakeRegistry,
    /// The upstream of `quay.io`.
    pub quay: FakeRegistry,
    /// The address of the public listener.
    pub address: SocketAddr,
    /// The address of the TLS listener, if there is one.
    pub tls: Option<SocketAddr>,
    /// Changes the served configuration.
    pub control: Control,
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// Stops the server.
    pub shutdown: CancellationToken,
    /// Ends with the server.
    pub served: JoinHandle<()>,
    /// The directory of the stores, if they are on disk.
    pub directory: TempStore,
    mode: PhantomData<M>,
}

impl<M: Mode> Lab<M> {
    /// Starts a lab with the default plan.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a lab with a changed plan.
    pub async fn start_with(change: impl FnOnce(&mut Plan)) -> Self {
        Self::start_and_attach(change, |_, _| ()).await.0
    }

    /// Starts a lab with a changed plan. `attach` gets the server, and the token that stops it, before it
    /// serves.
    pub async fn start_and_attach<T>(
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
            all_offline: OfflineSwitches::default(),
            access: None,
        };
        plan.settings.sendfile = M::SENDFILE;
        change(&mut plan);
        let directory = TempStore::new();
        let (hub, quay) = (FakeRegistry::start().await, FakeRegistry::start().await);
        let make = |name, fake| Arc::new(backend(name, fake, &plan, store::<M>(name, &plan, &directory)));
        let registries = [make("docker.io", &hub), make("quay.io", &quay)];
        let routes = names.map(|name| RegistryNames { name, ..RegistryNames::default() });
        let routes = RoutingTable::new(plan.domain, plan.default_registry, &routes).unwrap();
        let metrics = Arc::clone(&plan.metrics);
        let routes = routes.map(|index| Arc::clone(&registries[*index]));
        let snapshot = Snapshot { routes, access: plan.access, settings: plan.settings };
        let mut server = Server::bind(Parts { snapshot, metrics: Arc::clone(&metrics) }).unwrap();
        let control = server.control();
        let address = server.local_addresses()[0];
        let tls = server.tls_addresses().first().copied();
        let shutdown = CancellationToken::new();
        let attached = attach(&mut server, &shutdown);
        let served = tokio::spawn(server.serve(shutdown.clone()));
        let mode = PhantomData;
        (Self { hub, quay, address, tls, control, metrics, shutdown, served, directory, mode }, attached)
    }

    /// Sends one request on its own connection and returns the answer.
    pub async fn ask(&self, method: &str, host: &str, target: &str, headers: &[(&str, &str)]) -> Response {
        let answer = within(target, request(method, self.address, host, target, headers));
        answer.await.unwrap_or_else(|broken| panic!("{method} {host} {target}: {broken:?}"))
    }

    /// Sends a GET on its own connection and returns the answer.
    pub async fn get(&self, host: &str, target: &str) -> Response {
        self.ask("GET", host, target, &[]).await
    }

    /// Opens a connection to the public listener.
    pub async fn connect(&self) -> Connection {
        Connection::open(self.address).await.unwrap()
    }

    /// Sends these bytes on their own connection, and returns all that the server sends until it closes it.
    pub async fn send_raw(&self, bytes: &[u8]) -> String {
        let mut connection = self.connect().await;
        connection.send(bytes).await.unwrap();
        let (received, end) = within("the server closes", connection.read_raw_to_end()).await;
        end.unwrap_or_else(|broken| panic!("{broken:?} after {}", String::from_utf8_lossy(&received)));
        String::from_utf8_lossy(&received).into_owned()
    }

    /// Cuts the file of a stored blob to this length.
    pub fn truncate_blob(&self, digest: &str, length: u64) {
        let hex = digest.rsplit(':').next().unwrap();
        let is_blob = |path: &PathBuf| path.ends_with(hex) && path.to_string_lossy().contains("/blobs/");
        let path = self.directory.files().into_iter().find(is_blob).unwrap();
        let file = OpenOptions::new().write(true).open(self.directory.path().join(path)).unwrap();
        file.set_len(length).unwrap();
    }

    /// The number of requests that both upstreams have received.
    pub fn upstream_requests(&self) -> usize {
        self.hub.requests().len() + self.quay.requests().len()
    }
}

/// A loopback address whose port the kernel chooses.
pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

type Store = (Arc<dyn BlobStore>, Arc<dyn RecordStore>);

fn store<M: Mode>(name: &str, plan: &Plan, directory: &TempStore) -> Store {
    if M::STORES_FILES {
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
    // It is told of this store, and removes nothing from it.
    let listed = Arc::new(MemoryStore::new());
    let inventory = Inventory::new(name, listed, Arc::clone(&metrics), Box::new(SystemTime::now));
    let offline = OfflineSwitch::unused(name, Arc::clone(&records), &plan.all_offline);
    Backend::new(cache::Parts {
        name: name.to_owned(),
        upstreams: Upstreams::shared(Arc::new(upstream)),
        blobs,
        records,
        inventory,
        bounds_of_all: Bounds::new(1_000_000, 1_000_000),
        memory: plan.memory.clone(),
        settings,
        metrics,
        tasks: TaskTracker::new(),
        cancel: CancellationToken::new(),
        offline,
    })
}
