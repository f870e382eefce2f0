//! Brings the parts of one image into the store: manifests, then blobs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use inventory::{Hold, Survey, SurveyedBlob, Verification};
use oci::{Digest, Platforms, Reference, Repository};
use tokio::time::Instant;

use super::error::WarmError;
use super::older::Older;
use crate::answer::ManifestAnswer;
use crate::backend::Backend;
use crate::grants::Content;
use crate::outcome::Outcome;
use crate::warm_blob::Unwarmed;
use crate::warm_room::{KeptBlobs, Reserved};

/// How often a warming begins anew because its image was removed, or its tag moved, in the meantime.
pub(super) const ATTEMPT_COUNT_MAX: u32 = 3;

/// The progress of one warming, in bytes of blobs.
#[derive(Debug, Default)]
pub struct WarmProgress {
    /// The bytes of all blobs of the image; 0 until they are known.
    pub total: AtomicU64,
    /// The bytes of those that are here.
    pub done: AtomicU64,
}

/// The work on one image.
pub(super) struct Bringing<'a> {
    backend: &'a Backend,
    pub(super) repository: &'a Repository,
    pub(super) platforms: &'a Platforms,
    pub(super) kept: &'a KeptBlobs,
    progress: &'a WarmProgress,
    /// Whether all of it was here before.
    pub(super) was_held: bool,
    /// The bytes that came from the upstream, by the digest of the part.
    fetched: HashMap<Digest, u64>,
    began_at: Instant,
}

/// An image that has come, with its room and the holds that keep it and the older image of its tag. To be
/// dropped when the tag names it.
pub(super) struct Brought {
    /// Its manifests.
    pub(super) manifests: Vec<Digest>,
    _reserved: Reserved,
    _hold: Hold,
    _older: Option<Hold>,
}

impl<'a> Bringing<'a> {
    pub(super) fn new(
        backend: &'a Backend,
        repository: &'a Repository,
        platforms: &'a Platforms,
        kept: &'a KeptBlobs,
        progress: &'a WarmProgress,
    ) -> Self {
        let (fetched, began_at) = (HashMap::new(), Instant::now());
        Self { backend, repository, platforms, kept, progress, was_held: true, fetched, began_at }
    }

    /// Notes a manifest that was pulled. One that another request fetched counts there.
    pub(super) fn note_manifest(&mut self, answer: &ManifestAnswer) {
        self.was_held &= !is_fetched(answer);
        if answer.outcome == Outcome::Miss {
            self.fetched.insert(answer.digest.clone(), answer.size);
        }
    }

    /// How many bytes of these parts came from the upstream.
    pub(super) fn fetched_bytes(&self, survey: &Survey) -> u64 {
        let manifests = survey.manifests.iter().map(|manifest| (&manifest.digest, manifest.size));
        let parts = manifests.chain(survey.blobs.iter().map(|blob| (&blob.digest, blob.size)));
        let fetched = parts.filter_map(|(digest, size)| Some((*self.fetched.get(digest)?).min(size?)));
        fetched.fold(0, u64::saturating_add)
    }

    /// The error after parts were missing that had come: a failure of the store explains it, if there was
    /// one.
    pub(super) fn interfered(&self, otherwise: WarmError) -> WarmError {
        match self.not_stored() {
            WarmError::NotStored { trouble: None, .. } => otherwise,
            not_stored => not_stored,
        }
    }

    fn not_stored(&self) -> WarmError {
        let shared = &self.backend.shared;
        let trouble = shared.last_failure.since(self.began_at);
        WarmError::NotStored { registry: shared.name.clone(), trouble }
    }

