//! Refreshes: a tag that has moved upstream moves here too, whatever its time to live, when its new image is
//! whole for the platforms for which the older one is.

use std::error::Error;
use std::fmt;

use oci::{Digest, Repository, Tag};

use super::bringing::{Bringing, WarmProgress};
use super::error::WarmError;
use crate::answer::Refreshed;
use crate::backend::Backend;
use crate::error::PullError;
use crate::warm_room::KeptBlobs;

/// The reasons why a tag was not refreshed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshError {
    /// The upstream could not say which manifest it names, or did not send that manifest.
    Pull(PullError),
    /// The tag has moved, but its new image is not whole here. It still names the image before, which is.
    NotWhole {
        /// The digest that it names here.
        was: Digest,
        /// The digest that it names upstream.
        is: Digest,
        /// Why the new image is not whole.
        why: WarmError,
    },
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull(error) => error.fmt(f),
            Self::NotWhole { was, is, why } => {
                write!(f, "it names {is} upstream, of which not everything is here: {why}; it stays {was}")
            }
        }
    }
}

impl Error for RefreshError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Pull(error) => error.source(),
            Self::NotWhole { why, .. } => why.source(),
        }
    }
}

impl Backend {
    /// Asks the upstream which manifest a known tag names, whatever its time to live. If the tag has moved
    /// from an image that a client can pull from the store, fetches the new image for the same platforms,
    /// and moves the tag when it is whole. Otherwise stores the manifest and moves the tag at once. This is
    /// no use of the image. `None`: the tag is not known here, and the upstream is not asked.
    ///
    /// # Errors
    /// [`RefreshError`]. The stored manifest is not given up, but for a refusal that a pull would obey too.
    pub async fn refresh(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<Refreshed>, RefreshError> {
        let asked = self.tags.refresh(repository, tag).await.map_err(RefreshError::Pull)?;
        let Some((refreshed, held_back)) = asked else { return Ok(None) };
        let (Some(word), Refreshed::Moved { from, to }) = (held_back, &refreshed) else {
            return Ok(Some(refreshed));
        };
        let not_whole = |why| RefreshError::NotWhole { was: from.clone(), is: to.clone(), why };
        if let Some(older) = self.older(repository, from).await.map_err(not_whole)? {
            let (kept, progress) = (KeptBlobs::default(), WarmProgress::default());
            let mut bringing = Bringing::new(self, repository, &older.platforms, &kept, &progress);
            let brought = bringing.bring(to, Some(&older)).await.map_err(not_whole)?;
            word.confirm().await;
            drop(brought);
        } else {
            word.confirm().await;
        }
        Ok(Some(refreshed))
    }
}
