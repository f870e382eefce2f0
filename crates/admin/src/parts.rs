//! What the endpoints tell of and act on.

use std::sync::Arc;

use server::Control;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::reload::Reloads;

/// What the admin service is made of.
#[derive(Debug)]
pub struct Parts {
    /// What the server serves.
    pub control: Control,
    /// The process's numbers.
    pub metrics: Arc<Metrics>,
    /// Takes the requests to reload; none: there is nothing to reload.
    pub reloads: Option<Reloads>,
    /// Cancelled when the server is told to stop.
    pub shutdown: CancellationToken,
}
