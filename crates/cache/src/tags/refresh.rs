//! Refreshes: the upstream is asked about a tag whatever its time to live.

use oci::{Repository, Tag};
use policy::freshness::{self, Upstream404};

use super::Tags;
use super::pulled::{HeldBackWord, Moves, Pulled};
use crate::answer::{Refreshed, Want};
use crate::error::PullError;

impl Tags {
    /// Asks the upstream which manifest a known tag names, whatever its time to live, and stores it. A tag
    /// that has moved still names the manifest before until the word is confirmed.
    /// `None`: the tag is not known here, and the upstream is not asked.
    ///
    /// # Errors
    /// See [`PullError`]. The stored manifest is not given up, but for a refusal that a pull would obey too.
    pub(crate) async fn refresh(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<(Refreshed, Option<HeldBackWord>)>, PullError> {
        let Some(record) = self.words.record(repository, tag).await else { return Ok(None) };
        let rule = self.shared.tag_rule(repository, tag);
        let plan = freshness::plan_tag(Some(&record), &rule, self.shared.now());
        let asking = self.ask(repository, tag, Some((&record, plan)), (Want::Get, Moves::WhenConfirmed));
        let failed = match Box::pin(asking).await {
            Ok(Pulled { answer, held_back }) if answer.digest != record.digest => {
                let moved = Refreshed::Moved { from: record.digest, to: answer.digest };
                return Ok(Some((moved, held_back)));
            }
            Ok(_) => return Ok(Some((Refreshed::Unchanged { digest: record.digest }, None))),
            Err(failed) => failed,
        };
        let error = failed.error.clone();
        let is_gone = matches!(error, PullError::NotFound { .. });
        if is_gone && self.shared.settings.tags.on_upstream_404 == Upstream404::Serve {
            return Ok(Some((Refreshed::Gone { was: record.digest, is_kept: true }, None)));
        }
        self.refuse(repository, tag, Some(&record), failed).await;
        let gone = Refreshed::Gone { was: record.digest, is_kept: false };
        if is_gone { Ok(Some((gone, None))) } else { Err(error) }
    }
}
