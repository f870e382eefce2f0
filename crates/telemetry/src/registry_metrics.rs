//! The metrics of one registry. Each method records one event. It costs an atomic addition and, for a metric
//! with labels, a look-up in a small map.

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
use crate::label::{RegistryLabel, label_set};
use crate::series::{Counters, Histograms, OptionalGauge, SampledGauge, SampledGauges};
use crate::values::{
    AddressPosition, Answered, BypassReason, Changed, Evicted, FillEnd, Kind, LeftAlone, LoginAsked,
    PullFailure, Source, Status, StoreCall, Stored, UpstreamKind,
};

/// Upper bounds in seconds: from a warm manifest (under a millisecond) to the usual timeout of clients (30
/// s).
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
label_set! { struct ByAddress { address: AddressPosition, } }
label_set! { struct ByStored { kind: Stored, } }
label_set! { struct ByChange { changed: Changed, } }
label_set! { struct ByEvicted { reason: Evicted, } }
label_set! { struct ByLogin { result: LoginAsked, } }

metrics! {
    /// The metrics of one registry, shared by all parts that serve, store or fetch for it.
    pub struct RegistryMetrics {
        "requests", "Answered requests, by kind, outcome and status"
            => requests: Counters<ByRequest> = Counters::new();
        "first_byte", "Time from the end of a request's head to the first byte of its answer", in Seconds
            => first_byte: Histograms<ByKind> = Histograms::new(&FIRST_BYTE_SECONDS);
        "served", "Bytes of content sent to clients", in Bytes
            => served_bytes: Counter = Counter::default();
        "served_from_store", "Bytes of manifests and blobs sent to clients that were stored before the request", in Bytes
            => served_from_store: Counter = Counter::default();
        "served_from_upstream", "Bytes of manifests and blobs sent to clients that came from the upstream", in Bytes
            => served_from_upstream: Counter = Counter::default();
        "fetched", "Bytes of content received from the upstream", in Bytes
            => fetched_bytes: Counter = Counter::default();
        "fills_in_flight", "Transfers from the upstream into the store under way now"
            => fills_in_flight: Gauge = Gauge::default();
        "fills", "Ended transfers from the upstream into the store, by result"
            => fills: Counters<ByEnd> = Counters::new();
        "joined", "Requests that joined a transfer of another request"
            => joined: Counter = Counter::default();
        "resumed", "Transfers resumed in the middle after an interruption or a restart"
            => resumed: Counter = Counter::default();
        "parts", "Parts of large blobs fetched over further connections"
            => parts: Counter = Counter::default();
        "read_ahead", "Layers whose transfer began before a client asked for them"
            => read_ahead: Counter = Counter::default();
        "bypassed", "Answers passed through from the upstream without being stored, by reason"
            => bypassed: Counters<ByBypass> = Counters::new();
        "stale", "Answers from the store because the upstream could not be asked, by reason"
            => stale: Counters<ByFailure> = Counters::new();
        "revalidations", "Checks of a stored tag with the upstream, by whether the tag had moved"
            => revalidations: Counters<ByChange> = Counters::new();
        "verify_failures", "Content with another digest than the requested one"
            => verify_failures: Counter = Counter::default();
        "quarantined", "Stored objects found damaged and set aside"
            => quarantined: Counter = Counter::default();
        "store_writable", "Whether the store can be written: 1 yes, 0 no"
            => store_writable: OptionalGauge = OptionalGauge::new();
        "scrubbed", "Bytes of stored content that the scrub hashed", in Bytes
            => scrubbed_bytes: Counter = Counter::default();
        "scrub_damaged", "Stored objects that the scrub found damaged"
            => scrub_damaged: Counter = Counter::default();
        "scrub_healed", "Damaged objects that were fetched again after the scrub found them"
            => scrub_healed: Counter = Counter::default();
        "scrub_round", "Bytes that the current round of the scrub has hashed", in Bytes
            => scrub_round: SampledGauge = SampledGauge::default();
        "scrub_end_timestamp", "Time at which the last whole round of the scrub ended, in seconds since 1970", in Seconds
            => scrub_end: SampledGauge = SampledGauge::default();
        "store_failures", "Failed calls to the storage, by call"
            => store_failures: Counters<ByCall> = Counters::new();
        "stored", "Bytes in the store, by kind", in Bytes
            => stored_bytes: SampledGauges<ByStored> = SampledGauges::default();
        "stored_objects", "Files in the store, by kind"
            => stored_objects: SampledGauges<ByStored> = SampledGauges::default();
        "evicted", "Bytes removed from the store to make room or by request, by reason", in Bytes
            => evicted_bytes: Counters<ByEvicted> = Counters::new();
        "evicted_images", "Images removed from the store to make room or by request, by reason"
            => evicted_images: Counters<ByEvicted> = Counters::new();
        "images", "Images in the store, once wharf knows them all"
            => images: SampledGauge = SampledGauge::default();
        "oldest_use", "Time since the last use of the least recently used image", in Seconds
            => oldest_use: SampledGauge = SampledGauge::default();
        "cap", "Most bytes that the store may hold, if there is a limit", in Bytes
            => cap_bytes: SampledGauge = SampledGauge::default();
        "offline", "Whether the registry is offline, so that no request goes to its upstream: 1 or 0"
            => offline: SampledGauge = SampledGauge::default();
        "upstream_requests", "Requests to the upstream, by kind and status"
            => upstream_requests: Counters<ByUpstreamRequest> = Counters::new();
        "upstream_answer", "Time from a request to the upstream to the end of the head of its answer", in Seconds
            => upstream_answer: Histograms<ByUpstreamKind> = Histograms::new(&UPSTREAM_ANSWER_SECONDS);
        "upstream_breaker_state", "State of the circuit breaker: 0 closed, 1 half open, 2 open"
            => breaker: Gauge = Gauge::default();
        "upstream_address_up",
        "Whether an address of an upstream with several gets requests: 1, or 0 while it rests after failures; by position"
            => address_up: SampledGauges<ByAddress> = SampledGauges::default();
        "upstream_rate_limit", "Pulls that the upstream allows in its window"
            => rate_limit: OptionalGauge = OptionalGauge::new();
        "upstream_rate_limit_remaining", "Pulls that remain in the upstream's window"
            => rate_limit_remaining: OptionalGauge = OptionalGauge::new();
        "upstream_throttled", "Answers with status 429 from the upstream"
            => throttled: Counter = Counter::default();
        "logins_asked", "Questions to the sources of logins, by result"
            => logins_asked: Counters<ByLogin> = Counters::new();
        "login_sources_failing", "Sources of logins that gave none when they were last asked"
            => logins_failing: Gauge = Gauge::default();
        "upstream_left_alone",
        "Pauses in requests to a path, a host, the registry, or a host that throttles, by reason"
            => left_alone: Counters<ByLeftAlone> = Counters::new();
        "upstream_second_tries",
        "Requests to the upstream that were repeated over a new connection because the first stayed silent"
            => second_tries: Counter = Counter::default();
    }
}

