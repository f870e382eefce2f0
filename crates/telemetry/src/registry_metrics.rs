//! The numbers of one registry. A method is one event; it costs an atomic addition, and for a family of series a look-up
//! in a small map.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::declare::metrics;
use crate::label::{OfRegistry, label_set};
use crate::series::{Counts, Histograms, LateGauge, LookedUpBy};
use crate::values::{
    Answered, BypassReason, Changed, FillEnd, Kind, LeftAlone, PullFailure, Status, StoreCall, Stored,
    UpstreamKind,
};

/// Upper bounds in seconds: from a warm manifest (under a millisecond) to a client's patience (30 s).
const FIRST_BYTE_SECONDS: [f64; 12] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 5.0, 15.0, 30.0];

/// Upper bounds in seconds: from a registry in the same rack to the longest wait for an answer's head.
const UPSTREAM_ANSWER_SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

label_set! { struct ByRequest { kind: Kind, outcome: Answered, status: Status, } }
label_set! { struct ByKind { kind: Kind, } }
label_set! { struct ByUpstreamRequest { kind: UpstreamKind, status: Status, } }
label_set! { struct ByUpstreamKind { kind: UpstreamKind, } }
label_set! { struct ByEnd { end: FillEnd, } }
label_set! { struct ByFailure { reason: PullFailure, } }
label_set! { struct ByBypass { reason: BypassReason, } }
label_set! { struct ByLeftAlone { reason: LeftAlone, } }
label_set! { struct ByCall { call: StoreCall, } }
label_set! { struct ByStored { kind: Stored, } }
label_set! { struct ByChange { changed: Changed, } }

metrics! {
    /// The numbers of one registry, shared by all that serve, store or fetch for it.
    pub struct RegistryMetrics {
        "requests", "Requests answered, by what was asked, how it was answered and the status sent"
            => requests: Counts<ByRequest> = Counts::new();
        "first_byte", "Time from the end of a request's head to the first byte of its answer", in Seconds
            => first_byte: Histograms<ByKind> = Histograms::new(&FIRST_BYTE_SECONDS);
        "served", "Bytes of content sent to clients", in Bytes
            => served_bytes: Counter = Counter::default();
        "fetched", "Bytes of content received from the upstream", in Bytes
            => fetched_bytes: Counter = Counter::default();
        "fills_in_flight", "Transfers from the upstream into the store going on now"
            => fills_in_flight: Gauge = Gauge::default();
        "fills", "Transfers from the upstream into the store that ended, by how"
            => fills: Counts<ByEnd> = Counts::new();
        "joined", "Requests that shared a transfer which another request had started"
            => joined: Counter = Counter::default();
        "resumed", "Transfers continued in the middle after a cut or a restart"
            => resumed: Counter = Counter::default();
        "parts", "Parts of large blobs that were fetched over a further connection, to be faster"
            => parts: Counter = Counter::default();
        "bypassed", "Answers passed through from the upstream without being stored, by reason"
            => bypassed: Counts<ByBypass> = Counts::new();
        "stale", "Answers given from the store because the upstream could not be asked, by reason"
            => stale: Counts<ByFailure> = Counts::new();
        "revalidations", "Checks of a stored tag with the upstream, by whether it had moved"
            => revalidations: Counts<ByChange> = Counts::new();
        "verify_failures", "Content that did not have the digest it was asked by"
            => verify_failures: Counter = Counter::default();
        "quarantined", "Stored objects found damaged and set aside"
            => quarantined: Counter = Counter::default();
        "store_failures", "Calls to the storage that failed, by call"
            => store_failures: Counts<ByCall> = Counts::new();
        "stored", "Bytes in the store, by kind", in Bytes
            => stored_bytes: LookedUpBy<ByStored> = LookedUpBy::default();
        "stored_objects", "Files in the store, by kind"
            => stored_objects: LookedUpBy<ByStored> = LookedUpBy::default();
        "upstream_requests", "Requests sent to the upstream, by what was asked and the status that came back"
            => upstream_requests: Counts<ByUpstreamRequest> = Counts::new();
        "upstream_answer", "Time from a request to the upstream to the end of the head of its answer", in Seconds
            => upstream_answer: Histograms<ByUpstreamKind> = Histograms::new(&UPSTREAM_ANSWER_SECONDS);
        "upstream_breaker_state", "State of the circuit breaker: 0 closed, 1 half open, 2 open"
            => breaker: Gauge = Gauge::default();
        "upstream_rate_limit", "Pulls that the upstream says it allows in its window"
            => rate_limit: LateGauge = LateGauge::new();
        "upstream_rate_limit_remaining", "Pulls that the upstream says are left in its window"
            => rate_limit_remaining: LateGauge = LateGauge::new();
        "upstream_throttled", "Answers with status 429 from the upstream"
            => throttled: Counter = Counter::default();
        "upstream_left_alone",
        "Times that something upstream was left alone for a while: a path, a host, the registry, or one that throttles"
            => left_alone: Counts<ByLeftAlone> = Counts::new();
        "upstream_second_tries",
        "Requests to the upstream that were sent again over a new connection because the first one stayed silent"
            => second_tries: Counter = Counter::default();
    }
}

