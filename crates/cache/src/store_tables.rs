//! The tables that belong to one store. They do not depend on the registry's rules, so a successor with other
//! rules takes them over.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::bandwidth::Bandwidths;
use crate::fill::table::FillTable;
use crate::manifests::stored::StoredManifests;
use crate::permits::Bounds;
use crate::scrub_state::ScrubState;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::store_health::{LastFailure, StoreHealth};
use crate::stored_blobs::StoredBlobs;
use crate::tags::words::TagWords;
use crate::visibility::public_table::PublicTable;
use crate::warm_room::WarmRoom;

/// The most blobs of one registry that are warmed at a time, for all lists together: as many as are read
/// ahead of one client.
const WARM_COUNT_MAX: usize = Settings::READ_AHEAD;

/// The tables of one store, shared by all its successive backends.
#[derive(Clone, Debug)]
pub(crate) struct StoreTables {
    /// Fills in flight. With a table for each backend, a blob could be fetched twice.
    pub(crate) fills: FillTable,
    /// Stored blobs, and which of them are verified.
    pub(crate) blobs: Arc<StoredBlobs>,
    pub(crate) manifests: Arc<StoredManifests>,
    /// The newest word on each tag. With a table for each backend, an older word could overwrite a newer one.
    pub(crate) words: Arc<TagWords>,
    /// The admission limits of the registry's upstream.
    pub(crate) bounds: Bounds,
    /// One permit for each blob that may be warmed at a time.
    pub(crate) warm_turns: Arc<Semaphore>,
    /// The limits on bytes per second, with what was taken of them.
    pub(crate) bandwidths: Arc<Bandwidths>,
    /// The last failed call of the store.
    pub(crate) last_failure: Arc<LastFailure>,
    /// The state of the store's scrub.
    pub(crate) scrub: Arc<ScrubState>,
    /// Whether the store can be written.
    pub(crate) health: Arc<StoreHealth>,
    /// The repositories that the upstream gives to everyone.
    pub(crate) public: Arc<PublicTable>,
    /// The room of the images that are being warmed.
    pub(crate) warm_room: WarmRoom,
}

impl StoreTables {
    /// The same tables for a successor of the backend.
    pub(crate) fn for_successor(&self) -> Self {
        Self { fills: self.fills.for_successor(), ..self.clone() }
    }

    /// Empty tables.
    pub(crate) fn new(shared: &Arc<Shared>, settings: &Settings) -> Self {
        Self {
            fills: FillTable::new(shared.memory.clone()),
            blobs: Arc::new(StoredBlobs::new(Arc::clone(shared))),
            manifests: Arc::new(StoredManifests::new(Arc::clone(shared))),
            words: Arc::new(TagWords::new(Arc::clone(shared))),
            bounds: Bounds::new(settings.waiting_count_max, settings.asking_count_max),
            warm_turns: Arc::new(Semaphore::new(WARM_COUNT_MAX)),
            bandwidths: Arc::clone(&shared.bandwidths),
            last_failure: Arc::clone(&shared.last_failure),
            scrub: Arc::default(),
            health: Arc::default(),
            public: Arc::new(PublicTable::new()),
            warm_room: WarmRoom::default(),
        }
    }
}
