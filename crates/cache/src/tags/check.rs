//! Asks the upstream which manifest a tag names.

use oci::{Digest, MediaType, Reference, Repository, Tag};
use policy::head_trust::Stakes;
use storage::VerifiedManifest;
use upstream::{Described, ManifestHead};

use crate::asker::Asking;
use crate::error::PullError;
use crate::manifests::describe;
use crate::manifests::fetch::ManifestFetcher;

/// The upstream's answer: the manifest that a tag names.
#[derive(Clone, Debug)]
pub(super) struct TagCheck {
    pub(super) digest: Digest,
    /// The manifest itself, when it had to be fetched to learn the digest.
    pub(super) manifest: Option<(MediaType, VerifiedManifest)>,
    /// The media type and the size in bytes, if a HEAD's response had both.
    pub(super) described: Option<(MediaType, u64)>,
    /// Whether it is the word of another than the upstream's first address.
    pub(super) is_stand_in: bool,
}

/// Asks by HEAD. If that proves nothing or lacks the digest, a GET decides, and the digest is computed.
///
/// # Errors
/// See [`PullError`].
pub(super) async fn check(
    asking: &Asking,
    fetcher: &ManifestFetcher,
    repository: &Repository,
    tag: Tag,
    stakes: Stakes,
) -> Result<TagCheck, PullError> {
    let reference = Reference::Tag(tag);
    fetcher.refuse_suspect(repository, &reference)?;
    let body = match asking.upstream().head_manifest(repository, &reference, stakes).await? {
        Described::Head(head) => match from_head(head) {
            Some(check) => return Ok(check),
            None => asking.upstream().get_manifest(repository, &reference).await?,
        },
        Described::Whole(body) => body,
    };
    let is_stand_in = body.sent_by.is_stand_in();
    let (media_type, verified) = fetcher.take(asking, repository, &reference, body).await?;
    Ok(TagCheck { is_stand_in, ..from_manifest(media_type, verified) })
}

fn from_head(head: ManifestHead) -> Option<TagCheck> {
    let described = describe(head.media_type, head.size);
    let is_stand_in = head.sent_by.is_stand_in();
    Some(TagCheck { digest: head.digest?, manifest: None, described, is_stand_in })
}

/// The digest is computed from the bytes.
fn from_manifest(media_type: MediaType, verified: VerifiedManifest) -> TagCheck {
    let described = Some((media_type.clone(), verified.bytes().len() as u64));
    let digest = verified.digest().clone();
    TagCheck { digest, manifest: Some((media_type, verified)), described, is_stand_in: false }
}
