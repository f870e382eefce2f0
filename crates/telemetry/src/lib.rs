//! The counters, gauges and histograms of one process, and their text exposition.
//!
//! This crate only holds numbers and prints them; each is counted where its fact is known. A metric is declared once, in
//! [`RegistryMetrics`] or in [`Metrics`]. Every label value comes from an enum or is the name of a configured registry,
//! so that no client and no upstream can grow the number of series.

mod declare;
mod label;
mod metrics;
mod process;
mod registry_metrics;
mod series;
mod values;
mod zeros;

pub use declare::Declaration;
pub use metrics::{EXPOSITION_TYPE, Metrics, declarations};
pub use registry_metrics::RegistryMetrics;
pub use values::{
    Answered, BypassReason, CloseReason, FillEnd, Kind, LeftAlone, PullFailure, Reloaded, StoreCall, Stored,
    UpstreamKind,
};
