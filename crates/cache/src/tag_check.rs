//! Asking the upstream what a tag names: one HEAD, shared by all who ask at the same time.

use std::time::{Instant, SystemTime};

use oci::{Digest, MediaType, Reference, Repository, Tag};
use policy::head_trust::Stakes;
use storage::VerifiedManifest;
use upstream::{Described, ManifestHead};

use crate::backend::Backend;
use crate::error::PullError;

/// When the upstream was asked. What it says of a later moment is newer, whenever it arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedAt {
    /// Which of two is later: the clock of the wall may be set back in between.
    pub(crate) moment: Instant,
    /// What the record tells the next process.
    pub(crate) time: SystemTime,
}

impl AskedAt {
    fn now(wall_clock: fn() -> SystemTime) -> Self {
        Self { moment: Instant::now(), time: wall_clock() }
    }
}

/// What the upstream says that a tag names.
#[derive(Clone, Debug)]
pub(crate) struct TagCheck {
    pub(crate) digest: Digest,
    pub(crate) asked_at: AskedAt,
    /// The manifest itself, when it had to be fetched to learn the digest.
    pub(crate) manifest: Option<(MediaType, VerifiedManifest)>,
    /// The description, when a HEAD gave all of it.
    pub(crate) described: Option<(MediaType, u64)>,
}

impl Backend {
    /// Asks with one coalesced HEAD. Where that proves nothing or leaves the digest out, a GET decides: the digest is
    /// then computed.
    pub(crate) async fn check_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        stakes: Stakes,
    ) -> Result<TagCheck, PullError> {
        let key = (repository.clone(), tag.clone());
        let check = || {
            let (upstream, manifests) = (self.upstream.clone(), self.manifests.clone());
            let ((repository, tag), place) = (key.clone(), self.take_place());
            let wall_clock = self.settings.wall_clock;
            async move {
                let _place = place?;
                let asked_at = AskedAt::now(wall_clock);
                let reference = Reference::Tag(tag);
                manifests.refuse_suspect(&repository, &reference)?;
                let described = upstream.head_manifest(&repository, &reference, stakes).await;
                let (media_type, verified) = match described.map_err(|error| PullError::from(&error))? {
                    Described::Head(head) => match from_head(head, asked_at) {
                        Some(check) => return Ok(check),
                        None => manifests.fetch(&repository, &reference).await?,
                    },
                    Described::Whole(body) => manifests.take(&repository, &reference, body).await?,
                };
                Ok(from_manifest(media_type, verified, asked_at))
            }
        };
        self.tag_flights.join_or_start(key.clone(), check).await.0
    }
}

/// What a HEAD says of a manifest, if it says all of it: a type that any file has is none.
pub(crate) fn describe(media_type: Option<MediaType>, size: Option<u64>) -> Option<(MediaType, u64)> {
    media_type.filter(MediaType::is_specific).zip(size)
}

fn from_head(head: ManifestHead, asked_at: AskedAt) -> Option<TagCheck> {
    let described = describe(head.media_type, head.size);
    Some(TagCheck { digest: head.digest?, asked_at, manifest: None, described })
}

/// The digest is computed from the bytes.
fn from_manifest(media_type: MediaType, verified: VerifiedManifest, asked_at: AskedAt) -> TagCheck {
    let described = Some((media_type.clone(), verified.bytes().len() as u64));
    let digest = verified.digest().clone();
    TagCheck { digest, asked_at, manifest: Some((media_type, verified)), described }
}
