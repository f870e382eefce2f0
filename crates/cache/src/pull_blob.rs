//! The ways to pull a blob: from the store, from the store while it is hashed, from a fill, or past a failing
//! store.

use std::sync::Arc;

use oci::{ByteRange, Digest, RangeRequest, Repository};
use policy::head_trust::Stakes;
use storage::OpenBlob;
use telemetry::BypassReason;

use crate::answer::{BlobAnswer, Keeping, Want};
use crate::blob_reader::BlobReader;
use crate::blobs::Blobs;
use crate::error::PullError;
use crate::fill::table::{FillWriter, Joined};
use crate::grants::Content;
use crate::outcome::Outcome;
use crate::permits::ClientPermit;
use crate::transfer::Transfer;
use crate::transfer::far::First;
use crate::transfer::follow::{self, Wanted};
use crate::transfer::passing;

/// A larger stored blob is described by its file's length without hashing it: damage is found when it is
/// read.
pub(crate) const DESCRIBE_UNHASHED_BYTES_MIN: u64 = 256 << 20;

/// After a caller has joined this number of fills that were refused under other grants, it returns their
/// refusal.
const REFUSED_JOIN_COUNT_MAX: u32 = 8;

/// After this number of fills with wrong bytes, a caller asks no further address of the upstream.
const WRONG_FILL_COUNT_MAX: u32 = 8;

// A response's future is moved before it is polled. The futures that a hit does not need are boxed, here and
// for manifests, so that a hit does not pay for their size.
impl Blobs {
    /// Pulls a blob or a range of it.
    ///
    /// # Errors
    /// See [`PullError`].
    pub(crate) async fn pull(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        range: Option<RangeRequest>,
        want: Want,
    ) -> Result<BlobAnswer, PullError> {
        if let Some(blob) = self.stored.open(digest).await {
            self.grants.prove(Content::Blob, repository, digest).await?;
            if want == Want::Get {
                self.shared.inventory.blob_used(digest);
            }
            if self.stored.is_known(digest, &blob) {
                return answer_stored(blob, range.as_ref(), want);
            }
            let unhashed = Box::pin(self.pull_unhashed(repository, digest, range.as_ref(), want, blob));
            if let Some(answer) = unhashed.await? {
                return Ok(answer);
            }
        }
        Box::pin(self.pull_missing(repository, digest, range.as_ref(), want)).await
    }

    /// Pulls a stored blob that this process has not hashed yet, without the upstream. A small one is hashed
    /// first, a large one while it is served. `None`: its bytes are wrong and none was served, so it counts
    /// as missing.
    async fn pull_unhashed(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
        want: Want,
        blob: OpenBlob,
    ) -> Result<Option<BlobAnswer>, PullError> {
        let is_right = match want {
            Want::Get if blob.size() > self.shared.settings.verify_first_bytes_max => {
                let transfer = self.transfer(repository, digest);
                let start = |writer| transfer.clone().spawn_hashing(writer, blob.clone());
                let (joined, size) = self.join(&transfer, None, start).await?;
                return self.follow(transfer, joined, size, range, None).await.map(Some);
            }
            Want::Head if blob.size() > DESCRIBE_UNHASHED_BYTES_MIN => true,
            Want::Get | Want::Head => self.stored.is_right(digest, &blob).await,
        };
        if is_right { answer_stored(blob, range, want).map(Some) } else { Ok(None) }
    }

    /// Pulls a blob that is not stored.
    async fn pull_missing(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
        want: Want,
    ) -> Result<BlobAnswer, PullError> {
        let key = (repository.clone(), digest.clone());
        self.grants.refused_blobs().check(&key)?;
        self.refuse_suspect(digest)?;
        let answer = match want {
            Want::Head => self.describe(repository, digest, range).await,
            Want::Get => self.fetch(repository, digest, range).await,
        };
        self.grants.refused_blobs().remember(key, &answer);
        answer
    }

