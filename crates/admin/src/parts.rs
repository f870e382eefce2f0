//! The state that the endpoints read and act on.

use std::sync::Arc;

use archive::ServedTargets;
use cache::OfflineSwitches;
use inventory::CommonKeeper;
use server::Control;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::image_work::ImageWork;
use crate::reload::Reloads;

/// The parts that an admin service needs.
#[derive(Debug)]
pub struct Parts {
    /// The served configuration.
    pub control: Control,
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// Sends reload requests; `None` if reloads are not possible.
    pub reloads: Option<Reloads>,
    /// Gives the keeper of each registry's store.
    pub keepers: Arc<CommonKeeper>,
    /// Works on many images; `None` if that is not possible.
    pub image_work: Option<Arc<dyn ImageWork>>,
    /// The registries that images are imported into and exported from.
    pub archives: Arc<ServedTargets>,
    /// Takes all registries offline.
    pub offline: OfflineSwitches,
    /// Cancelled when the server is told to stop.
    pub shutdown: CancellationToken,
}
