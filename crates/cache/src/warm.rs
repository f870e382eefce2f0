//! Warming: a whole image comes into the store although no client pulls it.
//!
//! Manifests take the path of a client's pull, and blobs are fills without a client, which give way to those
//! that clients wait for. Nothing that is held is fetched, and nothing is fetched twice beside a client.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use inventory::{Failure, Shelf, Survey, SurveyedBlob, Verification, verify};
use oci::{Digest, Platform, Platforms, Reference, Repository};

use crate::answer::{ManifestAnswer, Want};
use crate::backend::Backend;
use crate::error::PullError;
use crate::grants::Content;
use crate::outcome::Outcome;
use crate::warm_blob::{Patience, Unwarmed};
use crate::warm_room::{KeptBlobs, Reserved};

/// The progress of one warming, in bytes of blobs.
#[derive(Debug, Default)]
pub struct WarmProgress {
    /// The bytes of all blobs of the image; 0 until they are known.
    pub total: AtomicU64,
    /// The bytes of those that are here.
    pub done: AtomicU64,
}

/// An image that is in the store as a whole, for the chosen platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmed {
    /// The digest of its manifest.
    pub digest: Digest,
    /// All its manifests in the store.
    pub manifests: Vec<Digest>,
    /// The bytes of all its blobs.
    pub total_bytes: u64,
    /// The bytes that came from the upstream.
    pub fetched_bytes: u64,
    /// Whether all of it was here before.
    pub was_held: bool,
    /// Whether the upstream could not be asked what the tag names, so that this is what it named before.
    pub is_stale: bool,
    /// The platforms that it is for; none for an image without an index.
    pub platforms: Vec<Platform>,
    /// Chosen platforms that it does not have.
    pub unmatched: Vec<Platform>,
}

/// The reasons why an image is not in the store as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarmError {
    /// A part of it could not be pulled.
    Pull(PullError),
    /// The image has none of the chosen platforms, but these.
    NoPlatform(Vec<Platform>),
    /// It does not fit beside what must stay. In bytes.
    NoRoom(u64),
    /// The store did not take it.
    NotStored,
    /// One of its manifests cannot be read.
    Unreadable,
}

impl Backend {
    /// Brings an image into the store, for these platforms, and adds its blobs to `kept`. It does not push
    /// out those that are in `kept` already. When the future is dropped, no further part is fetched; what has
    /// come stays, and the next warming goes on there.
    ///
    /// # Errors
    /// [`WarmError`]; what came before the error stays.
    pub async fn warm(
        &self,
        repository: &Repository,
        reference: &Reference,
        platforms: &Platforms,
        kept: &KeptBlobs,
        progress: &WarmProgress,
    ) -> Result<Warmed, WarmError> {
        let answer = self.pull_patiently(repository, reference).await?;
        let digest = answer.digest.clone();
        let (mut fetched_bytes, is_stale) = (fetched_bytes(&answer), answer.outcome == Outcome::Stale);
        let mut was_held = fetched_bytes == 0;
        drop(answer);
        let mut pulled = HashSet::from([digest.clone()]);
        let survey = loop {
            let whole = Reference::Digest(digest.clone());
            let survey = self.verify(repository, &whole, platforms).await?.survey;
            if survey.has_no_chosen_platform() {
                return Err(WarmError::NoPlatform(survey.offered));
            }
            let all = survey.manifests.iter().map(|manifest| &manifest.digest);
            let further: Vec<Digest> = all.filter(|digest| !pulled.contains(digest)).cloned().collect();
            if further.is_empty() {
                break survey;
            }
            for digest in further {
                let answer = self.pull_patiently(repository, &Reference::Digest(digest.clone())).await?;
                fetched_bytes += self::fetched_bytes(&answer);
                was_held &= self::fetched_bytes(&answer) == 0;
                pulled.insert(digest);
            }
        };
        if survey.is_cut {
            return Err(WarmError::Unreadable);
        }
        if survey.missing_manifests().next().is_some() {
            return Err(WarmError::NotStored);
        }
        was_held &= survey.missing_blobs().next().is_none();
        let (received, reserved) = self.warm_blobs(repository, &survey, kept, progress).await?;
        fetched_bytes += received;
        // Only the store knows whether everything that a pull needs is there now.
        let Verification { digest: named, survey, missing } =
            self.verify(repository, reference, platforms).await?;
        if !missing.is_empty() || named.as_ref() != Some(&digest) {
            return Err(WarmError::NotStored);
        }
        kept.add(&survey.blobs);
        drop(reserved);
        Ok(Warmed {
            total_bytes: survey.blob_bytes(),
            manifests: survey.manifests.into_iter().map(|manifest| manifest.digest).collect(),
            digest,
            fetched_bytes,
            was_held,
            is_stale,
            platforms: survey.platforms,
            unmatched: survey.unmatched,
        })
    }