    /// Fetches a blob, or follows a fill that already fetches it. If that gets wrong bytes before the client
    /// gets any, and another address of the upstream may have the right ones, it is fetched again.
    async fn fetch(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
    ) -> Result<BlobAnswer, PullError> {
        let mut wrong_count = 0;
        loop {
            match self.fetch_once(repository, digest, range).await {
                Err(PullError::DigestMismatch { has_other_address: true, .. })
                    if wrong_count < WRONG_FILL_COUNT_MAX =>
                {
                    wrong_count += 1;
                }
                fetched => return fetched,
            }
        }
    }

    async fn fetch_once(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
    ) -> Result<BlobAnswer, PullError> {
        let client = self.asker.admit()?;
        let transfer = self.transfer(repository, digest);
        let first = First::of(range);
        let start = |writer| transfer.clone().spawn(writer, first);
        let (joined, size) = self.join(&transfer, first, start).await?;
        self.read_ahead(repository, digest, range);
        // If the blob was stored meanwhile, or is fetched under another grant, this repository needs a grant
        // first.
        if joined.fill.is_stored() || joined.has_other_grant {
            self.grants.prove(Content::Blob, repository, digest).await?;
        }
        self.follow(transfer, joined, size, range, Some(client)).await
    }

    /// Answers from a fill. `client` is kept to the fill's end.
    async fn follow(
        self: &Arc<Self>,
        transfer: Arc<Transfer>,
        joined: Joined,
        size: u64,
        range: Option<&RangeRequest>,
        client: Option<ClientPermit>,
    ) -> Result<BlobAnswer, PullError> {
        let Joined { fill, reader, is_first, has_other_grant } = joined;
        let resolved = resolve(range, size)?;
        if !fill.has_all_from(resolved.start) {
            let reason = fill.bypass().unwrap_or(BypassReason::StoreFailed);
            return self.pass(transfer, range, client, reason).await;
        }
        reader.keep_client(client);
        if !is_first && !fill.is_stored() {
            self.shared.metrics.joined();
        }
        let outcome = match (fill.bypass(), is_first) {
            (Some(reason), _) => {
                self.shared.metrics.bypassed(reason);
                Outcome::Bypass
            }
            _ if fill.is_stored() => Outcome::Hit,
            (None, true) => Outcome::Miss,
            (None, false) => Outcome::Join,
        };
        let is_closed = !matches!(range, None | Some(RangeRequest::From { last: None, .. }));
        let wanted = Wanted { range: resolved, size, is_closed };
        let body = follow::follow(&fill, reader, transfer, wanted).await.map_err(|error| match error {
            // A refusal of another grant says nothing about this one.
            PullError::NotFound { detail }
            | PullError::Denied { detail }
            | PullError::Unconfirmed { detail, .. }
                if has_other_grant =>
            {
                PullError::unavailable(detail)
            }
            error => error,
        })?;
        let keeping = matches!(outcome, Outcome::Miss | Outcome::Join).then(|| Keeping::new(fill.loss()));
        let (size, partial, body) = (Some(size), range.is_some(), Some(body));
        Ok(BlobAnswer { size, range: resolved, partial, body, keeping, outcome })
    }

    /// Joins the fill for the transfer's digest or starts it, and waits until an answer can be given. A
    /// refusal of another grant says nothing about this one, so then the upstream is asked again.
    async fn join(
        &self,
        transfer: &Arc<Transfer>,
        first: Option<First>,
        start: impl Fn(FillWriter),
    ) -> Result<(Joined, u64), PullError> {
        let mut refused_count = 0;
        loop {
            let joined = self.fills.join_or_start(&transfer.digest, &transfer.repository, &start);
            if let Some(first) = first.filter(|_| !joined.is_first && joined.fill.size().is_none()) {
                transfer.clone().spawn_first(&joined.fill, first);
            }
            let ready = joined.fill.ready(self.shared.settings.verify_first_bytes_max).await;
            match ready {
                Err(
                    PullError::NotFound { .. }
                    | PullError::Denied { .. }
                    | PullError::Unconfirmed { .. }
                    // A registry limits each login apart.
                    | PullError::Throttled { .. },
                ) if joined.has_other_grant && refused_count < REFUSED_JOIN_COUNT_MAX => refused_count += 1,
                ready => return ready.map(|size| (joined, size)),
            }
        }
    }

