//! The metrics of the process. One value is built at the start and passed to all parts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::declare::{Declaration, metrics};
use crate::expiries::Expiries;
use crate::label::label_set;
use crate::process;
use crate::registry_metrics::{LiveRegistries, RegistryMetrics};
use crate::series::{Counters, OptionalGauge, SampledCounter, SampledGauge, SampledGauges};
use crate::values::{AccessRefused, Answered, CloseReason, Ordered, Reloaded, Status};

/// The `Content-Type` of [`Metrics::encode`]: OpenMetrics text, which Prometheus has read since 2.5.
pub const EXPOSITION_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds: from the timers' resolution (1 ms) to a stall that clients notice.
const LATENESS_SECONDS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];

label_set! { struct ByUnrouted { reason: Answered, status: Status, } }
label_set! { struct ByAccess { reason: AccessRefused, } }
label_set! { struct ByClose { why: CloseReason, } }
label_set! { struct BySort { sort: &'static str, } }
label_set! { struct ByReload { result: Reloaded, } }
label_set! { struct ByOrder { result: Ordered, } }

metrics! {
    /// The metrics that belong to no registry.
    struct ProcessMetrics {
        "unrouted_requests",
        "Requests that no registry answered: an unknown host, a push, a malformed head, a health check"
            => unrouted: Counters<ByUnrouted> = Counters::new();
        "access_refused", "Requests that wharf's own rules of access refused, by reason"
            => access_refused: Counters<ByAccess> = Counters::new();
        "connections", "Client connections open now"
            => connections: Gauge = Gauge::default();
        "connections_closed", "Client connections that ended, by why"
            => connections_closed: Counters<ByClose> = Counters::new();
        "draining", "1 while the process finishes its last answers before it stops"
            => draining: Gauge = Gauge::default();
        "tls_certificate_expiry_timestamp",
        "Expiry of each TLS certificate, in seconds since 1970", in Seconds
            => tls_certificate_ends: Expiries = Expiries::default();
        "acme_orders", "Orders of certificates at the authority of [server.acme], by how they ended"
            => acme_orders: Counters<ByOrder> = Counters::new();
        "acme_last_success_timestamp", "Time at which the authority last issued a certificate, in seconds since 1970", in Seconds
            => acme_last_success: OptionalGauge = OptionalGauge::new();
        "acme_last_failure_timestamp", "Time at which an order last failed, in seconds since 1970", in Seconds
            => acme_last_failure: OptionalGauge = OptionalGauge::new();
        "acme_names_without_certificate", "Names that lack a valid certificate of the authority now"
            => acme_uncovered: OptionalGauge = OptionalGauge::new();
        "config_reloads", "Attempts to load a changed configuration, by how they ended"
            => reloads: Counters<ByReload> = Counters::new();
        "config_loaded_timestamp", "Time at which the current configuration was loaded, in seconds since 1970", in Seconds
            => config_loaded: OptionalGauge = OptionalGauge::new();
        "warm_images", "Images of [warm] that the last run found or made complete"
            => warm_images: OptionalGauge = OptionalGauge::new();
        "warm_failed_images", "Images of [warm] that the last run did not make complete"
            => warm_failed: OptionalGauge = OptionalGauge::new();
        "warm_last_run_timestamp", "Time at which the last run of [warm] ended, in seconds since 1970", in Seconds
            => warm_last_run: OptionalGauge = OptionalGauge::new();
        "runtime_lateness", "Scheduling delay of the event loop that all connections and transfers share", in Seconds
            => lateness: Histogram = Histogram::new(LATENESS_SECONDS);
        "panics", "Panics, in any request or task: each one is a bug"
            => panics: Counter = Counter::default();
        "log_lines_dropped", "Log lines lost because the reader of the log did not keep up"
            => log_lines_dropped: SampledCounter = SampledCounter::default();
        "body_memory", "Bytes of bodies in memory now, by sort", in Bytes
            => body_memory: SampledGauges<BySort> = SampledGauges::default();
        "process_resident_memory", "Memory that the kernel holds for this process", in Bytes
            => resident_memory: SampledGauge = SampledGauge::at(process::resident_bytes);
        "process_open_files", "File descriptors in use, sockets among them"
            => open_files: SampledGauge = SampledGauge::at(process::open_files);
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        Self::DECLARED.iter().try_for_each(|declared| declared.print(self, &mut encoder))
    }
}

/// All metrics: those of each registry, and those of the process.
pub struct Metrics {
    exposed: Registry,
    registries: Arc<LiveRegistries>,
    own: Arc<ProcessMetrics>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("registries", &self.registries)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl Metrics {
    /// Creates metrics for these registries. Others can be [added](Self::registry) and
    /// [removed](Self::remove_registry).
    pub fn new(registry_names: &[String]) -> Self {
        let mut exposed = Registry::with_prefix("wharf");
        exposed.register(BUILD, "The running version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let registries = Arc::new(LiveRegistries::default());
        for name in registry_names {
            registries.get_or_insert(name);
        }
        let own = Arc::new(ProcessMetrics::start());
        exposed.register_collector(Box::new(Arc::clone(&registries)));
        exposed.register_collector(Box::new(Arc::clone(&own)));
        Self { exposed, registries, own }
    }

    /// Returns the metrics of a registry. Those of a new one appear at 0.
    pub fn registry(&self, name: &str) -> Arc<RegistryMetrics> {
        self.registries.get_or_insert(name)
    }

    /// Removes the series of a registry that is no longer served.
    pub fn remove_registry(&self, name: &str) {
        self.registries.remove(name);
    }

    /// Counts a request that no registry answered.
    pub fn unrouted(&self, reason: Answered, status: u16) {
        self.own.unrouted.inc(ByUnrouted { reason, status: Status::new(Some(status)) });
    }

    /// Counts a request that wharf's own rules of access refused.
    pub fn access_refused(&self, reason: AccessRefused) {
        self.own.access_refused.inc(ByAccess { reason });
    }

    /// Counts a new connection. Each call pairs with one of [`connection_closed`](Self::connection_closed).
    pub fn connection_opened(&self) {
        self.own.connections.inc();
    }

    /// Counts the end of a connection.
    pub fn connection_closed(&self, why: CloseReason) {
        self.own.connections.dec();
        self.own.connections_closed.inc(ByClose { why });
    }

    /// A client's connection was closed without a word.
    pub fn connection_refused(&self) {
        self.own.connections_closed.inc(ByClose { why: CloseReason::Refused });
    }

    /// The process began to drain.
    pub fn draining(&self) {
        self.own.draining.set(1);
    }

    /// Sets the expiry of each TLS certificate in use, by its file, in seconds since 1970.
    pub fn tls_certificates_end(&self, ends: Vec<(String, u64)>) {
        self.own.tls_certificate_ends.set(ends);
    }

    /// Counts an order of a certificate that ended at `seconds` since 1970.
    pub fn acme_ordered(&self, result: Ordered, seconds: u64) {
        self.own.acme_orders.inc(ByOrder { result });
        match result {
            Ordered::Success => self.own.acme_last_success.set(seconds),
            Ordered::Failure => self.own.acme_last_failure.set(seconds),
        }
    }

    /// Sets the number of names that should have a certificate of the authority and lack a valid one.
    pub fn acme_uncovered(&self, name_count: usize) {
        self.own.acme_uncovered.set(name_count as u64);
    }

    /// Counts a reload.
    pub fn reloaded(&self, result: Reloaded) {
        self.own.reloads.inc(ByReload { result });
    }

    /// Sets the time at which the current configuration was loaded, in seconds since 1970.
    pub fn config_loaded(&self, seconds: u64) {
        self.own.config_loaded.set(seconds);
    }

    /// Sets the result of the last run of the images that are kept warm. `seconds`: when it ended, since
    /// 1970.
    pub fn warmed(&self, image_count: usize, failed_count: usize, seconds: u64) {
        self.own.warm_images.set(image_count as u64);
        self.own.warm_failed.set(failed_count as u64);
        self.own.warm_last_run.set(seconds);
    }

    /// Removes the result, because no images are kept warm.
    pub fn forget_warming(&self) {
        for gauge in [&self.own.warm_images, &self.own.warm_failed, &self.own.warm_last_run] {
            gauge.unset();
        }
    }

    /// Records how late a timer fired.
    pub fn timer_late(&self, lateness: Duration) {
        self.own.lateness.observe(lateness.as_secs_f64());
    }

    /// Counts a panic in any thread or task.
    pub fn panicked(&self) {
        self.own.panics.inc();
    }

    /// Sets the source of the number of lost log lines. Each scrape reads it.
    pub fn count_dropped_log_lines(&self, source: impl Fn() -> u64 + Send + Sync + 'static) {
        self.own.log_lines_dropped.set_source(source);
    }

    /// Sets the source of the bytes of bodies in memory, by sort. Each scrape reads it.
    pub fn count_body_memory(&self, source: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static) {
        self.own
            .body_memory
            .set_source(move || source().into_iter().map(|(sort, bytes)| (BySort { sort }, bytes)).collect());
    }

    /// Returns the whole exposition in OpenMetrics text ([`EXPOSITION_TYPE`]).
    pub fn encode(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.exposed).expect("writing to a string does not fail");
        text
    }
}

/// The name of the one metric that the library holds.
const BUILD: &str = "build";

/// Returns the declarations of all metrics.
pub fn declarations() -> Vec<Declaration> {
    let build =
        Declaration { name: format!("wharf_{BUILD}_info"), metric_type: "info", labels: vec!["version"] };
    let own = ProcessMetrics::DECLARED.iter().map(|declared| declared.declaration(false));
    let of_registries = RegistryMetrics::DECLARED.iter().map(|declared| declared.declaration(true));
    [build].into_iter().chain(own).chain(of_registries).collect()
}

#[cfg(test)]
mod tests;
