//! The parts that all registries share.

use std::collections::BTreeSet;
use std::sync::Arc;

use archive::ServedTargets;
use budget::Memory;
use cache::{Bounds, OfflineSwitches, ScrubPace};
use inventory::CommonKeeper;
use policy::capacity::Capacity;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

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
    pub(crate) new_stores: NewStores,
}

impl Shared {
    /// The shared parts for the registries of `config`.
    pub(crate) fn new(
        config: &Config,
        capacity: &Capacity,
        metrics: &Arc<Metrics>,
        (upkeep, new_stores): (Upkeep, NewStores),
    ) -> Self {
        let memory = Memory::new(config.body_bytes_max);
        let counted = memory.clone();
        metrics.count_body_memory(move || counted.taken().to_vec());
        Self {
            metrics: Arc::clone(metrics),
            bounds_of_all: Bounds::new(capacity.all.waiting, capacity.all.asking),
            memory,
            common_keeper: CommonKeeper::new(config.room),
            scrub: ScrubPace::new(config.scrub),
            archives: Arc::default(),
            offline: OfflineSwitches::default(),
            stop: CancellationToken::new(),
            upkeep,
            new_stores,
        }
    }
}

/// The registries whose stores are made if there are none. Another registry without a store gets an empty one
/// that nothing can be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NewStores {
    All,
    /// Those of these names.
    Of(BTreeSet<String>),
}

impl NewStores {
    /// For commands that only look at stores, or remove from them.
    pub(crate) fn none() -> Self {
        Self::Of(BTreeSet::new())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(names) => names.contains(name),
        }
    }
}

/// Whether stores are counted, swept and kept to their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upkeep {
    On,
    /// For commands on stores that no server uses: they change only what they are told to.
    Off,
}
