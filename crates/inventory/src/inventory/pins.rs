//! The pins of a store.

use std::collections::HashSet;
use std::sync::Arc;

use oci::{Digest, Repository};
use storage::StoreError;

use super::Inventory;
use crate::images::Slot;
use crate::notes::pins::{NAMES, PinList};
use crate::short_digest::key_of;

/// The most pins of one store: they are in memory, and each change writes a note of all of them.
pub(crate) const PIN_COUNT_MAX: usize = 50_000;

/// The reasons why a pin cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The pins are not read yet.
    #[error("the pinned images are not read yet; try again in a moment")]
    NotReady,
    /// The notes of pins are damaged, so that a new list would replace unknown pins.
    #[error("the notes of pinned images, {} and {}, are damaged; remove both and restart to begin anew", NAMES[0], NAMES[1])]
    Damaged,
    /// There would be more than 50,000 pins; nothing is changed.
    #[error(
        "a registry can have {PIN_COUNT_MAX} pins; take some back with `wharf unpin`, or name images in `keep`"
    )]
    TooMany,
    /// The store failed; nothing is changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Inventory {
    /// Pins an image, so that no limit and no rule removes it, or takes the pin back. An image that is not
    /// held is pinned as soon as it is. Returns whether that changed anything.
    ///
    /// # Errors
    /// See [`PinError`].
    pub async fn set_pinned(
        &self,
        repository: &Repository,
        digest: &Digest,
        is_pinned: bool,
    ) -> Result<bool, PinError> {
        let change = (repository.clone(), digest.clone(), is_pinned);
        let changed = self.change_pins(&[change]).await?;
        Ok(changed == [true])
    }

    /// Changes several pins, all or none: each image, and whether it is pinned afterwards. Returns whether
    /// each change changed anything.
    ///
    /// # Errors
    /// See [`PinError`].
    pub async fn change_pins(&self, changes: &[(Repository, Digest, bool)]) -> Result<Vec<bool>, PinError> {
        let _turn = self.pins_turn.lock().await;
        let unknown = if self.is_complete() { PinError::Damaged } else { PinError::NotReady };
        let mut list = self.pins().map(Arc::unwrap_or_clone).ok_or(unknown)?;
        let count_before = list.pins.len();
        let mut changed = Vec::new();
        for (repository, digest, is_pinned) in changes {
            let pin = (repository.clone(), digest.clone());
            changed.push(if *is_pinned { list.pins.insert(pin) } else { list.pins.remove(&pin) });
        }
        if !changed.contains(&true) {
            return Ok(changed);
        }
        if list.pins.len() > count_before.max(PIN_COUNT_MAX) {
            return Err(PinError::TooMany);
        }
        list.generation += 1;
        // No image is removed between the note and the list, so a removal knows of the pin or came before it.
        let _storing = self.storing().await;
        self.store.put_note(list.name(), &list.to_bytes()).await?;
        *self.pins.lock() = Some(Arc::new(list));
        let mut images = self.model.images.write();
        for (repository, digest, is_pinned) in changes {
            if let Some(slot) = images.find(repository, digest) {
                images.pin(slot, *is_pinned);
            }
        }
        drop(images);
        self.wake_keepers();
        Ok(changed)
    }

    /// The pinned images, whether held or not, by name. `None`: they are not known yet.
    pub fn pinned_images(&self) -> Option<Vec<(Repository, Digest)>> {
        self.pins().map(|list| list.pins.iter().cloned().collect())
    }

    /// The pinned images; `None`: they are not known, so nothing may be removed.
    pub(crate) fn pins(&self) -> Option<Arc<PinList>> {
        self.pins.lock().clone()
    }

    pub(crate) fn set_pins(&self, list: PinList) {
        *self.pins.lock() = Some(Arc::new(list));
    }

    /// The bytes of the held blobs that pinned images name. The sizes in manifests do not count: they are
    /// claims, and those blobs may never come.
    pub(crate) async fn pinned_bytes(&self) -> u64 {
        let Some(list) = self.pins() else { return 0 };
        // Both have held contents only, so they are no larger than the store's tables.
        let (mut manifests, mut blobs) = (HashSet::<Slot>::new(), HashSet::<u64>::new());
        let mut bytes: u64 = 0;
        for (repository, pinned) in &list.pins {
            let mut ahead = vec![pinned.clone()];
            while let Some(digest) = ahead.pop() {
                let slot = self.held_slot(repository, &digest);
                if !slot.is_some_and(|slot| manifests.insert(slot)) {
                    continue;
                }
                let Ok(Some(contents)) = self.contents(repository, &digest).await else { continue };
                let children = contents.children.into_iter();
                ahead.extend(children.filter(|child| self.held_slot(repository, child).is_some()));
                let is_held = |digest: &Digest| self.model.blobs.get(key_of(digest)).is_held;
                let named = contents.blobs.into_iter().map(|blob| blob.digest);
                let new: Vec<_> =
                    named.filter(|digest| is_held(digest) && blobs.insert(key_of(digest))).collect();
                let Ok(sizes) = self.store().sizes(&new).await else { continue };
                bytes = sizes.into_iter().flatten().fold(bytes, u64::saturating_add);
            }
        }
        bytes
    }

    pub(crate) fn is_pinned(&self, repository: &Repository, digest: &Digest) -> bool {
        let pins = self.pins.lock();
        let Some(list) = pins.as_ref().filter(|list| !list.pins.is_empty()) else { return false };
        list.pins.contains(&(repository.clone(), digest.clone()))
    }
}
