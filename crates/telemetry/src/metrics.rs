//! The process's metrics: one value built at the start and handed down.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::certificate::CertificateEnd;
use crate::labels::{Closed, Held, Status, Unrouted};
use crate::process::Process;
use crate::registry_metrics::{Families, RegistryMetrics};
use crate::zeros;

/// The `Content-Type` of [`Metrics::encode`]: OpenMetrics text, which Prometheus has read since 2.5.
pub const EXPOSITION_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds: from the timers' own grain (1 ms) to a stall that clients notice.
const LATENESS_SECONDS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];

type Count = Box<dyn Fn() -> u64 + Send + Sync>;
type Counts = Box<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>;

/// Every number of the process: those of each registry, and those that belong to none.
pub struct Metrics {
    exposed: Registry,
    registries: HashMap<String, Arc<RegistryMetrics>>,
    unrouted: Family<Unrouted, Counter>,
    connections: Gauge,
    connections_closed: Family<Closed, Counter>,
    draining: Gauge,
    tls_certificate_end: CertificateEnd,
    lateness: Histogram,
    panics: Counter,
    log_lines_dropped: Counter,
    log_lines_dropped_source: OnceLock<Count>,
    body_memory: Family<Held, Gauge>,
    body_memory_source: OnceLock<Counts>,
    process: Process,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("registries", &self.registries).finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics for exactly these registries: their names are the only values the `registry` label can have.
    pub fn new(registry_names: &[String]) -> Self {
        let mut exposed = Registry::with_prefix("wharf");
        exposed.register("build", "The running version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let families = Families::register(&mut exposed);
        let registries = registry_names
            .iter()
            .map(|name| (name.clone(), Arc::new(RegistryMetrics::new(name, &families))))
            .collect();
        let metrics = Self {
            registries,
            unrouted: Family::default(),
            connections: Gauge::default(),
            connections_closed: Family::default(),
            draining: Gauge::default(),
            tls_certificate_end: CertificateEnd::default(),
            lateness: Histogram::new(LATENESS_SECONDS),
            panics: Counter::default(),
            log_lines_dropped: Counter::default(),
            log_lines_dropped_source: OnceLock::new(),
            body_memory: Family::default(),
            body_memory_source: OnceLock::new(),
            process: Process::register(&mut exposed),
            exposed,
        };
        metrics.begin_at_zero();
        metrics.register_own()
    }

    fn begin_at_zero(&self) {
        for why in zeros::CLOSED {
            drop(self.connections_closed.get_or_create(&Closed { why }));
        }
        for (reason, status) in zeros::UNROUTED {
            let label = Unrouted { reason, status: Status::new(Some(status)) };
            drop(self.unrouted.get_or_create(&label));
        }
    }

    fn register_own(mut self) -> Self {
        let exposed = &mut self.exposed;
        exposed.register(
            "unrouted_requests",
            "Requests that no registry answered: an unknown host, a push, a malformed head, a health check",
            self.unrouted.clone(),
        );
        exposed.register("connections", "Client connections open now", self.connections.clone());
        exposed.register(
            "connections_closed",
            "Client connections that ended, by why",
            self.connections_closed.clone(),
        );
        exposed.register(
            "draining",
            "1 while the process finishes its last answers before it stops",
            self.draining.clone(),
        );
        exposed.register_collector(Box::new(self.tls_certificate_end.clone()));
        exposed.register_with_unit(
            "runtime_lateness",
            "Scheduling delay of the event loop that all connections and transfers share",
            Unit::Seconds,
            self.lateness.clone(),
        );
        exposed.register(
            "panics",
            "Panics, in whichever request or task: each one is a bug",
            self.panics.clone(),
        );
        exposed.register(
            "log_lines_dropped",
            "Log lines lost because whoever reads the log did not keep up",
            self.log_lines_dropped.clone(),
        );
        exposed.register_with_unit(
            "body_memory",
            "Bytes of bodies in memory now, by what they belong to",
            Unit::Bytes,
            self.body_memory.clone(),
        );
        self
    }

    /// The numbers of one registry.
    ///
    /// # Panics
    /// When `name` was not among those given to [`new`](Self::new).
    pub fn registry(&self, name: &str) -> Arc<RegistryMetrics> {
        Arc::clone(self.registries.get(name).expect("only the names given to Metrics::new are asked for"))
    }

    /// A request ended without any registry having answered it: `unknown_host`, `health`, and the like.
    pub fn unrouted(&self, reason: &'static str, status: u16) {
        let label = Unrouted { reason, status: Status::new(Some(status)) };
        self.unrouted.get_or_create(&label).inc();
    }

    /// A client connected. Each call is paired with one of [`connection_closed`](Self::connection_closed).
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// A client's connection ended: `done`, `idle`, `slow`, `reset`, and the like.
    pub fn connection_closed(&self, why: &'static str) {
        self.connections.dec();
        self.connections_closed.get_or_create(&Closed { why }).inc();
    }

    /// A client's connection was closed without a word.
    pub fn connection_refused(&self) {
        self.connections_closed.get_or_create(&Closed { why: "refused" }).inc();
    }

    /// The process began to drain.
    pub fn draining(&self) {
        self.draining.set(1);
    }

    /// The certificate that clients are shown ends then, in seconds since 1970. The gauge appears once it is known.
    pub fn tls_certificate_ends(&self, seconds: u64) {
        self.tls_certificate_end.set(seconds);
    }

    /// A timer beside the connections and transfers was so late.
    pub fn timer_late(&self, lateness: Duration) {
        self.lateness.observe(lateness.as_secs_f64());
    }

    /// A panic struck, in whichever thread or task.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// Sets the source of the number of lost log lines, which is read whenever the metrics are asked for. The first source
    /// given stays.
    pub fn count_dropped_log_lines(&self, source: impl Fn() -> u64 + Send + Sync + 'static) {
        // A second source means a second log, which no process has; the first one remains in use.
        let _ = self.log_lines_dropped_source.set(Box::new(source));
    }

    /// Sets the source of the bytes that bodies take of memory, by sort, which is read whenever the metrics are asked for. The first
    /// source given stays.
    pub fn count_body_memory(&self, source: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static) {
        // As above: a process has one budget.
        let _ = self.body_memory_source.set(Box::new(source));
    }

    /// The whole exposition in OpenMetrics text ([`EXPOSITION_TYPE`]).
    pub fn encode(&self) -> String {
        self.process.sample();
        if let Some(source) = self.log_lines_dropped_source.get() {
            let seen = self.log_lines_dropped.get();
            self.log_lines_dropped.inc_by(source().saturating_sub(seen));
        }
        for (sort, bytes) in self.body_memory_source.get().map(|source| source()).unwrap_or_default() {
            self.body_memory.get_or_create(&Held { sort }).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        text::encode(&mut text, &self.exposed).expect("writing to a string does not fail");
        text
    }
}

#[cfg(test)]
mod tests;