impl RegistryMetrics {
    /// Metrics at 0.
    pub(crate) fn new() -> Self {
        Self::start()
    }

    /// Counts a request and its status.
    pub fn request(&self, kind: Kind, outcome: Answered, status: u16) {
        self.requests.inc(ByRequest { kind, outcome, status: Status::new(Some(status)) });
    }

    /// Records the seconds from the end of a request's head to the first byte of the answer.
    pub fn first_byte(&self, kind: Kind, seconds: f64) {
        self.first_byte.observe(ByKind { kind }, seconds);
    }

    /// Counts bytes of content sent to clients.
    pub fn served_bytes(&self, count: u64) {
        self.served_bytes.inc_by(count);
    }

    /// Counts the bytes of an answer with a manifest or a blob.
    pub fn pulled_bytes(&self, outcome: Answered, count: u64) {
        match outcome.source() {
            Some(Source::Store) => drop(self.served_from_store.inc_by(count)),
            Some(Source::Upstream) => drop(self.served_from_upstream.inc_by(count)),
            None => {}
        }
    }

    /// The pulls so far by source. An answer counts when it has ended.
    pub fn pulls(&self) -> Pulls {
        let requests = |source| {
            self.requests.sum(|labels| {
                matches!(labels.kind, Kind::Manifest | Kind::Blob) && labels.outcome.source() == Some(source)
            })
        };
        Pulls {
            store_requests: requests(Source::Store),
            upstream_requests: requests(Source::Upstream),
            store_bytes: self.served_from_store.get(),
            upstream_bytes: self.served_from_upstream.get(),
        }
    }

