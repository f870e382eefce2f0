//! Pulls by tag: checks a tag as its rule says, and serves its stored manifest as stale when the upstream is
//! unavailable.

mod check;
mod held_back;
pub(crate) mod pulled;
mod refresh;
mod word;
pub(crate) mod words;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use oci::{Digest, Repository, Tag};
use policy::failover::may_stand_in_name;
use policy::freshness::{self, TagPlan, TagRecord, Unreachable, Upstream404};
use policy::head_trust::Stakes;
use storage::HeldManifest;

use crate::answer::{ManifestAnswer, Want};
use crate::asker::Asker;
use crate::detail::Detail;
use crate::error::PullError;
use crate::flight::Flights;
use crate::grants::Grants;
use crate::manifests::Manifests;
use crate::outcome::Outcome;
use crate::refusals::Refusals;
use crate::shared::Shared;
use check::TagCheck;
use pulled::{HeldBackWord, Moves, Pulled};
use words::{AskedAt, Named, TagWords};

/// The tags of one registry.
#[derive(Debug)]
pub(crate) struct Tags {
    shared: Arc<Shared>,
    asker: Arc<Asker>,
    grants: Arc<Grants>,
    manifests: Arc<Manifests>,
    words: Arc<TagWords>,
    check_flights: Flights<(Repository, Tag), Checked>,
    refused: Refusals<(Repository, Tag)>,
}

/// The upstream's answer to a check, and when it was asked.
#[derive(Clone, Debug)]
struct Checked {
    asked_at: AskedAt,
    said: Result<TagCheck, PullError>,
}

/// Why a pull from the upstream failed, and when the upstream was asked, if it was.
struct Failed {
    error: PullError,
    asked_at: Option<AskedAt>,
}

impl From<PullError> for Failed {
    fn from(error: PullError) -> Self {
        Self { error, asked_at: None }
    }
}

impl Tags {
    pub(crate) fn new(
        shared: Arc<Shared>,
        asker: Arc<Asker>,
        grants: Arc<Grants>,
        manifests: Arc<Manifests>,
        words: Arc<TagWords>,
    ) -> Self {
        Self {
            words,
            check_flights: shared.flights(),
            refused: Refusals::new(shared.settings.negative_ttl),
            shared,
            asker,
            grants,
            manifests,
        }
    }

    /// The same tags for one client.
    pub(crate) fn for_client(
        &self,
        asker: Arc<Asker>,
        grants: Arc<Grants>,
        manifests: Arc<Manifests>,
    ) -> Self {
        Self {
            words: Arc::clone(&self.words),
            check_flights: self.shared.flights_of_client(),
            refused: Refusals::of_client(self.shared.settings.negative_ttl),
            shared: Arc::clone(&self.shared),
            asker,
            grants,
            manifests,
        }
    }

    /// Pulls by tag.
    ///
    /// # Errors
    /// See [`PullError`]. An outage is an error only when nothing stored may stand in.
    pub(crate) async fn pull(
        &self,
        repository: &Repository,
        tag: &Tag,
        want: Want,
    ) -> Result<ManifestAnswer, PullError> {
        let pulled = self.pull_moving(repository, tag, want, Moves::AtOnce).await;
        pulled.map(|pulled| pulled.answer).map_err(|error| absent_if_referrers(tag, error))
    }

    /// Pulls the manifest that a tag names, for wharf itself. If the tag has moved from a stored manifest, it
    /// still names that one until the word is confirmed.
    ///
    /// # Errors
    /// As for [`pull`](Self::pull).
    pub(crate) async fn pull_ahead(&self, repository: &Repository, tag: &Tag) -> Result<Pulled, PullError> {
        self.pull_moving(repository, tag, Want::Get, Moves::WhenConfirmed).await
    }

    async fn pull_moving(
        &self,
        repository: &Repository,
        tag: &Tag,
        want: Want,
        moves: Moves,
    ) -> Result<Pulled, PullError> {
        let record = self.words.record(repository, tag).await;
        let rule = self.shared.tag_rule(repository, tag);
        let plan = freshness::plan_tag(record.as_ref(), &rule, self.shared.now());
        if plan == TagPlan::Serve
            && let Some(hit) = self.serve(repository, record.as_ref(), Outcome::Hit).await
        {
            return Ok(hit.into());
        }
        let held = record.as_ref().map(|record| (record, plan));
        let pulled = Box::pin(self.pull_checked(repository, tag, held, (want, moves))).await;
        let failed = match pulled {
            Ok(pulled) => return Ok(pulled),
            Err(failed) => failed,
        };
        if self.may_stand_in(repository, record.as_ref(), plan, &failed.error)
            && let Some(stale) = self.serve(repository, record.as_ref(), Outcome::Stale).await
        {
            self.shared.metrics.stale(failed.error.reason());
            return Ok(stale.into());
        }
        Err(self.refuse(repository, tag, record.as_ref(), failed).await)
    }

