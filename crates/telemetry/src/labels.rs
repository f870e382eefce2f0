//! The label sets, and the value types that keep them small.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::kind::{Kind, UpstreamKind};

/// The name of a configured registry, cheap to clone into every label set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RegistryName(Arc<str>);

impl RegistryName {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }
}

impl EncodeLabelValue for RegistryName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(&self.0)
    }
}

/// A status code, or the class of one that no registry has a reason to send. An upstream that invents codes
/// can therefore add no series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    Code(u16),
    Class(u16),
    Other,
    NoAnswer,
}

impl Status {
    pub(crate) fn new(status: Option<u16>) -> Self {
        match status {
            None => Self::NoAnswer,
            Some(
                code @ (200
                | 206
                | 301
                | 302
                | 303
                | 304
                | 307
                | 308
                | 400
                | 401
                | 403..=406
                | 408
                | 410
                | 416
                | 421
                | 429
                | 500..=504),
            ) => Self::Code(code),
            Some(code @ 100..=599) => Self::Class(code / 100),
            Some(_) => Self::Other,
        }
    }
}

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Code(code) => write!(encoder, "{code}"),
            Self::Class(class) => write!(encoder, "{class}xx"),
            Self::Other => encoder.write_str("other"),
            Self::NoAnswer => encoder.write_str("none"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByRegistry {
    pub(crate) registry: RegistryName,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByRequest {
    pub(crate) registry: RegistryName,
    pub(crate) kind: Kind,
    pub(crate) outcome: &'static str,
    pub(crate) status: Status,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByKind {
    pub(crate) registry: RegistryName,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByUpstreamRequest {
    pub(crate) registry: RegistryName,
    pub(crate) kind: UpstreamKind,
    pub(crate) status: Status,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByEnd {
    pub(crate) registry: RegistryName,
    pub(crate) end: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByReason {
    pub(crate) registry: RegistryName,
    pub(crate) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByCall {
    pub(crate) registry: RegistryName,
    pub(crate) call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByChange {
    pub(crate) registry: RegistryName,
    pub(crate) changed: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Unrouted {
    pub(crate) reason: &'static str,
    pub(crate) status: Status,
}

/// The owners of bytes in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Held {
    pub(crate) sort: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Closed {
    pub(crate) why: &'static str,
}
