//! Pulling a manifest: a digest is served from the store for ever, a tag is checked as its rule says.

use std::time::Duration;

use oci::{ByteRange, Digest, Reference, Repository, Tag};
use policy::freshness::{self, TagPlan, TagRecord, Unreachable, Upstream404};
use policy::head_trust::Stakes;
use storage::{HeldManifest, RecordStore, StoreError};
use upstream::Described;

use crate::answer::{ManifestAnswer, Want};
use crate::backend::{Asked, Backend};
use crate::blob_reader::BlobReader;
use crate::error::PullError;
use crate::outcome::Outcome;
use crate::tag_check::{AskedAt, TagCheck, describe};

/// A record on disk whose check is younger than this is not rewritten by a check that changed nothing.
const RECORD_AGE_MAX: Duration = Duration::from_secs(3600);

impl Backend {
    /// Pulls a manifest. The digest that a HEAD names can be pulled afterwards.
    ///
    /// # Errors
    /// See [`PullError`]. An outage is an error only when nothing stored may stand in.
    pub async fn pull_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        want: Want,
    ) -> Result<ManifestAnswer, PullError> {
        match reference {
            Reference::Digest(digest) => self.pull_by_digest(repository, digest, want).await,
            Reference::Tag(tag) => self.pull_by_tag(repository, tag, want).await,
        }
    }

    async fn pull_by_digest(
        &self,
        repository: &Repository,
        digest: &Digest,
        want: Want,
    ) -> Result<ManifestAnswer, PullError> {
        if let Some(stored) = self.held_manifests.find(repository, digest).await {
            self.prove_manifest(repository, digest).await?;
            return Ok(answer(digest, stored, Outcome::Hit, None));
        }
        if self.settings.tags.offline {
            return Err(self.offline());
        }
        let key = Asked::Manifest(repository.clone(), Reference::Digest(digest.clone()));
        if let Some(no) = self.refused.get(&key) {
            return Err(no);
        }
        let _waiting = self.wait()?;
        let pull = async {
            // Of one that a tag has just named, an upstream may know nothing under its digest.
            let named = self.named.get(&(repository.clone(), digest.clone())).map(|(tag, _)| tag);
            if want == Want::Head
                && named.is_none()
                && let Some(described) = self.describe_manifest(repository, digest).await?
            {
                return Ok(described);
            }
            let (stored, joined) = self.fetch_manifest(repository, digest, named.as_ref()).await?;
            let outcome = if joined { Outcome::Join } else { Outcome::Miss };
            Ok(answer(digest, stored, outcome, None))
        };
        let pulled = Box::pin(self.within_deadline(pull)).await;
        self.remember_no(key, &pulled);
        pulled
    }

    async fn pull_by_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        want: Want,
    ) -> Result<ManifestAnswer, PullError> {
        let record = self.tag_record(repository, tag).await;
        let if_unreachable =
            match freshness::plan_tag(record.as_ref(), &self.settings.tags, (self.settings.wall_clock)()) {
                TagPlan::Serve => match self.serve_record(repository, record.as_ref(), Outcome::Hit).await {
                    Some(answer) => return Ok(answer),
                    None if self.settings.tags.offline => return Err(self.offline()),
                    None => Unreachable::Fail,
                },
                TagPlan::Revalidate { if_unreachable } => if_unreachable,
                TagPlan::Fetch => Unreachable::Fail,
                TagPlan::Absent => return Err(self.absent_tag(tag, self.offline())),
            };
        let pulled = Box::pin(self.pull_checked(repository, tag, record.as_ref(), want)).await;
        let error = match pulled {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let may_stand_in = match &error {
            // See `excuse`: where repositories are granted one by one, only a grant that still holds is good enough.
            PullError::Overloaded
                if record.as_ref().is_some_and(|it| self.must_ask(repository, &it.digest)) =>
            {
                false
            }
            error if error.is_outage() => if_unreachable == Unreachable::Serve,
            PullError::DigestMismatch { .. } => if_unreachable == Unreachable::Serve,
            PullError::NotFound { .. } => self.settings.tags.on_upstream_404 == Upstream404::Serve,
            _ => false,
        };
        if may_stand_in
            && let Some(stale) = self.serve_record(repository, record.as_ref(), Outcome::Stale).await
        {
            self.metrics.stale(error.reason());
            return Ok(stale);
        }
        Err(self.refuse_tag(repository, tag, record.as_ref(), error).await)
    }

    /// Asks the upstream, and serves what it names.
    async fn pull_checked(
        &self,
        repository: &Repository,
        tag: &Tag,
        record: Option<&TagRecord>,
        want: Want,
    ) -> Result<ManifestAnswer, PullError> {
        let key = Asked::Manifest(repository.clone(), Reference::Tag(tag.clone()));
        if let Some(no) = self.refused.get(&key) {
            return Err(no);
        }
        let _waiting = self.wait()?;
        let pull = async {
            let stakes = if record.is_some() { Stakes::Held } else { Stakes::Nothing };
            let check = self.check_tag(repository, tag, stakes).await?;
            if let Some(record) = record {
                self.metrics.revalidated(record.digest != check.digest);
            }
            self.pull_named(repository, tag, check, want, record.is_some()).await
        };
        let pulled = self.within_deadline(pull).await;
        self.remember_no(key, &pulled);
        pulled
    }

    /// Serves the manifest that a check named: from the store, from the check itself, or by its digest.
    async fn pull_named(
        &self,
        repository: &Repository,
        tag: &Tag,
        check: TagCheck,
        want: Want,
        is_held: bool,
    ) -> Result<ManifestAnswer, PullError> {
        let TagCheck { digest, asked_at, .. } = check;
        self.note_grant(repository, &digest);
        let age = Some(Duration::ZERO);
        if let Some(stored) = self.held_manifests.find(repository, &digest).await {
            self.confirm_tag(repository, tag, asked_at, &digest, &stored).await;
            return Ok(answer(&digest, stored, Outcome::Revalidated, age));
        }
        if let Some((media_type, verified)) = &check.manifest {
            let stored = self.held_manifests.keep(repository, media_type, verified).await;
            self.confirm_tag(repository, tag, asked_at, &digest, &stored).await;
            return Ok(answer(&digest, stored, Outcome::Miss, age));
        }
        // A HEAD cannot show that there is a manifest behind what it names. Where a tag is held, that is found out
        // before anybody is sent away from it.
        if want == Want::Head
            && !is_held
            && let Some((media_type, size)) = check.described
        {
            // The tag becomes servable with the manifest, which the client asks for next by its digest.
            self.named.insert((repository.clone(), digest.clone()), (tag.clone(), asked_at));
            let (bytes, file) = (None, None);
            return Ok(ManifestAnswer { digest, media_type, size, bytes, file, outcome: Outcome::Miss, age });
        }
        let fetched = self.fetch_manifest(repository, &digest, Some(tag)).await;
        let (stored, joined) = fetched.map_err(|error| match error {
            // It has just said that the tag exists; that it lacks the manifest is no word about the tag.
            PullError::NotFound { detail } | PullError::Unconfirmed { detail, .. } => {
                PullError::unavailable(format!("{tag} names {digest}, and yet {detail}"))
            }
            error => error,
        })?;
        self.confirm_tag(repository, tag, asked_at, &digest, &stored).await;
        let outcome = if joined { Outcome::Join } else { Outcome::Miss };
        Ok(answer(&digest, stored, outcome, age))
    }

    /// Fetches by digest, shared by all who ask at the same time, and keeps what is right. An upstream that does not
    /// give it so is asked by `tag`, under which it has promised it.
    async fn fetch_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
        tag: Option<&Tag>,
    ) -> Result<(HeldManifest, bool), PullError> {
        let key = (repository.clone(), digest.clone());
        let fetch = || {
            let (manifests, held, (repository, digest)) =
                (self.manifests.clone(), self.held_manifests.clone(), key.clone());
            let (place, tag) = (self.take_place(), tag.cloned());
            async move {
                let _place = place?;
                let reference = Reference::Digest(digest.clone());
                let (media_type, verified) = match (manifests.fetch(&repository, &reference).await, tag) {
                    (Err(error), Some(tag)) if may_know_by_tag(&error) => {
                        let promised = manifests.fetch_promised(&repository, &tag, &digest).await;
                        promised.map_err(|_| error)?
                    }
                    (fetched, _) => fetched?,
                };
                Ok(held.keep(&repository, &media_type, &verified).await)
            }
        };
        let (fetched, joined) = self.manifest_flights.join_or_start(key.clone(), fetch).await;
        let stored = fetched?;
        self.note_grant(repository, digest);
        if let Some((tag, asked_at)) = self.named.take(&key) {
            self.confirm_tag(repository, &tag, asked_at, digest, &stored).await;
        }
        Ok((stored, joined))
    }

    /// What the upstream says of a digest. One that was not answered in full is no answer.
    async fn describe_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        let reference = Reference::Digest(digest.clone());
        let key = (repository.clone(), digest.clone());
        let ask = || {
            let (upstream, place) = (self.upstream.clone(), self.take_place());
            let (repository, reference) = (repository.clone(), reference.clone());
            async move {
                let _place = place?;
                let described = upstream.head_manifest(&repository, &reference, Stakes::Nothing).await;
                described.map_err(|error| PullError::from(&error))
            }
        };
        let head = match self.describe_flights.join_or_start(key, ask).await.0? {
            Described::Head(head) => head,
            Described::Whole(body) => {
                let (media_type, verified) = self.manifests.take(repository, &reference, body).await?;
                let stored = self.held_manifests.keep(repository, &media_type, &verified).await;
                self.note_grant(repository, digest);
                return Ok(Some(answer(digest, stored, Outcome::Miss, None)));
            }
        };
        if head.digest.is_some_and(|claimed| claimed != *digest) {
            return Ok(None);
        }
        let described = describe(head.media_type, head.size);
        Ok(described.map(|(media_type, size)| ManifestAnswer {
            digest: digest.clone(),
            media_type,
            size,
            bytes: None,
            file: None,
            outcome: Outcome::Miss,
            age: None,
        }))
    }

    /// The tag's record, as fresh as its last check.
    async fn tag_record(&self, repository: &Repository, tag: &Tag) -> Option<TagRecord> {
        let mut record = self.records.tag(repository, tag).await.unwrap_or_else(|error| {
            self.store_failed(&error);
            None
        })?;
        if let Some((checked, digest)) = self.checked.get(&(repository.clone(), tag.clone()))
            && digest == record.digest
        {
            record.checked_at = checked.time;
        }
        Some(record)
    }

    /// Notes what the upstream said when it was asked at `asked_at`, unless something newer is known. When this
    /// returns, it or something newer is on disk, as far as the disk takes it. What is said of one tag is
    /// written one after the other: an older word must not end up over a newer one.
    async fn confirm_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        asked_at: AskedAt,
        digest: &Digest,
        stored: &HeldManifest,
    ) {
        let key = (repository.clone(), tag.clone());
        while self.checked.get(&key).is_none_or(|(checked, _)| checked.moment < asked_at.moment) {
            let (media_type, size) = (stored.media_type().clone(), stored.size());
            let record = TagRecord { digest: digest.clone(), media_type, size, checked_at: asked_at.time };
            let confirm = || {
                let (records, metrics) = (self.records.clone(), self.metrics.clone());
                let (checked, key) = (self.checked.clone(), key.clone());
                async move {
                    if let Err(error) = keep_tag(&*records, &key.0, &key.1, &record).await {
                        metrics.store_failed(error.call());
                        tracing::warn!(repository = %key.0, tag = %key.1, %error, "store failed; passing through");
                    }
                    checked.insert(key, (asked_at, record.digest));
                    Ok(())
                }
            };
            if let (_, false) = self.confirm_flights.join_or_start(key.clone(), confirm).await {
                break;
            }
        }
    }

    async fn serve_record(
        &self,
        repository: &Repository,
        record: Option<&TagRecord>,
        outcome: Outcome,
    ) -> Option<ManifestAnswer> {
        let record = record?;
        let stored = self.held_manifests.find(repository, &record.digest).await?;
        let age = (self.settings.wall_clock)().duration_since(record.checked_at).unwrap_or_default();
        Some(answer(&record.digest, stored, outcome, Some(age)))
    }

    /// What the client is told when nothing stored stands in. A tag that the upstream says is gone is
    /// forgotten, so that a later outage does not bring it back; where repositories are granted one by one, a
    /// refused one is too.
    async fn refuse_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        record: Option<&TagRecord>,
        error: PullError,
    ) -> PullError {
        let is_final = match &error {
            PullError::NotFound { .. } => true,
            PullError::Denied { .. } => self.settings.links,
            _ => false,
        };
        match error {
            error if is_final && record.is_some() => {
                if let Err(failure) = self.records.remove_tag(repository, tag).await {
                    self.store_failed(&failure);
                }
                error
            }
            error => self.absent_tag(tag, error),
        }
    }

    /// Clients probe some tags for signatures during pulls of images that are held here. An error would fail
    /// those pulls when the upstream cannot be asked; an absence does not, and verifiers fail closed on it.
    fn absent_tag(&self, tag: &Tag, error: PullError) -> PullError {
        if (error.is_outage() || error == PullError::Offline) && is_referrers_tag(tag) {
            return PullError::NotFound { detail: format!("{tag} is not held here, and {error}") };
        }
        error
    }

    pub(crate) async fn within_deadline<T>(
        &self,
        pull: impl Future<Output = Result<T, PullError>>,
    ) -> Result<T, PullError> {
        let deadline = self.settings.manifest_deadline;
        tokio::time::timeout(deadline, pull).await.unwrap_or_else(|_| {
            Err(PullError::timed_out(format!("{} did not answer within {deadline:?}", self.name)))
        })
    }
}

