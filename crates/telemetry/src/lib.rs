//! The metrics of the process and their text exposition, and the form of errors in the log.
//!
//! This crate only holds numbers and prints them; other crates count. A metric is declared once, in
//! [`RegistryMetrics`] or in [`Metrics`]. Every label value comes from an enum or is the name of a configured
//! registry, so that no client and no upstream can add a series. [`error_chain`] formats an error for a log
//! line.

mod declare;
mod error_chain;
mod expiries;
mod label;
mod metrics;
mod process;
mod registry_metrics;
mod series;
mod values;
mod zeros;

pub use declare::Declaration;
pub use error_chain::{error_chain, with_causes};
pub use metrics::{EXPOSITION_TYPE, Metrics, declarations};
pub use registry_metrics::{Pulls, RegistryMetrics};
pub use values::{
    AccessRefused, Answered, BypassReason, CloseReason, Evicted, FillEnd, Kind, LeftAlone, Ordered,
    PullFailure, Reloaded, Source, StoreCall, Stored, UpstreamKind,
};
