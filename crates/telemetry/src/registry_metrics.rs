//! The numbers of one registry. A method is one event; what it costs is an atomic addition, and for those
//! with a second label a look-up in a small map.

use std::fmt;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::kind::{Kind, UpstreamKind};
use crate::labels::{
    ByCall, ByChange, ByEnd, ByKind, ByReason, ByRegistry, ByRequest, ByUpstreamRequest, RegistryName, Status,
};
use crate::zeros;

/// Upper bounds in seconds: from a warm manifest (under a millisecond) to a client's patience (30 s).
const FIRST_BYTE_SECONDS: [f64; 12] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 5.0, 15.0, 30.0];

fn first_byte_histogram() -> Histogram {
    Histogram::new(FIRST_BYTE_SECONDS)
}

/// Every family with a `registry` label, registered once; each registry takes its own series out of them.
#[derive(Clone, Debug)]
pub(crate) struct Families {
    requests: Family<ByRequest, Counter>,
    first_byte: Family<ByKind, Histogram, fn() -> Histogram>,
    served_bytes: Family<ByRegistry, Counter>,
    fetched_bytes: Family<ByRegistry, Counter>,
    upstream_requests: Family<ByUpstreamRequest, Counter>,
    fills_in_flight: Family<ByRegistry, Gauge>,
    fills: Family<ByEnd, Counter>,
    joined: Family<ByRegistry, Counter>,
    resumed: Family<ByRegistry, Counter>,
    parts: Family<ByRegistry, Counter>,
    bypassed: Family<ByReason, Counter>,
    stale: Family<ByReason, Counter>,
    revalidations: Family<ByChange, Counter>,
    verify_failures: Family<ByRegistry, Counter>,
    quarantined: Family<ByRegistry, Counter>,
    store_failures: Family<ByCall, Counter>,
    breaker: Family<ByRegistry, Gauge>,
    rate_limit: Family<ByRegistry, Gauge>,
    rate_limit_remaining: Family<ByRegistry, Gauge>,
    throttled: Family<ByRegistry, Counter>,
    left_alone: Family<ByReason, Counter>,
    second_tries: Family<ByRegistry, Counter>,
}

impl Families {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            requests: Family::default(),
            first_byte: Family::new_with_constructor(first_byte_histogram),
            served_bytes: Family::default(),
            fetched_bytes: Family::default(),
            upstream_requests: Family::default(),
            fills_in_flight: Family::default(),
            fills: Family::default(),
            joined: Family::default(),
            resumed: Family::default(),
            parts: Family::default(),
            bypassed: Family::default(),
            stale: Family::default(),
            revalidations: Family::default(),
            verify_failures: Family::default(),
            quarantined: Family::default(),
            store_failures: Family::default(),
            breaker: Family::default(),
            rate_limit: Family::default(),
            rate_limit_remaining: Family::default(),
            throttled: Family::default(),
            left_alone: Family::default(),
            second_tries: Family::default(),
        };
        families.register_traffic(registry);
        families.register_content(registry);
        families.register_upstream(registry);
        families
    }

    fn register_traffic(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests answered, by what was asked, how it was answered and the status sent",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "first_byte",
            "Time from the end of a request's head to the first byte of its answer",
            Unit::Seconds,
            self.first_byte.clone(),
        );
        registry.register_with_unit(
            "served",
            "Bytes of content sent to clients",
            Unit::Bytes,
            self.served_bytes.clone(),
        );
        registry.register_with_unit(
            "fetched",
            "Bytes of content received from the upstream",
            Unit::Bytes,
            self.fetched_bytes.clone(),
        );
    }

    fn register_content(&self, registry: &mut Registry) {
        registry.register(
            "fills_in_flight",
            "Transfers from the upstream into the store going on now",
            self.fills_in_flight.clone(),
        );
        registry.register(
            "fills",
            "Transfers from the upstream into the store that ended, by how",
            self.fills.clone(),
        );
        registry.register(
            "joined",
            "Requests that shared a transfer which another request had started",
            self.joined.clone(),
        );
        registry.register(
            "resumed",
            "Transfers continued in the middle after a cut or a restart",
            self.resumed.clone(),
        );
        registry.register(
            "parts",
            "Parts of large blobs that were fetched over a further connection, to be faster",
            self.parts.clone(),
        );
        registry.register(
            "bypassed",
            "Answers passed through from the upstream without being stored, by reason",
            self.bypassed.clone(),
        );
        registry.register(
            "stale",
            "Answers given from the store because the upstream could not be asked, by reason",
            self.stale.clone(),
        );
        registry.register(
            "revalidations",
            "Questions to the upstream whether a stored tag has moved, by whether it had",
            self.revalidations.clone(),
        );
        registry.register(
            "verify_failures",
            "Content that did not have the digest it was asked by and was thrown away",
            self.verify_failures.clone(),
        );
        registry.register(
            "quarantined",
            "Stored objects found damaged and set aside",
            self.quarantined.clone(),
        );
        registry.register(
            "store_failures",
            "Calls to the storage that failed, by call",
            self.store_failures.clone(),
        );
    }

    fn register_upstream(&self, registry: &mut Registry) {
        registry.register(
            "upstream_requests",
            "Requests sent to the upstream, by what was asked and the status that came back",
            self.upstream_requests.clone(),
        );
        registry.register(
            "upstream_breaker_state",
            "State of the circuit breaker: 0 closed, 1 half open, 2 open",
            self.breaker.clone(),
        );
        registry.register(
            "upstream_rate_limit",
            "Pulls that the upstream says it allows in its window",
            self.rate_limit.clone(),
        );
        registry.register(
            "upstream_rate_limit_remaining",
            "Pulls that the upstream says are left in its window",
            self.rate_limit_remaining.clone(),
        );
        registry.register(
            "upstream_throttled",
            "Answers with status 429 from the upstream",
            self.throttled.clone(),
        );
        registry.register(
            "upstream_left_alone",
            "Times that something upstream was left alone for a while, by what: a path, a host, the registry, or what throttles",
            self.left_alone.clone(),
        );
        registry.register(
            "upstream_second_tries",
            "Requests to the upstream that were sent again over a new connection because the first one stayed silent",
            self.second_tries.clone(),
        );
    }
}

