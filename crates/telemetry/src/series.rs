//! What a metric can be: a single series, a family of them, or a number that is looked up when it is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::RwLock;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::label::{LabelNames, Labels, OfRegistry};

/// A metric as it is printed: for the whole process, or for one registry among others.
pub(crate) trait Series {
    const TYPE: MetricType;
    /// The names of its labels beside `registry`.
    const LABELS: &'static [&'static str] = &[];

    /// Whether there is anything to print yet.
    fn exists(&self) -> bool {
        true
    }

    /// Prints it as the process's own.
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result;

    /// Prints it with the label of a registry.
    fn encode_of(&self, registry: &OfRegistry, encoder: &mut MetricEncoder<'_>) -> fmt::Result;
}

/// Metrics of the library that stand for a single series.
macro_rules! single_series {
    ($($metric:ty),+) => {$(
        impl Series for $metric {
            const TYPE: MetricType = <$metric as TypedMetric>::TYPE;

            fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
                EncodeMetric::encode(self, encoder)
            }

            fn encode_of(&self, registry: &OfRegistry, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
                EncodeMetric::encode(self, encoder.encode_family(registry)?)
            }
        }
    )+};
}

single_series!(Counter, Gauge, Histogram);

/// Counters told apart by their labels. Those that are expected exist from the start.
#[derive(Debug)]
pub(crate) struct Counts<L>(RwLock<BTreeMap<L, Counter>>);

impl<L: Labels> Counts<L> {
    pub(crate) fn new() -> Self {
        let counters = L::expected().into_iter().map(|labels| (labels, Counter::default()));
        Self(RwLock::new(counters.collect()))
    }

    pub(crate) fn inc(&self, labels: L) {
        // The series that exist are all that is ever counted, but for the odd one.
        if let Some(counter) = self.0.read().get(&labels) {
            counter.inc();
            return;
        }
        self.0.write().entry(labels).or_default().inc();
    }
}

