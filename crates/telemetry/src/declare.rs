//! Declarations of metrics: name, help, unit, labels and type. The exposition and the test of the reference
//! page read them.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::label::RegistryLabel;

/// The unit of a metric, which is part of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum In {
    Seconds,
    Bytes,
}

impl In {
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::Seconds => Unit::Seconds,
            Self::Bytes => Unit::Bytes,
        }
    }
}

/// A metric of the group `T`, which holds its numbers.
pub(crate) struct Declared<T> {
    /// The name without prefix, unit and suffix.
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) unit: Option<In>,
    /// The labels besides `registry`.
    pub(crate) labels: &'static [&'static str],
    pub(crate) metric_type: MetricType,
    pub(crate) exists: fn(&T) -> bool,
    pub(crate) encode: fn(&T, MetricEncoder<'_>) -> fmt::Result,
    pub(crate) encode_with: fn(&T, &RegistryLabel, &mut MetricEncoder<'_>) -> fmt::Result,
}

impl<T> Declared<T> {
    /// Prints a metric of the process.
    pub(crate) fn print(&self, of: &T, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if !(self.exists)(of) {
            return Ok(());
        }
        let unit = self.unit.map(In::unit);
        let metric = encoder.encode_descriptor(self.name, self.help, unit.as_ref(), self.metric_type)?;
        (self.encode)(of, metric)
    }

    /// Prints a metric of several registries under one description.
    pub(crate) fn print_registries<'t>(
        &self,
        registries: impl Iterator<Item = (&'t RegistryLabel, &'t T)>,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> fmt::Result
    where
        T: 't,
    {
        let mut existing = registries.filter(|(_, of)| (self.exists)(of)).peekable();
        if existing.peek().is_none() {
            return Ok(());
        }
        let unit = self.unit.map(In::unit);
        let mut metric = encoder.encode_descriptor(self.name, self.help, unit.as_ref(), self.metric_type)?;
        existing.try_for_each(|(registry, of)| (self.encode_with)(of, registry, &mut metric))
    }
}

/// Declares a struct with one field per metric: `"name", "help" [, in unit] => field: type = start`.
macro_rules! metrics {
    (
        $(#[$about:meta])*
        $visibility:vis struct $group:ident {
            $($name:literal, $help:literal $(, in $unit:ident)? => $field:ident: $series:ty = $start:expr;)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug)]
        $visibility struct $group { $($field: $series,)+ }

        impl $group {
            /// Every metric of the group, in the order of the exposition.
            pub(crate) const DECLARED: &'static [$crate::declare::Declared<Self>] = &[$(
                $crate::declare::Declared {
                    name: $name,
                    // As the library ends the help of its own metrics.
                    help: concat!($help, "."),
                    unit: metrics!(@unit $($unit)?),
                    labels: <$series as $crate::series::Series>::LABELS,
                    metric_type: <$series as $crate::series::Series>::TYPE,
                    exists: |of| $crate::series::Series::exists(&of.$field),
                    encode: |of, encoder| $crate::series::Series::encode(&of.$field, encoder),
                    encode_with: |of, registry, encoder| {
                        $crate::series::Series::encode_with(&of.$field, registry, encoder)
                    },
                },
            )+];

            fn start() -> Self {
                Self { $($field: $start,)+ }
            }
        }
    };
    (@unit) => { None };
    (@unit $unit:ident) => { Some($crate::declare::In::$unit) };
}

pub(crate) use metrics;

/// A metric as the reference page documents it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declaration {
    /// The full name, with prefix, unit and suffix.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub metric_type: &'static str,
    /// In the order of the exposition.
    pub labels: Vec<&'static str>,
}

impl<T> Declared<T> {
    /// The declaration, with `registry` as the first label of a metric per registry.
    pub(crate) fn declaration(&self, per_registry: bool) -> Declaration {
        let unit = self.unit.map(|unit| format!("_{}", unit.unit().as_str())).unwrap_or_default();
        let (metric_type, suffix) = match self.metric_type {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Histogram => ("histogram", ""),
            MetricType::Gauge => ("gauge", ""),
            MetricType::Info => ("info", "_info"),
            MetricType::Unknown => ("unknown", ""),
        };
        let registry = per_registry.then_some("registry");
        Declaration {
            name: format!("wharf_{}{unit}{suffix}", self.name),
            metric_type,
            labels: registry.into_iter().chain(self.labels.iter().copied()).collect(),
        }
    }
}
