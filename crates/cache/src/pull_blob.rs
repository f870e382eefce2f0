//! Pulling a blob: from the store, along a fill, or past a store that fails.

use std::sync::Arc;

use oci::{ByteRange, Digest, RangeRequest, Repository};
use policy::head_trust::Stakes;
use storage::OpenBlob;

use crate::answer::{BlobAnswer, Keeping, Want};
use crate::backend::{Asked, Backend};
use crate::blob_reader::BlobReader;
use crate::error::PullError;
use crate::fill::reader::Wanted;
use crate::fill::table::Boarding;
use crate::fill::transfer::{First, Transfer};
use crate::fill::{Fill, passing, reader};
use crate::outcome::Outcome;
use crate::waiting::Waiting;

/// After so many wrong bodies within a minute a digest is left alone for that minute.
const MISMATCH_COUNT_MAX: u32 = 2;

/// A larger stored blob is described by its file's length, unhashed: what is wrong with it shows when it is read.
const DESCRIBE_UNHASHED_BYTES_MIN: u64 = 256 << 20;

/// So many fills for other repositories may be refused before a caller takes their refusal for its own.
const REFUSED_JOIN_COUNT_MAX: u32 = 8;

// An answer's future is moved around before it is polled. What a hit does without is boxed, here and for manifests,
// so that a hit does not pay for a miss's size.
impl Backend {
    /// Pulls a blob or a range of it. A HEAD downloads nothing; a GET that misses starts a fill, and answers
    /// with the first byte, or some seconds after the size is known (for a small blob: as soon as it is verified).
    ///
    /// # Errors
    /// See [`PullError`]; after an answer the body can still fail, and must then not be ended cleanly.
    pub async fn pull_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: Option<RangeRequest>,
        want: Want,
    ) -> Result<BlobAnswer, PullError> {
        match self.blobs.open(digest).await {
            Ok(Some(blob)) => {
                self.prove_link(repository, digest).await?;
                if want == Want::Get && !self.verified.is_known(digest, &blob) {
                    // It is held, and only to be hashed: the upstream is not needed.
                    return Box::pin(self.fetch_blob(repository, digest, range.as_ref(), None)).await;
                }
                if want == Want::Get || Box::pin(self.may_describe(repository, digest, &blob)).await {
                    let (size, partial) = (blob.size(), range.is_some());
                    let range = resolve(range.as_ref(), size)?;
                    let body = (want == Want::Get).then(|| BlobReader::stored(blob, range));
                    return Ok(BlobAnswer {
                        size: Some(size),
                        range,
                        partial,
                        body,
                        keeping: None,
                        outcome: Outcome::Hit,
                    });
                }
            }
            Ok(None) => {}
            Err(error) => self.store_failed(&error),
        }
        if self.settings.tags.offline {
            return Err(self.offline());
        }
        let key = Asked::Blob(repository.clone(), digest.clone());
        if let Some(no) = self.refused.get(&key) {
            return Err(no);
        }
        if self.suspects.get(digest).is_some_and(|count| count >= MISMATCH_COUNT_MAX) {
            let detail = format!("the upstream keeps sending other bytes than {digest}");
            return Err(PullError::DigestMismatch { detail });
        }
        let answer = match want {
            Want::Head => Box::pin(self.describe_blob(repository, digest, range.as_ref())).await,
            Want::Get => {
                let waiting = self.wait()?;
                Box::pin(self.fetch_blob(repository, digest, range.as_ref(), Some(waiting))).await
            }
        };
        self.remember_no(key, &answer);
        answer
    }

    /// Whether a stored blob's size may be told: it is hashed first, once for all who ask, unless that takes long.
    async fn may_describe(&self, repository: &Repository, digest: &Digest, blob: &OpenBlob) -> bool {
        blob.size() > DESCRIBE_UNHASHED_BYTES_MIN || self.is_hashed_in_time(repository, digest, blob).await
    }

    /// Whether a stored blob is known to be right. One that can be hashed soon is, once for all who ask.
    pub(crate) async fn is_hashed_in_time(
        &self,
        repository: &Repository,
        digest: &Digest,
        blob: &OpenBlob,
    ) -> bool {
        if self.verified.is_known(digest, blob) {
            return true;
        }
        if blob.size() > DESCRIBE_UNHASHED_BYTES_MIN {
            return false;
        }
        let (transfer, blob) = (self.transfer(repository, digest), blob.clone());
        let check = || async move { Ok(transfer.check_held(&blob).await) };
        self.hash_flights.join_or_start(digest.clone(), check).await.0.unwrap_or(false)
    }

    /// `waiting` is none when the blob is held, so that the upstream is not needed.
    async fn fetch_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
        waiting: Option<Waiting>,
    ) -> Result<BlobAnswer, PullError> {
        let transfer = self.transfer(repository, digest);
        let (Boarding { fill, seat, joined }, size) = self.board(&transfer, First::of(range)).await?;
        if fill.is_held() || fill.repository() != repository {
            self.prove_link(repository, digest).await?;
        }
        let resolved = resolve(range, size)?;
        if !fill.has_all_from(resolved.start) {
            return self.pass_blob(transfer, range, waiting).await;
        }
        seat.hold(waiting);
        if joined && !fill.is_held() {
            self.metrics.joined();
        }
        let outcome = match joined {
            _ if fill.is_relaying() => {
                self.metrics.bypassed("store_failed");
                Outcome::Bypass
            }
            _ if fill.is_held() => Outcome::Hit,
            true => Outcome::Join,
            false => Outcome::Miss,
        };
        let is_closed = !matches!(range, None | Some(RangeRequest::From { last: None, .. }));
        let wanted = Wanted { range: resolved, size, is_closed };
        let body = reader::follow(&fill, seat, transfer, wanted).await.map_err(|error| match error {
            // Refused in the middle of a transfer for another repository: that says nothing about this one.
            PullError::NotFound { detail }
            | PullError::Denied { detail }
            | PullError::Unconfirmed { detail, .. }
                if fill.repository() != repository =>
            {
                PullError::unavailable(detail)
            }
            error => error,
        })?;
        let keeping = matches!(outcome, Outcome::Miss | Outcome::Join).then(|| Keeping::new(fill.loss()));
        let (size, partial, body) = (Some(size), range.is_some(), Some(body));
        Ok(BlobAnswer { size, range: resolved, partial, body, keeping, outcome })
    }

    /// Joins the fill for the transfer's digest or starts it, and waits until an answer can be given. What the
    /// upstream refuses another repository says nothing about this one: then it is asked again.
    async fn board(
        &self,
        transfer: &Arc<Transfer>,
        first: Option<First>,
    ) -> Result<(Boarding, u64), PullError> {
        let mut patience = REFUSED_JOIN_COUNT_MAX;
        loop {
            let start = |writer| Transfer::clone(transfer).spawn(writer, first);
            let boarding = self.fills.join_or_start(&transfer.digest, &transfer.repository, start);
            if let Some(first) = first.filter(|_| boarding.joined && boarding.fill.size().is_none()) {
                transfer.clone().spawn_first(&boarding.fill, first);
            }
            let ready = boarding.fill.ready(self.settings.verify_first_bytes_max).await;
            let is_anothers = boarding.fill.repository() != &transfer.repository;
            match ready {
                Err(
                    PullError::NotFound { .. } | PullError::Denied { .. } | PullError::Unconfirmed { .. },
                ) if is_anothers && patience > 0 => patience -= 1,
                ready => return ready.map(|size| (boarding, size)),
            }
        }
    }

    /// The store fails and the transfer under way has moved past what this client needs.
    async fn pass_blob(
        &self,
        transfer: Arc<Transfer>,
        range: Option<&RangeRequest>,
        waiting: Option<Waiting>,
    ) -> Result<BlobAnswer, PullError> {
        let place = self.take_place()?;
        self.metrics.bypassed("store_failed");
        let from = match range {
            Some(RangeRequest::From { start, .. }) => *start,
            _ => 0,
        };
        let passage = passing::pass(transfer, waiting, place, from, |size| resolve(range, size)).await?;
        Ok(BlobAnswer {
            size: Some(passage.size),
            range: passage.range,
            partial: range.is_some(),
            body: Some(passage.reader),
            keeping: None,
            outcome: Outcome::Bypass,
        })
    }

    async fn describe_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
    ) -> Result<BlobAnswer, PullError> {
        let known = self.fills.get(digest).and_then(|fill| Fill::size(&fill));
        let (size, outcome) = match known {
            Some(size) => {
                self.prove_link(repository, digest).await?;
                (Some(size), Outcome::Join)
            }
            None => {
                let _waiting = self.wait()?;
                let key = (repository.clone(), digest.clone());
                let ask = || {
                    let (upstream, place) = (self.upstream.clone(), self.take_place());
                    let (repository, digest) = key.clone();
                    async move {
                        let _place = place?;
                        let head = upstream.head_blob(&repository, &digest, Stakes::Nothing).await;
                        head.map(|head| head.size).map_err(|error| PullError::from(&error))
                    }
                };
                let (size, joined) = self.size_flights.join_or_start(key.clone(), ask).await;
                let named = || self.manifests.sizes.get(&(repository.clone(), digest.clone()));
                (size?.or_else(named), if joined { Outcome::Join } else { Outcome::Miss })
            }
        };
        // The upstream has it, which is what a HEAD asks. Only fetching it would tell its size.
        let (resolved, partial) = match size {
            Some(size) => (resolve(range, size)?, range.is_some()),
            None => (ByteRange { start: 0, end: 0 }, false),
        };
        Ok(BlobAnswer { size, range: resolved, partial, body: None, keeping: None, outcome })
    }
}

fn resolve(range: Option<&RangeRequest>, size: u64) -> Result<ByteRange, PullError> {
    match range {
        None => Ok(ByteRange { start: 0, end: size }),
        Some(range) => range.resolve(size).ok_or(PullError::RangeNotSatisfiable { size }),
    }
}