    /// The time of the upstream's last confirmation of the tag; `None`: the tag is not known here.
    pub(crate) async fn checked_at(&self, repository: &Repository, tag: &Tag) -> Option<SystemTime> {
        self.words.record(repository, tag).await.map(|record| record.checked_at)
    }

    /// Pulls a manifest by digest that is not stored. If a HEAD of a tag has just named it, the tag can be
    /// served from now on.
    ///
    /// # Errors
    /// See [`PullError`].
    pub(crate) async fn pull_digest(
        &self,
        repository: &Repository,
        digest: &Digest,
        want: Want,
    ) -> Result<ManifestAnswer, PullError> {
        let promised = self.words.promised(repository, digest);
        let answer = self.manifests.pull_missing(repository, digest, want, promised.as_ref()).await?;
        if answer.has_content() {
            let (media_type, size) = (answer.media_type.clone(), answer.size);
            self.words.keep_promise(repository, &Named { digest: digest.clone(), media_type, size }).await;
        }
        Ok(answer)
    }

    /// Checks the tag, and serves the manifest that it names.
    async fn pull_checked(
        &self,
        repository: &Repository,
        tag: &Tag,
        held: Option<(&TagRecord, TagPlan)>,
        how: (Want, Moves),
    ) -> Result<Pulled, Failed> {
        let key = (repository.clone(), tag.clone());
        self.refused.check(&key)?;
        let pulled = self.ask(repository, tag, held, how).await;
        let said = pulled.as_ref().map(|_| ()).map_err(|failed| failed.error.clone());
        self.refused.remember(key, &said);
        pulled
    }

    /// Checks the tag without regard to recent refusals, and returns the manifest that it names.
    async fn ask(
        &self,
        repository: &Repository,
        tag: &Tag,
        held: Option<(&TagRecord, TagPlan)>,
        how: (Want, Moves),
    ) -> Result<Pulled, Failed> {
        let _client = self.asker.admit()?;
        let record = held.map(|(record, _)| record);
        let mut asked_at = None;
        let pull = async {
            let stakes = if record.is_some() { Stakes::Held } else { Stakes::Nothing };
            let checked = self.check(repository, tag, stakes).await?;
            asked_at = Some(checked.asked_at);
            let check = checked.said?;
            if check.is_stand_in && !may_stand_in_name(held, &check.digest) {
                return Err(PullError::unavailable(format!(
                    "the first address of the upstream does not answer, and another one says that {tag} names \
                     {}, which may be older than the stored image",
                    check.digest
                )));
            }
            if let Some(record) = record {
                self.shared.metrics.revalidated(record.digest != check.digest);
            }
            self.pull_named(repository, tag, (check, checked.asked_at), record, how).await
        };
        let pulled = self.asker.within_deadline(pull).await;
        pulled.map_err(|error| Failed { error, asked_at })
    }

    /// Asks the upstream which manifest the tag names, once for all concurrent callers.
    async fn check(&self, repository: &Repository, tag: &Tag, stakes: Stakes) -> Result<Checked, PullError> {
        let check = || {
            let (asking, fetcher) = (self.asker.ask(), self.manifests.fetcher().clone());
            let (shared, repository, tag) = (self.shared.clone(), repository.clone(), tag.clone());
            async move {
                let asking = asking?;
                let asked_at = AskedAt::now(&shared);
                let said = check::check(&asking, &fetcher, &repository, tag, stakes).await;
                Ok(Checked { asked_at, said })
            }
        };
        self.check_flights.join_or_start((repository.clone(), tag.clone()), check).await.0
    }

    /// Serves the manifest that a check named: from the store, from the check itself, or by its digest.
    async fn pull_named(
        &self,
        repository: &Repository,
        tag: &Tag,
        (check, asked_at): (TagCheck, AskedAt),
        record: Option<&TagRecord>,
        (want, moves): (Want, Moves),
    ) -> Result<Pulled, PullError> {
        let digest = check.digest;
        self.grants.note(repository, &digest);
        let stored = self.manifests.stored();
        let (manifest, outcome) = if let Some(found) = stored.find(repository, &digest).await {
            (found, Outcome::Revalidated)
        } else if let Some((media_type, verified)) = &check.manifest {
            (stored.keep(repository, media_type, verified).await, Outcome::Miss)
        } else {
            // A HEAD does not prove that the manifest exists. If an older one is stored for the tag, the new
            // one is fetched before any client is told of it.
            if want == Want::Head
                && record.is_none()
                && let Some((media_type, size)) = check.described
            {
                self.words.promise(repository, &digest, tag, asked_at);
                let described = ManifestAnswer::described(&digest, media_type, size);
                return Ok(ManifestAnswer { age: Some(Duration::ZERO), ..described }.into());
            }
            self.fetch_named(repository, tag, &digest).await?
        };
        let named = named(&digest, &manifest);
        let answer = ManifestAnswer::of_stored(&digest, manifest, outcome, Some(Duration::ZERO));
        if let Some(record) = record.filter(|it| moves == Moves::WhenConfirmed && it.digest != digest) {
            let key = (repository.clone(), tag.clone());
            let held_back = HeldBackWord::new(&self.words, key, asked_at, named, record.digest.clone());
            return Ok(Pulled { answer, held_back: Some(held_back) });
        }
        self.words.confirm(repository, tag, asked_at, &named).await;
        Ok(answer.into())
    }

