//! The counters, gauges and histograms of one process, and their text exposition.
//!
//! This crate only holds numbers and prints them; each is counted where its fact is known. Every label value
//! comes from a closed enum, a string literal or the name of a configured registry, so that no client and no
//! upstream can grow the number of series.

mod certificate;
mod kind;
mod labels;
mod metrics;
mod process;
mod registry_metrics;
mod zeros;

pub use kind::{Kind, UpstreamKind};
pub use metrics::{EXPOSITION_TYPE, Metrics};
pub use registry_metrics::RegistryMetrics;
