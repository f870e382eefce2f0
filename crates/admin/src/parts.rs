//! The parts of the process that the endpoints report on and act on.

use std::sync::Arc;

use server::Control;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::reload::Reloads;

/// The parts that an admin service needs.
#[derive(Debug)]
pub struct Parts {
    /// The registries that the server serves.
    pub control: Control,
    /// The process's numbers.
    pub metrics: Arc<Metrics>,
    /// Takes the requests to reload; none: there is nothing to reload.
    pub reloads: Option<Reloads>,
    /// Cancelled when the server is told to stop.
    pub shutdown: CancellationToken,
}