    /// Fetches the manifest that the tag has just named.
    async fn fetch_named(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(HeldManifest, Outcome), PullError> {
        let fetched = self.manifests.fetch(repository, digest, Some(tag)).await;
        let (manifest, joined) = fetched.map_err(|error| match error {
            // The upstream has just said that the tag exists; a missing manifest says nothing about the tag.
            PullError::NotFound { detail } | PullError::Unconfirmed { detail, .. } => {
                PullError::unavailable(detail.within(format!("{tag} names {digest}, but {detail}")))
            }
            error => error,
        })?;
        // Another tag may have named it too.
        self.words.keep_promise(repository, &named(digest, &manifest)).await;
        Ok((manifest, if joined { Outcome::Join } else { Outcome::Miss }))
    }

    /// Answers with the manifest that the record names, if it is stored.
    async fn serve(
        &self,
        repository: &Repository,
        record: Option<&TagRecord>,
        outcome: Outcome,
    ) -> Option<ManifestAnswer> {
        let record = record?;
        let stored = self.manifests.stored().find(repository, &record.digest).await?;
        let age = self.shared.now().duration_since(record.checked_at).unwrap_or_default();
        Some(ManifestAnswer::of_stored(&record.digest, stored, outcome, Some(age)))
    }

    /// Whether the record may be served after this error of the upstream.
    fn may_stand_in(
        &self,
        repository: &Repository,
        record: Option<&TagRecord>,
        plan: TagPlan,
        error: &PullError,
    ) -> bool {
        let outlives_outage = plan == TagPlan::Revalidate { if_unreachable: Unreachable::Serve };
        match error {
            // With credentials, only a valid grant is enough: the upstream was not asked, and a client that
            // has lost access could cause a lack of permits.
            PullError::Overloaded
                if record.is_some_and(|record| self.grants.must_ask(repository, &record.digest)) =>
            {
                false
            }
            error if error.is_outage() => outlives_outage,
            // The switch was used while the upstream was asked.
            PullError::Offline => true,
            PullError::DigestMismatch { .. } => outlives_outage,
            PullError::NotFound { .. } => self.shared.settings.tags.on_upstream_404 == Upstream404::Serve,
            _ => false,
        }
    }

    /// The error when no stored manifest may be served. A tag that the upstream says is gone is forgotten, so
    /// that a later outage does not bring it back; with grants for each repository, a refused one is too.
    async fn refuse(
        &self,
        repository: &Repository,
        tag: &Tag,
        record: Option<&TagRecord>,
        failed: Failed,
    ) -> PullError {
        let Failed { error, asked_at } = failed;
        let is_final = match &error {
            PullError::NotFound { .. } => true,
            PullError::Denied { .. } => self.shared.settings.links,
            _ => false,
        };
        if is_final
            && !self.shared.settings.passthrough
            && record.is_some()
            && let Some(asked_at) = asked_at
        {
            self.words.forget(repository, tag, asked_at).await;
        }
        error
    }
}

fn named(digest: &Digest, manifest: &HeldManifest) -> Named {
    Named { digest: digest.clone(), media_type: manifest.media_type().clone(), size: manifest.size() }
}

/// Clients probe some tags for signatures during pulls of stored images. During an outage, an error would
/// fail those pulls; an absence does not, and verifiers fail closed on it.
fn absent_if_referrers(tag: &Tag, error: PullError) -> PullError {
    if error.is_outage_or_offline() && is_referrers_tag(tag) {
        let text = format!("{tag} is not stored here, and {error}");
        return PullError::NotFound { detail: Detail::quoting(text, error) };
    }
    error
}

/// The referrers tag schema (distribution-spec, "Referrers Tag Schema"), also with the suffixes of signing
/// tools.
fn is_referrers_tag(tag: &Tag) -> bool {
    let hex = tag.as_str().strip_prefix("sha256-").unwrap_or_default();
    let hex = hex.split('.').next().unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}
