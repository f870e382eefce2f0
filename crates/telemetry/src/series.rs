//! The kinds of metrics: a single series, a family of series, and values that a scrape reads from a source.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::RwLock;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::label::{LabelNames, Labels, RegistryLabel};

/// A metric that can be printed, for the process or for a registry.
pub(crate) trait Series {
    const TYPE: MetricType;
    /// The labels besides `registry`.
    const LABELS: &'static [&'static str] = &[];

    /// Whether there is anything to print yet.
    fn exists(&self) -> bool {
        true
    }

    /// Prints a metric of the process.
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result;

    /// Prints a metric with the label of its registry.
    fn encode_with(&self, registry: &RegistryLabel, encoder: &mut MetricEncoder<'_>) -> fmt::Result;
}

/// Implements [`Series`] for the library's single-series metrics.
macro_rules! single_series {
    ($($metric:ty),+) => {$(
        impl Series for $metric {
            const TYPE: MetricType = <$metric as TypedMetric>::TYPE;

            fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
                EncodeMetric::encode(self, encoder)
            }

            fn encode_with(&self, registry: &RegistryLabel, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
                EncodeMetric::encode(self, encoder.encode_family(registry)?)
            }
        }
    )+};
}

single_series!(Counter, Gauge, Histogram);

/// A family of counters. The expected ones exist from the start.
#[derive(Debug)]
pub(crate) struct Counters<L>(RwLock<BTreeMap<L, Counter>>);

impl<L: Labels> Counters<L> {
    pub(crate) fn new() -> Self {
        let counters = L::expected().into_iter().map(|labels| (labels, Counter::default()));
        Self(RwLock::new(counters.collect()))
    }

    /// The sum of the counters whose labels are wanted.
    pub(crate) fn sum(&self, is_wanted: impl Fn(&L) -> bool) -> u64 {
        self.0.read().iter().filter(|(labels, _)| is_wanted(labels)).map(|(_, counter)| counter.get()).sum()
    }

    pub(crate) fn inc(&self, labels: L) {
        self.inc_by(labels, 1);
    }

    pub(crate) fn inc_by(&self, labels: L, count: u64) {
        // Almost always the series exists, so that a read lock is enough.
        if let Some(counter) = self.0.read().get(&labels) {
            counter.inc_by(count);
            return;
        }
        self.0.write().entry(labels).or_default().inc_by(count);
    }
}

impl<L: Labels> Series for Counters<L> {
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

    fn encode_with(&self, registry: &RegistryLabel, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        for (labels, counter) in &*self.0.read() {
            EncodeMetric::encode(counter, encoder.encode_family(&(registry.clone(), *labels))?)?;
        }
        Ok(())
    }
}

/// A family of histograms. Each exists from its first event on.
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

    fn encode_with(&self, registry: &RegistryLabel, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        for (labels, histogram) in &*self.by_labels.read() {
            EncodeMetric::encode(histogram, encoder.encode_family(&(registry.clone(), *labels))?)?;
        }
        Ok(())
    }
}

/// The content of an [`OptionalGauge`] without a value.
const UNSET: i64 = i64::MIN;

/// A gauge that is printed only while its value is known, because 0 would be false.
#[derive(Debug)]
pub(crate) struct OptionalGauge(AtomicI64);

impl OptionalGauge {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(UNSET))
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(i64::try_from(value).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Removes the value.
    pub(crate) fn unset(&self) {
        self.0.store(UNSET, Ordering::Relaxed);
    }
}

impl Series for OptionalGauge {
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

    fn encode_with(&self, registry: &RegistryLabel, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match self.0.load(Ordering::Relaxed) {
            UNSET => Ok(()),
            value => encoder.encode_family(registry)?.encode_gauge(&value),
        }
    }
}

/// A function that reads a value from another part of the process; `None` until it is set.
struct Source<T>(RwLock<Option<Box<dyn Fn() -> T + Send + Sync>>>);

impl<T> Source<T> {
    fn set_source(&self, source: impl Fn() -> T + Send + Sync + 'static) {
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

/// A gauge that each scrape reads from a source. It exists while the source returns a value.
#[derive(Default)]
pub(crate) struct SampledGauge(Source<Option<u64>>);

impl SampledGauge {
    /// Creates a gauge with this source.
    pub(crate) fn at(source: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        let gauge = Self::default();
        gauge.set_source(source);
        gauge
    }

    /// Sets the source.
    pub(crate) fn set_source(&self, source: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        self.0.set_source(source);
    }

    fn get(&self) -> Option<i64> {
        self.0.get()?.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for SampledGauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SampledGauge").field(&self.get()).finish()
    }
}

impl Series for SampledGauge {
    const TYPE: MetricType = MetricType::Gauge;

    fn exists(&self) -> bool {
        self.get().is_some()
    }

    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.get().map_or(Ok(()), |value| EncodeMetric::encode(&ConstGauge::new(value), encoder))
    }

    fn encode_with(&self, registry: &RegistryLabel, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        self.get().map_or(Ok(()), |value| encoder.encode_family(registry)?.encode_gauge(&value))
    }
}

/// A counter that each scrape reads from a source; 0 until the source is set.
#[derive(Default)]
pub(crate) struct SampledCounter(Source<u64>);

impl SampledCounter {
    pub(crate) fn set_source(&self, source: impl Fn() -> u64 + Send + Sync + 'static) {
        self.0.set_source(source);
    }

    fn get(&self) -> u64 {
        self.0.get().unwrap_or(0)
    }
}

impl fmt::Debug for SampledCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SampledCounter").field(&self.get()).finish()
    }
}

impl Series for SampledCounter {
    const TYPE: MetricType = MetricType::Counter;

    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        EncodeMetric::encode(&ConstCounter::new(self.get()), encoder)
    }

    fn encode_with(&self, registry: &RegistryLabel, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_family(registry)?.encode_counter::<NoLabelSet, _, u64>(&self.get(), None)
    }
}

/// A family of gauges that each scrape reads from a source. A gauge exists while the source returns it.
pub(crate) struct SampledGauges<L>(Source<Vec<(L, u64)>>);

impl<L: LabelNames + EncodeLabelSet + Copy> SampledGauges<L> {
    pub(crate) fn set_source(&self, source: impl Fn() -> Vec<(L, u64)> + Send + Sync + 'static) {
        self.0.set_source(source);
    }

    fn get(&self) -> impl Iterator<Item = (L, i64)> + use<L> {
        let values = self.0.get().unwrap_or_default();
        values.into_iter().map(|(labels, value)| (labels, i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl<L> Default for SampledGauges<L> {
    fn default() -> Self {
        Self(Source::default())
    }
}

impl<L> fmt::Debug for SampledGauges<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SampledGauges").finish_non_exhaustive()
    }
}

impl<L: LabelNames + EncodeLabelSet + Copy> Series for SampledGauges<L> {
    const TYPE: MetricType = MetricType::Gauge;
    const LABELS: &'static [&'static str] = L::NAMES;

    fn exists(&self) -> bool {
        self.get().next().is_some()
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.get().try_for_each(|(labels, value)| encoder.encode_family(&labels)?.encode_gauge(&value))
    }

    fn encode_with(&self, registry: &RegistryLabel, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        self.get().try_for_each(|(labels, value)| {
            encoder.encode_family(&(registry.clone(), labels))?.encode_gauge(&value)
        })
    }
}
