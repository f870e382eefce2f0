//! Warming: a whole image comes into the store although no client pulls it.
//!
//! Manifests take the path of a client's pull, and blobs are fills without a client, which give way to those
//! that clients wait for. Nothing that is held is fetched, and nothing is fetched twice beside a client.
//!
//! A tag that has moved upstream moves here when its new image is whole. Until then it names the image
//! before, so that a warming that fails takes nothing away.

mod bringing;
mod error;
mod older;
mod referrers;
mod refresh;

use inventory::{Failure, Shelf, Verification, verify};
use oci::{Digest, Platform, Platforms, Reference, Repository};

use crate::answer::Want;
use crate::backend::Backend;
use crate::outcome::Outcome;
use crate::tags::pulled::Pulled;
use crate::warm_blob::Patience;
use crate::warm_room::KeptBlobs;
pub use bringing::WarmProgress;
use bringing::{ATTEMPT_COUNT_MAX, Bringing};
pub use error::WarmError;
pub use refresh::RefreshError;

/// An image that is in the store as a whole, for the chosen platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmed {
    /// The digest of its manifest.
    pub digest: Digest,
    /// All its manifests in the store, and those of attached images.
    pub manifests: Vec<Digest>,
    /// The bytes of all these manifests and their blobs.
    pub total_bytes: u64,
    /// Of those, the bytes that came from the upstream for this warming.
    pub fetched_bytes: u64,
    /// Whether all of it was here before.
    pub was_held: bool,
    /// Whether the upstream could not be asked what the tag names, so that this is what it named before.
    pub is_stale: bool,
    /// The platforms that it is for, as its index or its configuration names them.
    pub platforms: Vec<Platform>,
    /// Chosen platforms that it does not have.
    pub unmatched: Vec<Platform>,
    /// How many attached images came with it; `None`: they were not asked for.
    pub referrer_count: Option<usize>,
}

/// An image that is to be in the store.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its repository.
    pub repository: &'a Repository,
    /// Its tag or its digest.
    pub reference: &'a Reference,
    /// The platforms for which it is wanted.
    pub platforms: &'a Platforms,
    /// Whether everything that is attached to it, such as signatures, is wanted too. A tag that has moved
    /// moves when that is here.
    pub with_referrers: bool,
}

impl Backend {
    /// Brings an image into the store, and adds its blobs to `kept`. It does not push out those that are in
    /// `kept` already. A tag that names an older image that a client can pull from the store keeps naming it
    /// until the new one is whole. When the future is dropped, no further part is fetched; what has come
    /// stays, and the next warming goes on there.
    ///
    /// # Errors
    /// [`WarmError`]; what came before the error stays.
    pub async fn warm(
        &self,
        wanted: Wanted<'_>,
        kept: &KeptBlobs,
        progress: &WarmProgress,
    ) -> Result<Warmed, WarmError> {
        let mut bringing = Bringing::new(self, wanted.repository, wanted.platforms, kept, progress);
        let mut attempt_count = 0;
        loop {
            attempt_count += 1;
            match self.warm_once(&mut bringing, wanted).await {
                Err(WarmError::Removed | WarmError::Moved) if attempt_count < ATTEMPT_COUNT_MAX => {}
                ended => return ended,
            }
        }
    }

    async fn warm_once(
        &self,
        bringing: &mut Bringing<'_>,
        Wanted { repository, reference, platforms, with_referrers }: Wanted<'_>,
    ) -> Result<Warmed, WarmError> {
        let Pulled { answer, held_back } = self.pull_patiently(repository, reference).await?;
        bringing.note_manifest(&answer);
        let (digest, is_stale) = (answer.digest.clone(), answer.outcome == Outcome::Stale);
        drop(answer);
        let older = match &held_back {
            Some(word) => self.older(repository, word.was()).await?,
            None => None,
        };
        let held_back = match held_back {
            // Nothing is lost when the tag moves at once.
            Some(word) if older.is_none() => {
                word.confirm().await;
                None
            }
            held_back => held_back,
        };
        let brought = bringing.bring(&digest, older.as_ref()).await?;
        let attached = match with_referrers {
            true => Some(self.warm_referrers(repository, &brought.manifests, bringing.kept).await?),
            false => None,
        };
        if let Some(word) = held_back {
            word.confirm().await;
        }
        // Only the store knows whether everything that a pull needs is there now.
        let Verification { digest: named, survey, missing } =
            self.verify(repository, reference, platforms).await?;
        if !missing.is_empty() || named.as_ref() != Some(&digest) {
            let is_moved = named.is_some_and(|named| named != digest);
            return Err(bringing.interfered(if is_moved { WarmError::Moved } else { WarmError::Removed }));
        }
        bringing.kept.add(&survey.blobs);
        let referrer_count = attached.as_ref().map(|attached| attached.count);
        let attached = attached.unwrap_or_default();
        let fetched_bytes = bringing.fetched_bytes(&survey).saturating_add(attached.fetched_bytes);
        Ok(Warmed {
            total_bytes: survey.bytes().saturating_add(attached.total_bytes),
            fetched_bytes,
            was_held: bringing.was_held && !attached.is_new,
            manifests: [brought.manifests, attached.manifests].concat(),
            referrer_count,
            digest,
            is_stale: is_stale || attached.is_stale,
            platforms: survey.platforms,
            unmatched: survey.unmatched,
        })
    }

    /// Notes a use of images in the store, by their manifests, so that they are not the first to go.
    pub fn note_use(&self, repository: &Repository, manifests: &[Digest]) {
        manifests.iter().for_each(|digest| self.shared.inventory.manifest_used(repository, digest));
    }

    /// Verifies that an image can be pulled from the store alone.
    ///
    /// # Errors
    /// [`WarmError::NotStored`]: the store cannot be read, which is logged.
    pub async fn verify(
        &self,
        repository: &Repository,
        reference: &Reference,
        platforms: &Platforms,
    ) -> Result<Verification, WarmError> {
        let shelf = Shelf {
            records: &*self.shared.records,
            blobs: &*self.shared.blobs,
            needs_grants: self.shared.settings.links,
        };
        verify(shelf, repository, reference, platforms).await.map_err(|error| {
            match &error {
                Failure::Store(error) => self.shared.store_failed(error),
                Failure::Read { digest, source } => self.shared.read_failed("manifest", digest, source),
            }
            WarmError::NotStored { registry: self.shared.name.clone(), trouble: None }
        })
    }

    /// Pulls a manifest. If it is that of a tag that has moved, the tag moves when the word is confirmed.
    async fn pull_patiently(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Pulled, WarmError> {
        let mut patience = Patience::new();
        loop {
            let pulled = match reference {
                Reference::Tag(tag) => self.tags.pull_ahead(repository, tag).await,
                Reference::Digest(_) => {
                    self.pull_owned_manifest(repository, reference, Want::Get).await.map(Pulled::from)
                }
            };
            match pulled {
                Ok(pulled) => {
                    self.shared.inventory.manifest_used(repository, &pulled.answer.digest);
                    return Ok(pulled);
                }
                Err(error) => patience.wait_after(error).await.map_err(WarmError::Pull)?,
            }
        }
    }
}
