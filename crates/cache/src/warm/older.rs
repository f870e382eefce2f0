//! The older image that a tag names while its new one is fetched.

use inventory::{Survey, SurveyedBlob};
use oci::{Digest, Platforms, Reference, Repository};

use super::error::WarmError;
use crate::backend::Backend;

/// The most platforms of an image that are looked at. Public images have some dozen.
const PLATFORM_COUNT_MAX: usize = 64;

/// An older image that a client can pull from the store.
#[derive(Clone, Debug)]
pub(super) struct Older {
    pub(super) digest: Digest,
    /// The platforms for which it is whole.
    pub(super) platforms: Platforms,
    /// Its held blobs.
    pub(super) blobs: Vec<SurveyedBlob>,
}

impl Backend {
    /// The image with this digest, if it is whole for a platform at the least.
    ///
    /// # Errors
    /// [`WarmError::NotStored`]: the store cannot be read.
    pub(super) async fn older(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Older>, WarmError> {
        let reference = Reference::Digest(digest.clone());
        let all = self.verify(repository, &reference, &Platforms::All).await?;
        let Survey { offered, mut blobs, .. } = all.survey;
        blobs.retain(|blob| blob.is_held);
        let older = |platforms| Older { digest: digest.clone(), platforms, blobs };
        if offered.is_empty() {
            return Ok(all.missing.is_empty().then(|| older(Platforms::All)));
        }
        let mut held = Vec::new();
        for platform in offered.into_iter().take(PLATFORM_COUNT_MAX) {
            let one = Platforms::Some(vec![platform.clone()]);
            if self.verify(repository, &reference, &one).await?.missing.is_empty() {
                held.push(platform);
            }
        }
        Ok((!held.is_empty()).then(|| older(Platforms::Some(held))))
    }
}