    /// Fetches the missing parts of the image with this digest, whose own manifest was pulled. Until the
    /// result is dropped, nothing removes it, and `older` stays too if there is room for both. After a
    /// failure, `older` is not the first to go.
    ///
    /// # Errors
    /// [`WarmError`].
    pub(super) async fn bring(
        &mut self,
        digest: &Digest,
        older: Option<&Older>,
    ) -> Result<Brought, WarmError> {
        let mut attempt_count = 0;
        loop {
            attempt_count += 1;
            match self.bring_once(digest, older).await {
                Ok(brought) => return Ok(brought),
                Err(WarmError::Removed) if attempt_count < ATTEMPT_COUNT_MAX => {}
                Err(error) => {
                    if let Some(older) = older {
                        self.backend.shared.inventory.manifest_used(self.repository, &older.digest);
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn bring_once(&mut self, digest: &Digest, older: Option<&Older>) -> Result<Brought, WarmError> {
        let hold = self.backend.shared.inventory.hold([(self.repository.clone(), digest.clone())]);
        let survey = self.bring_manifests(digest).await?;
        self.was_held &= survey.missing_blobs().next().is_none();
        let (reserved, kept_older) = self.reserve(&survey, older)?;
        self.bring_blobs(&survey, &reserved).await?;
        let reference = Reference::Digest(digest.clone());
        let Verification { missing, .. } =
            self.backend.verify(self.repository, &reference, self.platforms).await?;
        if !missing.is_empty() {
            return Err(self.interfered(WarmError::Removed));
        }
        let manifests = survey.manifests.into_iter().map(|manifest| manifest.digest).collect();
        Ok(Brought { manifests, _reserved: reserved, _hold: hold, _older: kept_older })
    }

    /// Fetches the manifests for the chosen platforms, and the configuration that names the platform of an
    /// image without an index. Returns all that the image needs.
    async fn bring_manifests(&mut self, digest: &Digest) -> Result<Survey, WarmError> {
        let whole = Reference::Digest(digest.clone());
        let mut tried = HashSet::new();
        loop {
            let survey = self.backend.verify(self.repository, &whole, self.platforms).await?.survey;
            if survey.has_no_chosen_platform() {
                return Err(WarmError::NoPlatform(survey.offered));
            }
            if survey.is_cut {
                return Err(WarmError::Unreadable);
            }
            let missing: Vec<Digest> = survey.missing_manifests().cloned().collect();
            if missing.iter().any(|digest| tried.contains(digest)) {
                return Err(self.interfered(WarmError::Removed));
            }
            for digest in &missing {
                let reference = Reference::Digest(digest.clone());
                let pulled = self.backend.pull_patiently(self.repository, &reference).await?;
                self.note_manifest(&pulled.answer);
            }
            tried.extend(missing.iter().cloned());
            let config = survey.unread_config.as_ref().filter(|_| *self.platforms != Platforms::All);
            match config.filter(|config| missing.is_empty() && tried.insert((*config).clone())) {
                // Nothing else is fetched for an image of another platform.
                Some(config) => {
                    let config = config.clone();
                    self.was_held = false;
                    let _turn = self.backend.tables.warm_turns.acquire().await;
                    let fetched = self.backend.blobs.warm(self.repository, &config, |_| {}).await;
                    let bytes = fetched.map_err(|error| self.unwarmed(error, survey.missing_bytes()))?;
                    self.fetched.insert(config, bytes);
                }
                None if missing.is_empty() => return Ok(survey),
                None => {}
            }
        }
    }

    /// Reserves room for the missing blobs: beside `older`, which then stays until the new image is whole, or
    /// in its place if there is not enough.
    fn reserve(&self, survey: &Survey, older: Option<&Older>) -> Result<(Reserved, Option<Hold>), WarmError> {
        let (inventory, room) = (&self.backend.shared.inventory, &self.backend.tables.warm_room);
        let missing = survey.missing_bytes();
        if let Some(older) = older
            && let beside = held_bytes(&older.blobs, &survey.blobs)
            && let Some(reserved) = room.reserve(inventory, missing, self.kept, beside)
        {
            let hold = inventory.hold([(self.repository.clone(), older.digest.clone())]);
            return Ok((reserved, Some(hold)));
        }
        let reserved = room.reserve(inventory, missing, self.kept, 0);
        Ok((reserved.ok_or(WarmError::NoRoom(missing))?, None))
    }

    /// Fetches the missing blobs of an image.
    async fn bring_blobs(&mut self, survey: &Survey, reserved: &Reserved) -> Result<(), WarmError> {
        let (total, missing) = (survey.blob_bytes(), survey.missing_bytes());
        self.progress.total.store(total, Ordering::Relaxed);
        self.progress.done.store(total - missing, Ordering::Relaxed);
        for blob in survey.blobs.iter().filter(|blob| blob.is_held) {
            let proof = self.backend.blobs.grants.prove(Content::Blob, self.repository, &blob.digest).await;
            proof.map_err(WarmError::Pull)?;
        }
        let fetch = |blob| fetch_blob(self.backend, self.repository, blob, self.progress, reserved);
        let mut under_way: FuturesUnordered<_> = survey.missing_blobs().map(fetch).collect();
        // After a failure the others go on: the next attempt needs their bytes too.
        let (mut fetched, mut failure) = (Vec::new(), None);
        while let Some((digest, ended)) = under_way.next().await {
            match ended {
                Ok(bytes) => fetched.push((digest, bytes)),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        drop(under_way);
        self.fetched.extend(fetched);
        failure.map_or(Ok(()), |error| Err(self.unwarmed(error, missing)))
    }

    fn unwarmed(&self, error: Unwarmed, missing: u64) -> WarmError {
        match error {
            Unwarmed::Pull(error) => WarmError::Pull(error),
            Unwarmed::NoRoom => WarmError::NoRoom(missing),
            Unwarmed::NotStored => self.not_stored(),
        }
    }
}

/// Fetches one blob when it has a turn. Returns its digest, and the bytes that came from the upstream.
async fn fetch_blob(
    backend: &Backend,
    repository: &Repository,
    blob: &SurveyedBlob,
    progress: &WarmProgress,
    reserved: &Reserved,
) -> (Digest, Result<u64, Unwarmed>) {
    // The semaphore is never closed.
    let _turn = backend.tables.warm_turns.acquire().await;
    let size = blob.size.unwrap_or(0);
    let mut pending = Some(size);
    let mut before = 0;
    let progressed = |here: u64| {
        // The first bytes on disk say that the store makes room for all of them.
        if here > 0 {
            pending.take().into_iter().for_each(|size| reserved.begin(size));
        }
        let here = here.min(blob.size.unwrap_or(u64::MAX));
        let fresh = here.saturating_sub(before);
        before += fresh;
        // Manifests of schema 1 name no sizes.
        if blob.size.is_none() {
            progress.total.fetch_add(fresh, Ordering::Relaxed);
        }
        progress.done.fetch_add(fresh, Ordering::Relaxed);
    };
    let received = backend.blobs.warm(repository, &blob.digest, progressed).await;
    if received.is_ok() {
        pending.take().into_iter().for_each(|size| reserved.begin(size));
        reserved.landed(size);
    }
    (blob.digest.clone(), received)
}

/// Whether a manifest came from the upstream.
pub(super) fn is_fetched(answer: &ManifestAnswer) -> bool {
    matches!(answer.outcome, Outcome::Miss | Outcome::Join)
}

/// The blobs of `all` that are held, in bytes, without those in `but`.
fn held_bytes(all: &[SurveyedBlob], but: &[SurveyedBlob]) -> u64 {
    let other = all.iter().filter(|blob| blob.is_held && !but.iter().any(|it| it.digest == blob.digest));
    other.filter_map(|blob| blob.size).fold(0, u64::saturating_add)
}