/// Writes a tag's record. The disk is written only when that is news, or when the record there has grown old.
async fn keep_tag(
    records: &dyn RecordStore,
    repository: &Repository,
    tag: &Tag,
    record: &TagRecord,
) -> Result<(), StoreError> {
    let on_disk = records.tag(repository, tag).await;
    if let Ok(Some(on_disk)) = &on_disk {
        let age = record.checked_at.duration_since(on_disk.checked_at);
        if on_disk.digest == record.digest && age.is_ok_and(|age| age < RECORD_AGE_MAX) {
            return Ok(());
        }
    }
    records.put_tag(repository, tag, record).await?;
    on_disk.map(|_| ())
}

/// Whether an upstream that names a digest and then does not give it may give it under the tag.
fn may_know_by_tag(error: &PullError) -> bool {
    error.is_definite_no()
        || matches!(
            error,
            PullError::Unconfirmed { .. } | PullError::UpstreamUnavailable { timed_out: false, .. }
        )
}

/// The referrers tag schema (distribution-spec, "Referrers Tag Schema"), also with the suffixes that
/// signing tools put behind it.
fn is_referrers_tag(tag: &Tag) -> bool {
    let hex = tag.as_str().strip_prefix("sha256-").unwrap_or_default();
    let hex = hex.split('.').next().unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn answer(digest: &Digest, stored: HeldManifest, outcome: Outcome, age: Option<Duration>) -> ManifestAnswer {
    let size = stored.size();
    let (media_type, bytes, file) = match stored {
        HeldManifest::Whole(manifest) => (manifest.media_type, Some(manifest.bytes), None),
        HeldManifest::File { media_type, file } => {
            (media_type, None, Some(BlobReader::stored(file, ByteRange::whole(size))))
        }
    };
    ManifestAnswer { digest: digest.clone(), media_type, size, bytes, file, outcome, age }
}