    /// Fetches the missing blobs of an image. Returns the bytes received, and the room that the image has.
    async fn warm_blobs(
        &self,
        repository: &Repository,
        survey: &Survey,
        kept: &KeptBlobs,
        progress: &WarmProgress,
    ) -> Result<(u64, Reserved), WarmError> {
        let (total, missing) = (survey.blob_bytes(), survey.missing_bytes());
        progress.total.store(total, Ordering::Relaxed);
        progress.done.store(total - missing, Ordering::Relaxed);
        let reserved = self.tables.warm_room.reserve(&self.shared.inventory, missing, kept);
        let reserved = reserved.ok_or(WarmError::NoRoom(missing))?;
        for blob in survey.blobs.iter().filter(|blob| blob.is_held) {
            let proof = self.blobs.grants.prove(Content::Blob, repository, &blob.digest).await;
            proof.map_err(WarmError::Pull)?;
        }
        let fetch = async |blob: &SurveyedBlob| {
            // The semaphore is never closed.
            let _turn = self.tables.warm_turns.acquire().await;
            let size = blob.size.unwrap_or(0);
            let mut pending = Some(size);
            let mut before = 0;
            let progressed = |here: u64| {
                // The first bytes on disk say that the store makes room for all of them.
                if here > 0 {
                    pending.take().into_iter().for_each(|size| reserved.begin(size));
                }
                progress.done.fetch_add(here.saturating_sub(before), Ordering::Relaxed);
                before = before.max(here);
            };
            let received = self.blobs.warm(repository, &blob.digest, progressed).await?;
            pending.take().into_iter().for_each(|size| reserved.begin(size));
            reserved.landed(size);
            Ok(received)
        };
        let mut under_way: FuturesUnordered<_> = survey.missing_blobs().map(fetch).collect();
        // After a failure the others go on: the next attempt needs their bytes too.
        let (mut received, mut failure) = (0, None);
        while let Some(ended) = under_way.next().await {
            match ended {
                Ok(bytes) => received += bytes,
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        drop(under_way);
        match failure {
            None => Ok((received, reserved)),
            Some(Unwarmed::Pull(error)) => Err(WarmError::Pull(error)),
            Some(Unwarmed::NoRoom) => Err(WarmError::NoRoom(missing)),
            Some(Unwarmed::NotStored) => Err(WarmError::NotStored),
        }
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
            WarmError::NotStored
        })
    }

    async fn pull_patiently(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<ManifestAnswer, WarmError> {
        let mut patience = Patience::new();
        loop {
            match self.pull_manifest(repository, reference, Want::Get).await {
                Ok(answer) => return Ok(answer),
                Err(error) => patience.wait_after(error).await.map_err(WarmError::Pull)?,
            }
        }
    }
}

/// The bytes of a manifest that came from the upstream.
fn fetched_bytes(answer: &ManifestAnswer) -> u64 {
    if matches!(answer.outcome, Outcome::Miss | Outcome::Join) { answer.size } else { 0 }
}

impl fmt::Display for WarmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull(error) => error.fmt(f),
            Self::NoPlatform(offered) => {
                let offered: Vec<String> = offered.iter().map(ToString::to_string).collect();
                write!(f, "the image has none of the chosen platforms; it has {}", offered.join(", "))
            }
            Self::NoRoom(bytes) => write!(
                f,
                "the store has no room for its missing {bytes} bytes beside the images that were warmed with it; \
                 raise max_size, or list fewer images or platforms"
            ),
            Self::NotStored => f.write_str("the store did not take it; wharf's log says why"),
            Self::Unreadable => f.write_str("one of its manifests cannot be read or names too much"),
        }
    }
}

impl Error for WarmError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Self::Pull(error) = self { error.source() } else { None }
    }
}