/// The numbers of one registry, shared by all that serve, store or fetch for it.
#[derive(Clone)]
pub struct RegistryMetrics {
    name: RegistryName,
    families: Families,
    served_bytes: Counter,
    fetched_bytes: Counter,
    fills_in_flight: Gauge,
    joined: Counter,
    resumed: Counter,
    parts: Counter,
    verify_failures: Counter,
    quarantined: Counter,
    breaker: Gauge,
    throttled: Counter,
    second_tries: Counter,
}

impl fmt::Debug for RegistryMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryMetrics").field("name", &self.name).finish_non_exhaustive()
    }
}

impl RegistryMetrics {
    pub(crate) fn new(name: &str, families: &Families) -> Self {
        let name = RegistryName::new(name);
        let label = ByRegistry { registry: name.clone() };
        Self {
            families: families.clone(),
            served_bytes: families.served_bytes.get_or_create_owned(&label),
            fetched_bytes: families.fetched_bytes.get_or_create_owned(&label),
            fills_in_flight: families.fills_in_flight.get_or_create_owned(&label),
            joined: families.joined.get_or_create_owned(&label),
            resumed: families.resumed.get_or_create_owned(&label),
            parts: families.parts.get_or_create_owned(&label),
            verify_failures: families.verify_failures.get_or_create_owned(&label),
            quarantined: families.quarantined.get_or_create_owned(&label),
            breaker: families.breaker.get_or_create_owned(&label),
            throttled: families.throttled.get_or_create_owned(&label),
            second_tries: families.second_tries.get_or_create_owned(&label),
            name,
        }
        .starting_at_zero()
    }

