//! How label values and label sets are declared: an enum gives the values, a struct the names.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};

/// Declares an enum whose variants are the values of a label, each with its text.
macro_rules! label {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident { $($(#[$about_value:meta])* $value:ident = $text:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $name { $($(#[$about_value])* $value,)+ }

        impl $name {
            /// Every value, in the order of its declaration.
            $visibility const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The text of the label.
            $visibility fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }
        }

        impl ::prometheus_client::encoding::EncodeLabelValue for $name {
            fn encode(
                &self,
                encoder: &mut ::prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> ::std::fmt::Result {
                ::std::fmt::Write::write_str(encoder, self.as_str())
            }
        }
    };
}

/// Declares a struct whose fields are the labels of a metric beside `registry`, in the order in which they are printed.
macro_rules! label_set {
    ($(#[$about:meta])* struct $name:ident { $($label:ident: $values:ty,)+ }) => {
        $(#[$about])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ::prometheus_client::encoding::EncodeLabelSet,
        )]
        pub(crate) struct $name { $(pub(crate) $label: $values,)+ }

        impl $crate::label::LabelNames for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($label),)+];
        }
    };
}

pub(crate) use {label, label_set};

/// The names of the labels in a set.
pub(crate) trait LabelNames {
    /// In the order in which they are printed.
    const NAMES: &'static [&'static str];
}

/// A set of labels that a family of series is told apart by.
pub(crate) trait Labels: LabelNames + EncodeLabelSet + Copy + Ord {
    /// The combinations that exist from the start. A counter that first shows at 1 has no increase, and an alert on its
    /// increase misses the first event, which is often the only one. A combination that does not occur is left out; if
    /// it occurs all the same, it appears with its first event.
    fn expected() -> Vec<Self>;
}

/// The `registry` label: the name of a configured registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OfRegistry(Arc<str>);

impl OfRegistry {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }
}

impl EncodeLabelSet for OfRegistry {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("registry", &*self.0)].encode(encoder)
    }
}