    /// The images and bytes that were removed so far for this reason.
    pub fn evictions(&self, reason: Evicted) -> (u64, u64) {
        let is_it = |labels: &ByEvicted| labels.reason == reason;
        (self.evicted_images.sum(is_it), self.evicted_bytes.sum(is_it))
    }

    /// Counts bytes of content received from the upstream.
    pub fn fetched_bytes(&self, count: u64) {
        self.fetched_bytes.inc_by(count);
    }

    /// Counts a request to the upstream and its status; `None` without an answer.
    pub fn upstream_request(&self, kind: UpstreamKind, status: Option<u16>) {
        self.upstream_requests.inc(ByUpstreamRequest { kind, status: Status::new(status) });
    }

    /// Records the time from a request to the upstream to the end of the head of its answer.
    pub fn upstream_answered(&self, kind: UpstreamKind, after: Duration) {
        self.upstream_answer.observe(ByUpstreamKind { kind }, after.as_secs_f64());
    }

    /// Counts the start of a fill. Each call pairs with one of [`fill_ended`](Self::fill_ended).
    pub fn fill_started(&self) {
        self.fills_in_flight.inc();
    }

    /// Counts the end of a fill.
    pub fn fill_ended(&self, end: FillEnd) {
        self.fills_in_flight.dec();
        self.fills.inc(ByEnd { end });
    }

    /// Counts a request that joined a running fill.
    pub fn joined(&self) {
        self.joined.inc();
    }

    /// Counts a transfer that continued in the middle instead of starting over.
    pub fn resumed(&self) {
        self.resumed.inc();
    }

    /// Counts a part of a blob that is fetched over a further connection.
    pub fn part_started(&self) {
        self.parts.inc();
    }

    /// Counts a layer that is fetched before a client asks for it.
    pub fn read_ahead(&self) {
        self.read_ahead.inc();
    }

    /// Counts an answer that was passed through without being stored.
    pub fn bypassed(&self, reason: BypassReason) {
        self.bypassed.inc(ByBypass { reason });
    }

    /// Counts a stale answer: the upstream could not be asked.
    pub fn stale(&self, reason: PullFailure) {
        self.stale.inc(ByFailure { reason });
    }

    /// Counts a check of a stored tag with the upstream.
    pub fn revalidated(&self, changed: bool) {
        let changed = if changed { Changed::Yes } else { Changed::No };
        self.revalidations.inc(ByChange { changed });
    }

    /// Counts content with a wrong digest.
    pub fn verify_failed(&self) {
        self.verify_failures.inc();
    }

    /// Counts a stored object that was found damaged and set aside.
    pub fn quarantined(&self) {
        self.quarantined.inc();
    }

    /// Sets whether the store can be written.
    pub fn store_writable(&self, is_writable: bool) {
        self.store_writable.set(is_writable.into());
    }

    /// Counts bytes that the scrub hashed.
    pub fn scrubbed_bytes(&self, count: u64) {
        self.scrubbed_bytes.inc_by(count);
    }

    /// Counts a stored object that the scrub found damaged.
    pub fn scrub_damaged(&self) {
        self.scrub_damaged.inc();
    }

    /// Counts a damaged object that was fetched again.
    pub fn scrub_healed(&self) {
        self.scrub_healed.inc();
    }

    /// Sets the sources of the bytes that the current round of the scrub has hashed, and of the time in
    /// seconds since 1970 at which the last whole round ended. A series exists while its source returns a
    /// value.
    pub fn look_up_scrub(
        &self,
        round_bytes: impl Fn() -> Option<u64> + Send + Sync + 'static,
        end_seconds: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) {
        self.scrub_round.set_source(round_bytes);
        self.scrub_end.set_source(end_seconds);
    }

    /// Counts a failed call to the storage.
    pub fn store_failed(&self, call: StoreCall) {
        self.store_failures.inc(ByCall { call });
    }

    /// Sets the source of the store's usage: kind, bytes and number of objects. Each scrape reads it. The
    /// series exist while the source returns values.
    pub fn look_up_stored(
        &self,
        source: impl Fn() -> Option<[(Stored, u64, u64); 5]> + Clone + Send + Sync + 'static,
    ) {
        let (bytes, objects) = (source.clone(), source);
        let by = |kind| ByStored { kind };
        self.stored_bytes.set_source(move || {
            bytes().into_iter().flatten().map(|(kind, bytes, _)| (by(kind), bytes)).collect()
        });
        self.stored_objects.set_source(move || {
            objects().into_iter().flatten().map(|(kind, _, count)| (by(kind), count)).collect()
        });
    }