impl RegistryMetrics {
    /// Numbers of a registry that has done nothing yet.
    pub(crate) fn new() -> Self {
        Self::start()
    }

    /// A request was answered with this status.
    pub fn request(&self, kind: Kind, outcome: Answered, status: u16) {
        self.requests.inc(ByRequest { kind, outcome, status: Status::new(Some(status)) });
    }

    /// `seconds` passed between the end of a request's head and the first byte of the answer.
    pub fn first_byte(&self, kind: Kind, seconds: f64) {
        self.first_byte.observe(ByKind { kind }, seconds);
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
        self.upstream_requests.inc(ByUpstreamRequest { kind, status: Status::new(status) });
    }

    /// The head of an answer came from the upstream, so long after the request was sent.
    pub fn upstream_answered(&self, kind: UpstreamKind, after: Duration) {
        self.upstream_answer.observe(ByUpstreamKind { kind }, after.as_secs_f64());
    }

    /// A transfer into the store began. Each call is paired with one of [`fill_ended`](Self::fill_ended).
    pub fn fill_started(&self) {
        self.fills_in_flight.inc();
    }

    /// A transfer into the store ended.
    pub fn fill_ended(&self, end: FillEnd) {
        self.fills_in_flight.dec();
        self.fills.inc(ByEnd { end });
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
    pub fn bypassed(&self, reason: BypassReason) {
        self.bypassed.inc(ByBypass { reason });
    }

    /// An answer came from the store because the upstream could not be asked.
    pub fn stale(&self, reason: PullFailure) {
        self.stale.inc(ByFailure { reason });
    }

    /// The upstream said whether a stored tag has moved.
    pub fn revalidated(&self, changed: bool) {
        let changed = if changed { Changed::Yes } else { Changed::No };
        self.revalidations.inc(ByChange { changed });
    }

    /// Content did not have the digest it was asked by.
    pub fn verify_failed(&self) {
        self.verify_failures.inc();
    }

    /// A stored object was found damaged and set aside.
    pub fn quarantined(&self) {
        self.quarantined.inc();
    }

    /// A call to the storage failed.
    pub fn store_failed(&self, call: StoreCall) {
        self.store_failures.inc(ByCall { call });
    }

    /// Sets where it is looked up what the store holds, when the metrics are asked for: the kind, the bytes and the number
    /// of objects. The series exist as long as the source knows.
    pub fn look_up_stored(
        &self,
        source: impl Fn() -> Option<[(Stored, u64, u64); 4]> + Clone + Send + Sync + 'static,
    ) {
        let (bytes, objects) = (source.clone(), source);
        let by = |kind| ByStored { kind };
        self.stored_bytes.look_at(move || {
            bytes().into_iter().flatten().map(|(kind, bytes, _)| (by(kind), bytes)).collect()
        });
        self.stored_objects.look_at(move || {
            objects().into_iter().flatten().map(|(kind, _, count)| (by(kind), count)).collect()
        });
    }

    /// The breaker's state: 0 closed, 1 half open, 2 open.
    pub fn breaker(&self, state: u8) {
        self.breaker.set(i64::from(state));
    }

    /// The upstream told its pull limit and what is left of it. The gauges appear once it does.
    pub fn rate_limit(&self, limit: u64, remaining: u64) {
        self.rate_limit.set(limit);
        self.rate_limit_remaining.set(remaining);
    }

    /// The upstream answered 429.
    pub fn throttled(&self) {
        self.throttled.inc();
    }

    /// Something is left alone from now on.
    pub fn left_alone(&self, what: LeftAlone) {
        self.left_alone.inc(ByLeftAlone { reason: what });
    }

    /// A request is sent again beside the first, which got no answer so far.
    pub fn second_try(&self) {
        self.second_tries.inc();
    }
}

/// The registries whose numbers are printed. They come and go with the configuration.
#[derive(Debug, Default)]
pub(crate) struct LiveRegistries(RwLock<BTreeMap<OfRegistry, Arc<RegistryMetrics>>>);

impl LiveRegistries {
    /// The numbers of this registry, which begin at 0 if they are new.
    pub(crate) fn get_or_begin(&self, name: &str) -> Arc<RegistryMetrics> {
        let name = OfRegistry::new(name);
        let mut live = self.0.write();
        Arc::clone(live.entry(name).or_insert_with(|| Arc::new(RegistryMetrics::new())))
    }

    pub(crate) fn remove(&self, name: &str) {
        self.0.write().remove(&OfRegistry::new(name));
    }
}

impl Collector for LiveRegistries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let live = self.0.read();
        let registries = || live.iter().map(|(name, metrics)| (name, &**metrics));
        RegistryMetrics::DECLARED
            .iter()
            .try_for_each(|declared| declared.print_all(registries(), &mut encoder))
    }
}
