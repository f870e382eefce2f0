//! One declaration of a metric gives its name, its help, its unit, its labels and its type; the exposition and the
//! reference page's test read the declarations.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::label::OfRegistry;

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

/// A metric of `T`, which holds the numbers themselves.
pub(crate) struct Declared<T> {
    /// Without prefix, unit and suffix.
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) unit: Option<In>,
    /// Beside `registry`.
    pub(crate) labels: &'static [&'static str],
    pub(crate) metric_type: MetricType,
    pub(crate) exists: fn(&T) -> bool,
    pub(crate) encode: fn(&T, MetricEncoder<'_>) -> fmt::Result,
    pub(crate) encode_of: fn(&T, &OfRegistry, &mut MetricEncoder<'_>) -> fmt::Result,
}

impl<T> Declared<T> {
    /// Prints the number of the one `T` that the process has.
    pub(crate) fn print(&self, of: &T, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if !(self.exists)(of) {
            return Ok(());
        }
        let unit = self.unit.map(In::unit);
        let metric = encoder.encode_descriptor(self.name, self.help, unit.as_ref(), self.metric_type)?;
        (self.encode)(of, metric)
    }

    /// Prints the numbers of several registries beneath one description.
    pub(crate) fn print_all<'t>(
        &self,
        registries: impl Iterator<Item = (&'t OfRegistry, &'t T)>,
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
        existing.try_for_each(|(registry, of)| (self.encode_of)(of, registry, &mut metric))
    }
}

/// Declares a struct of metrics, one field each: `"name", "help" [, in unit] => field: type = start`.
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
            /// Every metric of the group, in the order in which they are printed.
            pub(crate) const DECLARED: &'static [$crate::declare::Declared<Self>] = &[$(
                $crate::declare::Declared {
                    name: $name,
                    // The library ends the help of its own metrics like this.
                    help: concat!($help, "."),
                    unit: metrics!(@unit $($unit)?),
                    labels: <$series as $crate::series::Series>::LABELS,
                    metric_type: <$series as $crate::series::Series>::TYPE,
                    exists: |of| $crate::series::Series::exists(&of.$field),
                    encode: |of, encoder| $crate::series::Series::encode(&of.$field, encoder),
                    encode_of: |of, registry, encoder| {
                        $crate::series::Series::encode_of(&of.$field, registry, encoder)
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

/// A metric as the reference page describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declaration {
    /// As it is asked for: with prefix, unit and suffix.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub metric_type: &'static str,
    /// In the order in which they are printed.
    pub labels: Vec<&'static str>,
}

impl<T> Declared<T> {
    /// The declaration, with `registry` in front of the labels where each registry has one.
    pub(crate) fn declaration(&self, of_registry: bool) -> Declaration {
        let unit = self.unit.map(|unit| format!("_{}", unit.unit().as_str())).unwrap_or_default();
        let (metric_type, suffix) = match self.metric_type {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Histogram => ("histogram", ""),
            MetricType::Gauge => ("gauge", ""),
            MetricType::Info => ("info", "_info"),
            MetricType::Unknown => ("unknown", ""),
        };
        let registry = of_registry.then_some("registry");
        Declaration {
            name: format!("wharf_{}{unit}{suffix}", self.name),
            metric_type,
            labels: registry.into_iter().chain(self.labels.iter().copied()).collect(),
        }
    }
}
