//! Declarations of labels: an enum lists the values of a label, a struct the labels of a metric.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};

/// Declares an enum of the values of a label, each with its text; or one `of` some values of another label.
macro_rules! label {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident { $($(#[$about_value:meta])* $value:ident = $text:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $name { $($(#[$about_value])* $value,)+ }

        impl $name {
            /// Every value, in declaration order.
            $visibility const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The label's text.
            $visibility fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }
        }

        label!(@encode $name);
    };
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident of $whole:ident { $($value:ident,)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $name {
            $(#[doc = concat!("As [`", stringify!($whole), "::", stringify!($value), "`].")] $value,)+
        }

        impl $name {
            /// The label's text.
            $visibility fn as_str(self) -> &'static str {
                match self { $(Self::$value => $whole::$value.as_str(),)+ }
            }
        }

        label!(@encode $name);
    };
    (@encode $name:ident) => {
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

/// Declares a struct of the labels of a metric, besides `registry`, in the order of the exposition.
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
    /// In the order of the exposition.
    const NAMES: &'static [&'static str];
}

/// The labels that distinguish the series of a family.
pub(crate) trait Labels: LabelNames + EncodeLabelSet + Copy + Ord {
    /// The combinations that exist from the start, at 0. A counter that first appears at 1 shows no increase,
    /// so an alert on the increase would miss the first event, which is often the only one. An unexpected
    /// combination appears with its first event.
    fn expected() -> Vec<Self>;
}

/// The `registry` label: the name of a configured registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RegistryLabel(Arc<str>);

impl RegistryLabel {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }
}

impl EncodeLabelSet for RegistryLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("registry", &*self.0)].encode(encoder)
    }
}