    /// Counts removed images, and the bytes that this freed.
    pub fn evicted(&self, reason: Evicted, images: u64, bytes: u64) {
        self.evicted_images.inc_by(ByEvicted { reason }, images);
        self.evicted_bytes.inc_by(ByEvicted { reason }, bytes);
    }

    /// Sets the sources of the number of stored images, of the age of the least recent use in seconds, and
    /// of the store's limit in bytes. Each scrape reads them. A series exists while its source returns a
    /// value.
    pub fn look_up_inventory(
        &self,
        images: impl Fn() -> Option<u64> + Send + Sync + 'static,
        oldest_use_seconds: impl Fn() -> Option<u64> + Send + Sync + 'static,
        cap_bytes: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) {
        self.images.set_source(images);
        self.oldest_use.set_source(oldest_use_seconds);
        self.cap_bytes.set_source(cap_bytes);
    }

    /// Sets the source of whether the registry is offline. Each scrape reads it.
    pub fn look_up_offline(&self, source: impl Fn() -> Option<bool> + Send + Sync + 'static) {
        self.offline.set_source(move || source().map(u64::from));
    }

    /// Sets the source of the health of the upstream's addresses, in order. Each scrape reads it. It is empty
    /// for an upstream with one address.
    pub fn look_up_addresses(&self, is_up: impl Fn() -> Vec<bool> + Send + Sync + 'static) {
        self.address_up.set_source(move || {
            let by =
                |(address, is_up): (&AddressPosition, bool)| (ByAddress { address: *address }, is_up.into());
            AddressPosition::ALL.iter().zip(is_up()).map(by).collect()
        });
    }

    /// Sets the breaker's state: 0 closed, 1 half open, 2 open.
    pub fn breaker(&self, state: u8) {
        self.breaker.set(i64::from(state));
    }

    /// Sets the upstream's pull limit and the remaining pulls. The gauges appear with the first call.
    pub fn rate_limit(&self, limit: u64, remaining: u64) {
        self.rate_limit.set(limit);
        self.rate_limit_remaining.set(remaining);
    }

    /// Counts a 429 from the upstream.
    pub fn throttled(&self) {
        self.throttled.inc();
    }

    /// Counts a question to a source of logins.
    pub fn login_asked(&self, succeeded: bool) {
        let result = if succeeded { LoginAsked::Given } else { LoginAsked::Failed };
        self.logins_asked.inc(ByLogin { result });
    }

    /// A source of logins began to fail (`true`), or stopped.
    pub fn login_failing(&self, is_failing: bool) {
        if is_failing {
            self.logins_failing.inc()
        } else {
            self.logins_failing.dec()
        };
    }

    /// Counts the start of a pause.
    pub fn left_alone(&self, what: LeftAlone) {
        self.left_alone.inc(ByLeftAlone { reason: what });
    }

    /// Counts a hedge: a second request, because the first has no answer yet.
    pub fn second_try(&self) {
        self.second_tries.inc();
    }
}

/// Answers with manifests and blobs by the source of their content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulls {
    /// Answers from the store.
    pub store_requests: u64,
    /// Answers from the upstream.
    pub upstream_requests: u64,
    /// Bytes sent from the store.
    pub store_bytes: u64,
    /// Bytes sent that came from the upstream.
    pub upstream_bytes: u64,
}

/// The served registries. They change with the configuration.
#[derive(Debug, Default)]
pub(crate) struct LiveRegistries(RwLock<BTreeMap<RegistryLabel, Arc<RegistryMetrics>>>);

impl LiveRegistries {
    /// The metrics of this registry, created at 0 if they do not exist.
    pub(crate) fn get_or_insert(&self, name: &str) -> Arc<RegistryMetrics> {
        let name = RegistryLabel::new(name);
        let mut live = self.0.write();
        Arc::clone(live.entry(name).or_insert_with(|| Arc::new(RegistryMetrics::new())))
    }

    pub(crate) fn remove(&self, name: &str) {
        self.0.write().remove(&RegistryLabel::new(name));
    }
}

impl Collector for LiveRegistries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let live = self.0.read();
        let registries = || live.iter().map(|(name, metrics)| (name, &**metrics));
        RegistryMetrics::DECLARED
            .iter()
            .try_for_each(|declared| declared.print_registries(registries(), &mut encoder))
    }
}
