//! The pins of a store.

use oci::{Digest, Repository};
use storage::StoreError;

use super::Inventory;
use crate::notes::pins::{NAMES, PinList};

/// The reasons why a pin cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The pins are not read yet.
    #[error("the pinned images are not read yet; try again in a moment")]
    NotReady,
    /// The notes of pins are damaged, so that a new list would replace unknown pins.
    #[error("the notes of pinned images, {} and {}, are damaged; remove both and restart to begin anew", NAMES[0], NAMES[1])]
    Damaged,
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
        let mut list = self.pins.lock().clone().ok_or(if self.is_complete() {
            PinError::Damaged
        } else {
            PinError::NotReady
        })?;
        let mut changed = Vec::new();
        for (repository, digest, is_pinned) in changes {
            let pin = (repository.clone(), digest.clone());
            changed.push(if *is_pinned { list.pins.insert(pin) } else { list.pins.remove(&pin) });
        }
        if !changed.contains(&true) {
            return Ok(changed);
        }
        list.generation += 1;
        // No image is removed between the note and the list, so a removal knows of the pin or came before it.
        let _storing = self.storing().await;
        self.store.put_note(list.name(), &list.to_bytes()).await?;
        *self.pins.lock() = Some(list);
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
        self.pins().map(|list| list.pins.into_iter().collect())
    }

    /// The pinned images; `None`: they are not known, so nothing may be removed.
    pub(crate) fn pins(&self) -> Option<PinList> {
        self.pins.lock().clone()
    }

    pub(crate) fn set_pins(&self, list: PinList) {
        *self.pins.lock() = Some(list);
    }

    pub(crate) fn is_pinned(&self, repository: &Repository, digest: &Digest) -> bool {
        let pins = self.pins.lock();
        let Some(list) = pins.as_ref().filter(|list| !list.pins.is_empty()) else { return false };
        list.pins.contains(&(repository.clone(), digest.clone()))
    }
}
