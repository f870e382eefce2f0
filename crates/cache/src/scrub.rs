//! The scrub: hashes everything that a store holds at a bounded rate, sets damaged files aside, and fetches
//! again what a held image needs.
//!
//! A round goes over manifests, then blobs, in the order of their digests. A note in the store says where it
//! stands, so that the next process continues there. Between two pieces of a file it obeys new settings and
//! the shutdown.

mod heal;
mod note;
mod round;

use std::num::NonZeroU64;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use inventory::Inventory;
use parking_lot::{Mutex, RwLock};
use policy::rate::RateLimit;
use storage::{Store, StoreError};
use telemetry::RegistryMetrics;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::backend::Backend;
use crate::scrub_state::ScrubState;
use note::Note;

/// The time between two looks of a scrub that waits for the inventory.
const INVENTORY_WAIT: Duration = Duration::from_secs(1);

/// Two looks at the clock of the wall, which can be set, are at most so far apart.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// The schedule and the pace of scrubs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubSettings {
    /// The time from the end of a round to the begin of the next one; `None`: never.
    pub every: Option<Duration>,
    /// Bytes that are hashed in a second, by the scrubs of all stores together.
    pub bytes_per_second: NonZeroU64,
}

impl ScrubSettings {
    /// The default of `every`: a disk's damage is found while the upstream probably still has the image.
    pub const EVERY: Duration = Duration::from_secs(30 * 24 * 3600);
    /// The default of `bytes_per_second`: a terabyte in 28 hours, and a tenth of what a slow disk reads.
    pub const BYTES_PER_SECOND: NonZeroU64 = NonZeroU64::new(10_000_000).expect("it is above zero");
}

impl Default for ScrubSettings {
    fn default() -> Self {
        Self { every: Some(Self::EVERY), bytes_per_second: Self::BYTES_PER_SECOND }
    }
}

/// The settings and the rate that the scrubs of all stores share. Clones are the same.
#[derive(Clone, Debug)]
pub struct ScrubPace {
    limit: Arc<Mutex<RateLimit>>,
    settings: watch::Sender<ScrubSettings>,
}

impl ScrubPace {
    /// The pace of a process.
    pub fn new(settings: ScrubSettings) -> Self {
        let limit = Arc::new(Mutex::new(RateLimit::new(settings.bytes_per_second)));
        Self { limit, settings: watch::Sender::new(settings) }
    }

    /// Changes the settings, as a reload does.
    pub fn set(&self, settings: ScrubSettings) {
        self.limit.lock().set(Instant::now().into_std(), settings.bytes_per_second);
        self.settings.send_if_modified(|now| std::mem::replace(now, settings) != settings);
    }

    /// The settings in force.
    pub fn settings(&self) -> ScrubSettings {
        *self.settings.borrow()
    }

    fn take(&self, bytes: u64) -> Duration {
        self.limit.lock().take(Instant::now().into_std(), bytes)
    }
}

/// Scrubs one store.
#[derive(Debug)]
pub struct Scrubber {
    registry: Arc<str>,
    store: Arc<dyn Store>,
    inventory: Arc<Inventory>,
    metrics: Arc<RegistryMetrics>,
    pace: ScrubPace,
    state: Arc<ScrubState>,
    /// The backend that fetches damaged content again.
    backend: RwLock<Weak<Backend>>,
    wall_clock: fn() -> SystemTime,
}

/// The reasons for a pause of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// The registry's end.
    Stopped,
    /// The scrub was turned off.
    Off,
    /// The store failed.
    Failed,
}

impl Scrubber {
    /// The scrubber of the store that `backend` serves.
    pub fn new(backend: &Arc<Backend>, store: Arc<dyn Store>, pace: ScrubPace) -> Arc<Self> {
        let (shared, state) = (&backend.shared, &backend.tables.scrub);
        state.tell(&shared.metrics);
        Arc::new(Self {
            registry: Arc::clone(&shared.name),
            store,
            inventory: Arc::clone(&shared.inventory),
            metrics: Arc::clone(&shared.metrics),
            pace,
            state: Arc::clone(state),
            backend: RwLock::new(Arc::downgrade(backend)),
            wall_clock: shared.settings.wall_clock,
        })
    }

    /// From now on, this backend fetches damaged content again.
    pub fn serve_with(&self, backend: &Arc<Backend>) {
        *self.backend.write() = Arc::downgrade(backend);
    }

    /// Scrubs until `cancel`, and notes where it stands.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut note = self.read_note(&cancel).await;
        self.state.show(note.report());
        while self.wait_for_turn(&note, &cancel).await {
            if note.round.is_none() {
                note.begin((self.wall_clock)());
                tracing::debug!(registry = %self.registry, "a scrub of the store begins");
            }
            self.state.show(note.report());
            let gone_on = self.go_on(&mut note, &cancel).await;
            self.write_note(&note).await;
            self.state.show(note.report());
            match gone_on {
                Err(Pause::Stopped) => break,
                Err(Pause::Failed) => self.sleep(round::FAILURE_PAUSE, &cancel).await,
                Ok(()) | Err(Pause::Off) => {}
            }
        }
    }

    /// Waits until a round is due, and all images are known. False: the registry has ended.
    async fn wait_for_turn(&self, note: &Note, cancel: &CancellationToken) -> bool {
        let mut settings = self.pace.settings.subscribe();
        while !cancel.is_cancelled() {
            let every = settings.borrow_and_update().every;
            let wait = match every.map(|every| note.wait(every, (self.wall_clock)())) {
                Some(Duration::ZERO) if self.inventory.is_complete() => return true,
                Some(Duration::ZERO) => INVENTORY_WAIT,
                Some(wait) => wait.min(LOOK_EVERY),
                None => LOOK_EVERY,
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                _ = settings.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        false
    }

    /// Sleeps, but not after the registry's end.
    async fn sleep(&self, wait: Duration, cancel: &CancellationToken) {
        let _: Option<()> = cancel.run_until_cancelled(tokio::time::sleep(wait)).await;
    }

    async fn read_note(&self, cancel: &CancellationToken) -> Note {
        loop {
            match self.store.note(note::NAME).await {
                Ok(None) => return Note::default(),
                Ok(Some(bytes)) => {
                    return Note::parse(&bytes).unwrap_or_else(|| {
                        warn!(registry = %self.registry, "the note of the scrub is damaged; it begins anew");
                        Note::default()
                    });
                }
                Err(error) => self.failed(&error),
            }
            self.sleep(round::FAILURE_PAUSE, cancel).await;
            if cancel.is_cancelled() {
                return Note::default();
            }
        }
    }

    async fn write_note(&self, note: &Note) {
        if let Err(error) = self.store.put_note(note::NAME, &note.to_bytes()).await {
            self.failed(&error);
        }
    }

    fn failed(&self, error: &StoreError) {
        self.metrics.store_failed(error.call());
        warn!(registry = %self.registry, %error, "the store failed during the scrub");
    }
}
