//! The removal of images that an operator names.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Repository, Tag};
use policy::eviction::Reason;

use crate::eviction::{Freed, Removal, Why};
use crate::failure::Failure;
use crate::inventory::Inventory;
use crate::keeper::Keeper;

/// An image that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// The bytes that this freed.
    pub freed: Freed,
    /// The tags that went with it, sorted.
    pub tags: Vec<Tag>,
}

/// The pins that keep an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    /// The image's registry and repository.
    pub path: String,
    /// The pinned manifests: its own, or parts of it.
    pub digests: Vec<Digest>,
    /// Whether its own manifest is pinned, and no part of it.
    is_own: bool,
}

impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, digests) = (&self.path, &self.digests);
        let names: Vec<_> = digests.iter().map(|digest| format!("{path}@{digest}")).collect();
        let pinned = match names.as_slice() {
            [_] if self.is_own => "it is pinned".to_owned(),
            [one] => format!("its part {one} is pinned"),
            several => format!("{} are pinned", several.join(" and ")),
        };
        write!(f, "{pinned}; run `wharf unpin {}` first", names.join(" "))
    }
}

/// The indexes that name a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parents(
    /// Each by its registry, its repository, and a tag or the digest.
    pub Vec<String>,
);

impl fmt::Display for Parents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("it is a part of another image; purge that one"),
            [one] => write!(f, "it is a part of {one}; purge that one"),
            several => write!(f, "it is a part of {}; purge those", several.join(" and of ")),
        }
    }
}

/// The reason why an image was not purged.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// The store was not walked yet.
    #[error("the stored images are not all known yet; try again in a moment")]
    NotReady,
    /// It is not there.
    #[error("the store does not hold it")]
    NotHeld,
    /// A held index names it.
    #[error("{0}")]
    Part(Parents),
    /// An operator pinned it, or a part of it.
    #[error("{0}")]
    Pinned(Pins),
    /// It is being fetched or exported, or its tag is about to move from it to another image.
    #[error(
        "it is in use: it, or the image that its tag names now, is being fetched or exported; try again when \
         that is done"
    )]
    Busy,
    /// It was used within the time that the caller named, or is being changed.
    #[error("it was used meanwhile")]
    Used,
    /// The store failed. Part of the image may be gone; the next try removes the rest.
    #[error("the store failed")]
    Store(#[source] Failure),
}

impl Keeper {
    /// Removes one image, unless it is pinned or was used within `unused_for`.
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub async fn purge(
        &self,
        repository: &Repository,
        digest: &Digest,
        unused_for: Duration,
    ) -> Result<Purged, PurgeError> {
        let inventory = self.inventory();
        if !inventory.is_complete() {
            return Err(PurgeError::NotReady);
        }
        match self.remove(repository, digest, Reason::Purge, Arc::default(), unused_for).await {
            Ok(Removal::Removed(freed, mut tags)) => {
                tags.sort_unstable();
                Ok(Purged { freed, tags })
            }
            Ok(Removal::Gone) => Err(PurgeError::NotHeld),
            Ok(Removal::Stays(Why::Part)) => {
                Err(PurgeError::Part(inventory.parents(repository, digest).await))
            }
            Ok(Removal::Stays(Why::Pinned)) => {
                let anatomy = inventory.anatomy(repository, digest).await.map_err(PurgeError::Store)?;
                let pins = anatomy.map(|anatomy| anatomy.standing.pins).unwrap_or_default();
                // Without one, the pin was taken back meanwhile.
                let pins = Some(pins).filter(|pins| !pins.is_empty()).ok_or(PurgeError::Used)?;
                Err(PurgeError::Pinned(inventory.pins_of(repository, digest, pins)))
            }
            Ok(Removal::Stays(Why::Busy)) => Err(PurgeError::Busy),
            Ok(Removal::Stays(Why::Used | Why::Kept)) => Err(PurgeError::Used),
            Err(failure) => Err(PurgeError::Store(failure)),
        }
    }

    /// Removes a tag of a part of an image, and nothing else.
    ///
    /// # Errors
    /// [`PurgeError::NotReady`]; [`PurgeError::NotHeld`]: the tag names no part of an image by now;
    /// [`PurgeError::Pinned`]: the part is; [`PurgeError::Store`].
    pub async fn purge_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), PurgeError> {
        let inventory = self.inventory();
        if !inventory.is_complete() {
            return Err(PurgeError::NotReady);
        }
        // Nothing becomes an image, or gets another tag, meanwhile.
        let _alone = inventory.gate().write().await;
        let part = inventory.find_tag(repository, tag);
        let part = part.filter(|part| part.is_part && part.digest == *digest).ok_or(PurgeError::NotHeld)?;
        if part.is_pinned {
            return Err(PurgeError::Pinned(inventory.pins_of(repository, digest, vec![part.digest])));
        }
        let removed = inventory.serving().remove_tag(repository, tag, digest).await;
        removed.map_err(|error| PurgeError::Store(error.into()))?;
        inventory.tag_removed(repository, tag);
        Ok(())
    }
}

impl Inventory {
    /// These pins of an image, by name.
    pub fn pins_of(&self, repository: &Repository, digest: &Digest, digests: Vec<Digest>) -> Pins {
        let is_own = digests == [digest.clone()];
        Pins { path: format!("{}/{repository}", self.name()), digests, is_own }
    }

    /// The held indexes that name a manifest. Reads all manifests of the repository; those that cannot be
    /// read are left out.
    pub async fn parents(&self, repository: &Repository, digest: &Digest) -> Parents {
        let mut parents = Vec::new();
        for index in self.indexes_naming(repository, digest).await {
            let entry = self.find_digest(repository, &index);
            let first_tag = entry.and_then(|entry| entry.tags.into_iter().min());
            let sign = first_tag.map_or(format!("@{index}"), |tag| format!(":{tag}"));
            parents.push(format!("{}/{repository}{sign}", self.name()));
        }
        parents.sort_unstable();
        Parents(parents)
    }
}