    /// Answers from the upstream directly: the blob is not stored, and the relay has moved past the bytes
    /// that this client needs.
    async fn pass(
        &self,
        transfer: Arc<Transfer>,
        range: Option<&RangeRequest>,
        client: Option<ClientPermit>,
        reason: BypassReason,
    ) -> Result<BlobAnswer, PullError> {
        let asking = self.asker.ask()?;
        self.shared.metrics.bypassed(reason);
        let from = match range {
            Some(RangeRequest::From { start, .. }) => *start,
            _ => 0,
        };
        let passage = passing::pass(transfer, client, asking, from, |size| resolve(range, size)).await?;
        Ok(BlobAnswer {
            size: Some(passage.size),
            range: passage.range,
            partial: range.is_some(),
            body: Some(passage.reader),
            keeping: None,
            outcome: Outcome::Bypass,
        })
    }

    /// Describes a blob that is not stored.
    async fn describe(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
    ) -> Result<BlobAnswer, PullError> {
        // A fill that hashes a stored blob says nothing here: that blob is missing or wrong by now.
        let coming = self.fills.get(digest).filter(|fill| !fill.is_stored());
        let (size, outcome) = match coming.and_then(|fill| fill.size()) {
            Some(size) => {
                self.grants.prove(Content::Blob, repository, digest).await?;
                (Some(size), Outcome::Join)
            }
            None => self.ask_size(repository, digest).await?,
        };
        // Without a size, the HEAD still says that the upstream has the blob. Only a fetch would tell its
        // size.
        let (resolved, partial) = match size {
            Some(size) => (resolve(range, size)?, range.is_some()),
            None => (ByteRange { start: 0, end: 0 }, false),
        };
        Ok(BlobAnswer { size, range: resolved, partial, body: None, keeping: None, outcome })
    }

    /// The blob's size from one HEAD for all concurrent callers, otherwise from a manifest.
    async fn ask_size(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(Option<u64>, Outcome), PullError> {
        let _client = self.asker.admit()?;
        let ask = || {
            let (asking, repository, digest) = (self.asker.ask(), repository.clone(), digest.clone());
            async move { Ok(asking?.upstream().head_blob(&repository, &digest, Stakes::Nothing).await?.size) }
        };
        let key = (repository.clone(), digest.clone());
        let (size, joined) = self.size_flights.join_or_start(key, ask).await;
        let size = size?.or_else(|| self.named.size(repository, digest));
        Ok((size, if joined { Outcome::Join } else { Outcome::Miss }))
    }

    pub(crate) fn transfer(self: &Arc<Self>, repository: &Repository, digest: &Digest) -> Arc<Transfer> {
        let blobs = Arc::clone(self);
        Arc::new(Transfer { blobs, repository: repository.clone(), digest: digest.clone() })
    }
}

/// The answer with a verified stored blob, or with its description.
fn answer_stored(blob: OpenBlob, range: Option<&RangeRequest>, want: Want) -> Result<BlobAnswer, PullError> {
    let (size, partial) = (blob.size(), range.is_some());
    let range = resolve(range, size)?;
    let body = (want == Want::Get).then(|| BlobReader::stored(blob, range));
    Ok(BlobAnswer { size: Some(size), range, partial, body, keeping: None, outcome: Outcome::Hit })
}

fn resolve(range: Option<&RangeRequest>, size: u64) -> Result<ByteRange, PullError> {
    match range {
        None => Ok(ByteRange { start: 0, end: size }),
        Some(range) => range.resolve(size).ok_or(PullError::RangeNotSatisfiable { size }),
    }
}
