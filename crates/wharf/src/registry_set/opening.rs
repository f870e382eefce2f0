//! Opens stores.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::capacity::Capacity;
use storage::{Store, StoreErrorKind};
use tokio::task::JoinHandle;

use crate::config::Registry;
use crate::disk;
use crate::machine;
use crate::registry_error::{RegistryError, all_or_errors};
use crate::registry_set::shared::{Shared, Upkeep};

/// The longest wait for a lock that the last job of a removed registry, or a command, may still hold.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// The pause between two attempts to take the lock.
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// Opens the stores of these registries, all at once: a new store waits for the disk, which syncs many stores
/// as fast as one. `may_be_free_soon` tells whether to wait for the lock of a root. A registry without a
/// store, and not among [`Shared::new_stores`], gets an empty one that nothing can be written to.
///
/// # Errors
/// Every store that cannot be opened, with the reason.
pub(super) async fn open_all(
    registries: &[&Registry],
    shared: &Shared,
    capacity: &Capacity,
    may_be_free_soon: impl Fn(&Path) -> bool,
) -> Result<Vec<Arc<dyn Store>>, Vec<RegistryError>> {
    let open = |registry: &&Registry| open(registry, shared, capacity, may_be_free_soon(&registry.root));
    let opening: Vec<_> = registries.iter().map(open).collect();
    let mut stores = Vec::new();
    for store in opening {
        stores.push(store.await.expect("opening a store neither panics nor is cancelled"));
    }
    all_or_errors(stores.into_iter())
}

/// Starts to open a registry's store, on a thread that may block.
fn open(
    registry: &Registry,
    shared: &Shared,
    capacity: &Capacity,
    may_wait: bool,
) -> JoinHandle<Result<Arc<dyn Store>, RegistryError>> {
    let (name, root) = (registry.names.name.clone(), registry.root.clone());
    let metrics = shared.metrics.registry(&name);
    let is_made = shared.new_stores.has(&name);
    let settings = storage::fs::Settings {
        kept_open_count_max: capacity.kept_open as u64,
        collected_bytes_max: capacity.collected_bytes,
        unstored_count_max: capacity.unstored,
        // A command changes only what it is told to.
        is_swept: shared.upkeep == Upkeep::On,
        is_made,
    };
    tokio::task::spawn_blocking(move || {
        let is_used = is_made || storage::fs::may_be_store(&root);
        let is_refused = is_used && !machine::is_container();
        if let Some(above) = disk::open_to_everyone(&root).filter(|_| is_refused) {
            let reason = format!(
                "any user may rename files in {0} and so replace this store; run `chmod o-w {0}`",
                above.display()
            );
            return Err(RegistryError::new(name, reason));
        }
        let began = Instant::now();
        loop {
            match settings.open(&root, Arc::clone(&metrics)) {
                Ok(store) => return Ok(Arc::new(store) as Arc<dyn Store>),
                Err(error)
                    if may_wait
                        && error.kind() == StoreErrorKind::Locked
                        && began.elapsed() < LOCK_WAIT_MAX =>
                {
                    std::thread::sleep(LOCK_WAIT);
                }
                Err(error) => {
                    let reason = disk::describe(&name, &root, &error);
                    return Err(RegistryError::new(name, reason).caused_by(error));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests;
