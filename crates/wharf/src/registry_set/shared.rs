//! The parts that all registries share.

use std::sync::Arc;

use archive::ServedTargets;
use budget::Memory;
use cache::{Bounds, OfflineSwitches, ScrubPace};
use inventory::CommonKeeper;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

/// The parts that all registries share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) metrics: Arc<Metrics>,
    /// The bounds on requests to all upstreams together.
    pub(crate) bounds_of_all: Bounds,
    /// The memory for bodies.
    pub(crate) memory: Memory,
    /// Keeps all stores together to their limits.
    pub(crate) common_keeper: Arc<CommonKeeper>,
    /// When the stores are scrubbed, and how fast.
    pub(crate) scrub: ScrubPace,
    /// The registries for imports and exports.
    pub(crate) archives: Arc<ServedTargets>,
    /// The order that takes all registries offline.
    pub(crate) offline: OfflineSwitches,
    /// Ends the transfers of all registries.
    pub(crate) stop: CancellationToken,
    pub(crate) upkeep: Upkeep,
}

/// Whether stores are counted, swept and kept to their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upkeep {
    On,
    /// For commands on stores that no server uses: they change only what they are told to.
    Off,
}