    /// With every series at 0 that is to be expected.
    fn starting_at_zero(self) -> Self {
        for (kind, outcome, status) in zeros::requests() {
            let status = Status::new(Some(status));
            let label = ByRequest { registry: self.name.clone(), kind, outcome, status };
            drop(self.families.requests.get_or_create(&label));
        }
        for (kind, status) in zeros::upstream_requests() {
            let label = ByUpstreamRequest { registry: self.name.clone(), kind, status: Status::new(status) };
            drop(self.families.upstream_requests.get_or_create(&label));
        }
        for end in zeros::FILL_ENDS {
            drop(self.families.fills.get_or_create(&ByEnd { registry: self.name.clone(), end }));
        }
        for changed in ["yes", "no"] {
            drop(
                self.families.revalidations.get_or_create(&ByChange { registry: self.name.clone(), changed }),
            );
        }
        for call in zeros::STORE_CALLS {
            drop(self.families.store_failures.get_or_create(&ByCall { registry: self.name.clone(), call }));
        }
        let by_reason: [(&Family<ByReason, Counter>, &[&'static str]); 3] = [
            (&self.families.bypassed, &zeros::BYPASSES),
            (&self.families.stale, &zeros::STALE_REASONS),
            (&self.families.left_alone, &zeros::LEFT_ALONE),
        ];
        for (family, reasons) in by_reason {
            for reason in reasons {
                drop(family.get_or_create(&self.by_reason(reason)));
            }
        }
        self
    }

    /// A request was answered. `outcome` is how (`hit`, `miss`, ..., or a refusal's word), `status` what was sent.
    pub fn request(&self, kind: Kind, outcome: &'static str, status: u16) {
        let status = Status::new(Some(status));
        let label = ByRequest { registry: self.name.clone(), kind, outcome, status };
        self.families.requests.get_or_create(&label).inc();
    }

    /// `seconds` passed between the end of a request's head and the first byte of the answer.
    pub fn first_byte(&self, kind: Kind, seconds: f64) {
        let label = ByKind { registry: self.name.clone(), kind };
        self.families.first_byte.get_or_create(&label).observe(seconds);
    }

    /// `count` bytes of content went to a client.
    pub fn served_bytes(&self, count: u64) {
        self.served_bytes.inc_by(count);
    }

    /// `count` bytes of content came from the upstream.
    pub fn fetched_bytes(&self, count: u64) {
        self.fetched_bytes.inc_by(count);
    }

    /// A request to the upstream ended with this status, or without any answer.
    pub fn upstream_request(&self, kind: UpstreamKind, status: Option<u16>) {
        let label = ByUpstreamRequest { registry: self.name.clone(), kind, status: Status::new(status) };
        self.families.upstream_requests.get_or_create(&label).inc();
    }

    /// A transfer into the store began. Each call is paired with one of [`fill_ended`](Self::fill_ended).
    pub fn fill_started(&self) {
        self.fills_in_flight.inc();
    }

    /// A transfer into the store ended: `stored`, `failed`, `parked`, and the like.
    pub fn fill_ended(&self, how: &'static str) {
        self.fills_in_flight.dec();
        self.families.fills.get_or_create(&ByEnd { registry: self.name.clone(), end: how }).inc();
    }

    /// A request found a transfer already under way and shares it.
    pub fn joined(&self) {
        self.joined.inc();
    }

    /// A transfer went on in the middle instead of beginning again.
    pub fn resumed(&self) {
        self.resumed.inc();
    }

    /// A part of a blob is asked for over a further connection.
    pub fn part_started(&self) {
        self.parts.inc();
    }

    /// An answer was passed through unstored.
    pub fn bypassed(&self, reason: &'static str) {
        self.families.bypassed.get_or_create(&self.by_reason(reason)).inc();
    }

    /// An answer came from the store because the upstream could not be asked.
    pub fn stale(&self, reason: &'static str) {
        self.families.stale.get_or_create(&self.by_reason(reason)).inc();
    }

    /// The upstream said whether a stored tag has moved.
    pub fn revalidated(&self, changed: bool) {
        let changed = if changed { "yes" } else { "no" };
        self.families.revalidations.get_or_create(&ByChange { registry: self.name.clone(), changed }).inc();
    }

    /// Content did not have the digest it was asked by.
    pub fn verify_failed(&self) {
        self.verify_failures.inc();
    }

    /// A stored object was found damaged and set aside.
    pub fn quarantined(&self) {
        self.quarantined.inc();
    }

    /// A call to the storage failed; `call` is its name, such as `fsync`.
    pub fn store_failed(&self, call: &'static str) {
        self.families.store_failures.get_or_create(&ByCall { registry: self.name.clone(), call }).inc();
    }

    /// The breaker's state: 0 closed, 1 half open, 2 open.
    pub fn breaker(&self, state: u8) {
        self.breaker.set(i64::from(state));
    }

    /// The upstream told its pull limit and what is left of it. The gauges appear once it does.
    pub fn rate_limit(&self, limit: u64, remaining: u64) {
        let label = ByRegistry { registry: self.name.clone() };
        self.families.rate_limit.get_or_create(&label).set(gauge_value(limit));
        self.families.rate_limit_remaining.get_or_create(&label).set(gauge_value(remaining));
    }

    /// The upstream answered 429.
    pub fn throttled(&self) {
        self.throttled.inc();
    }

    /// Something is left alone from now on: `path`, `host`, `registry`, or `throttled`.
    pub fn left_alone(&self, what: &'static str) {
        self.families.left_alone.get_or_create(&self.by_reason(what)).inc();
    }

    /// A request is sent again beside the first, which got no answer so far.
    pub fn second_try(&self) {
        self.second_tries.inc();
    }

    fn by_reason(&self, reason: &'static str) -> ByReason {
        ByReason { registry: self.name.clone(), reason }
    }
}

fn gauge_value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