impl<L: Labels> Series for Counts<L> {
    const TYPE: MetricType = MetricType::Counter;
    const LABELS: &'static [&'static str] = L::NAMES;

    fn exists(&self) -> bool {
        !self.0.read().is_empty()
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, counter) in &*self.0.read() {
            EncodeMetric::encode(counter, encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn encode_of(&self, registry: &OfRegistry, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        for (labels, counter) in &*self.0.read() {
            EncodeMetric::encode(counter, encoder.encode_family(&(registry.clone(), *labels))?)?;
        }
        Ok(())
    }
}

/// Histograms told apart by their labels. Each exists from its first event on.
#[derive(Debug)]
pub(crate) struct Histograms<L> {
    /// Upper bounds.
    buckets: &'static [f64],
    by_labels: RwLock<BTreeMap<L, Histogram>>,
}

impl<L: Labels> Histograms<L> {
    pub(crate) fn new(buckets: &'static [f64]) -> Self {
        Self { buckets, by_labels: RwLock::default() }
    }

    pub(crate) fn observe(&self, labels: L, value: f64) {
        if let Some(histogram) = self.by_labels.read().get(&labels) {
            histogram.observe(value);
            return;
        }
        let new = || Histogram::new(self.buckets.iter().copied());
        self.by_labels.write().entry(labels).or_insert_with(new).observe(value);
    }
}

impl<L: Labels> Series for Histograms<L> {
    const TYPE: MetricType = MetricType::Histogram;
    const LABELS: &'static [&'static str] = L::NAMES;

    fn exists(&self) -> bool {
        !self.by_labels.read().is_empty()
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, histogram) in &*self.by_labels.read() {
            EncodeMetric::encode(histogram, encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn encode_of(&self, registry: &OfRegistry, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        for (labels, histogram) in &*self.by_labels.read() {
            EncodeMetric::encode(histogram, encoder.encode_family(&(registry.clone(), *labels))?)?;
        }
        Ok(())
    }
}

/// What stands in a [`LateGauge`] before it is set.
const UNSET: i64 = i64::MIN;

/// A gauge that is printed once its value is known: for some numbers 0 would be a lie.
#[derive(Debug)]
pub(crate) struct LateGauge(AtomicI64);

impl LateGauge {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(UNSET))
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(i64::try_from(value).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Takes it back: there is no such number any more.
    pub(crate) fn unset(&self) {
        self.0.store(UNSET, Ordering::Relaxed);
    }
}

impl Series for LateGauge {
    const TYPE: MetricType = MetricType::Gauge;

    fn exists(&self) -> bool {
        self.0.load(Ordering::Relaxed) != UNSET
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match self.0.load(Ordering::Relaxed) {
            UNSET => Ok(()),
            value => encoder.encode_gauge(&value),
        }
    }

    fn encode_of(&self, registry: &OfRegistry, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match self.0.load(Ordering::Relaxed) {
            UNSET => Ok(()),
            value => encoder.encode_family(registry)?.encode_gauge(&value),
        }
    }
}

/// A function that looks up a value kept elsewhere; none until it is set.
struct Source<T>(RwLock<Option<Box<dyn Fn() -> T + Send + Sync>>>);

impl<T> Source<T> {
    fn look_at(&self, source: impl Fn() -> T + Send + Sync + 'static) {
        *self.0.write() = Some(Box::new(source));
    }

    fn get(&self) -> Option<T> {
        self.0.read().as_ref().map(|source| source())
    }
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

/// A gauge whose number is kept elsewhere and looked up at each scrape. It exists as long
/// as its source has a number.
#[derive(Default)]
pub(crate) struct LookedUp(Source<Option<u64>>);

impl LookedUp {
    /// A gauge with this source.
    pub(crate) fn at(source: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        let looked_up = Self::default();
        looked_up.look_at(source);
        looked_up
    }

    /// Looks the number up there from now on.
    pub(crate) fn look_at(&self, source: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        self.0.look_at(source);
    }

    fn get(&self) -> Option<i64> {
        self.0.get()?.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for LookedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LookedUp").field(&self.get()).finish()
    }
}

impl Series for LookedUp {
    const TYPE: MetricType = MetricType::Gauge;

    fn exists(&self) -> bool {
        self.get().is_some()
    }

    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.get().map_or(Ok(()), |value| EncodeMetric::encode(&ConstGauge::new(value), encoder))
    }

    fn encode_of(&self, registry: &OfRegistry, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        self.get().map_or(Ok(()), |value| encoder.encode_family(registry)?.encode_gauge(&value))
    }
}

/// A counter that is kept elsewhere; 0 until its source is set.
#[derive(Default)]
pub(crate) struct CountedElsewhere(Source<u64>);

impl CountedElsewhere {
    pub(crate) fn look_at(&self, source: impl Fn() -> u64 + Send + Sync + 'static) {
        self.0.look_at(source);
    }

    fn get(&self) -> u64 {
        self.0.get().unwrap_or(0)
    }
}

impl fmt::Debug for CountedElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CountedElsewhere").field(&self.get()).finish()
    }
}

impl Series for CountedElsewhere {
    const TYPE: MetricType = MetricType::Counter;

    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        EncodeMetric::encode(&ConstCounter::new(self.get()), encoder)
    }

    fn encode_of(&self, registry: &OfRegistry, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_family(registry)?.encode_counter::<NoLabelSet, _, u64>(&self.get(), None)
    }
}

/// Gauges by label that are kept elsewhere. They exist as long as their source has them.
pub(crate) struct LookedUpBy<L>(Source<Vec<(L, u64)>>);

impl<L: LabelNames + EncodeLabelSet + Copy> LookedUpBy<L> {
    pub(crate) fn look_at(&self, source: impl Fn() -> Vec<(L, u64)> + Send + Sync + 'static) {
        self.0.look_at(source);
    }

    fn get(&self) -> impl Iterator<Item = (L, i64)> + use<L> {
        let values = self.0.get().unwrap_or_default();
        values.into_iter().map(|(labels, value)| (labels, i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl<L> Default for LookedUpBy<L> {
    fn default() -> Self {
        Self(Source::default())
    }
}

impl<L> fmt::Debug for LookedUpBy<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookedUpBy").finish_non_exhaustive()
    }
}

impl<L: LabelNames + EncodeLabelSet + Copy> Series for LookedUpBy<L> {
    const TYPE: MetricType = MetricType::Gauge;
    const LABELS: &'static [&'static str] = L::NAMES;

    fn exists(&self) -> bool {
        self.get().next().is_some()
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.get().try_for_each(|(labels, value)| encoder.encode_family(&labels)?.encode_gauge(&value))
    }

    fn encode_of(&self, registry: &OfRegistry, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        self.get().try_for_each(|(labels, value)| {
            encoder.encode_family(&(registry.clone(), labels))?.encode_gauge(&value)
        })
    }
}
