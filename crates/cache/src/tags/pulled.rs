//! A pulled tag whose move to another manifest may be held back.

use std::sync::Arc;

use oci::Digest;

use super::held_back::HeldBackState;
use super::words::{AskedAt, Key, Named, TagWords};
use crate::answer::ManifestAnswer;

/// When a tag that has moved upstream moves here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moves {
    /// As soon as the manifest is stored.
    AtOnce,
    /// When the caller confirms the word that it gets.
    WhenConfirmed,
}

/// A pulled manifest, and the word that the tag names it, if that was held back.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) answer: ManifestAnswer,
    pub(crate) held_back: Option<HeldBackWord>,
}

impl From<ManifestAnswer> for Pulled {
    fn from(answer: ManifestAnswer) -> Self {
        Self { answer, held_back: None }
    }
}

/// The upstream's word that a tag names another manifest than its record does. Dropping it leaves the record
/// as it is.
#[derive(Debug)]
pub(crate) struct HeldBackWord {
    words: Arc<TagWords>,
    key: Key,
    named: Named,
    was: Digest,
    state: Arc<HeldBackState>,
}

impl HeldBackWord {
    /// `was` is the digest in the tag's record.
    pub(in crate::tags) fn new(
        words: &Arc<TagWords>,
        key: Key,
        asked_at: AskedAt,
        named: Named,
        was: Digest,
    ) -> Self {
        let state = words.held_back().add(&key, asked_at);
        Self { words: Arc::clone(words), key, named, was, state }
    }

    /// The digest that the tag's record named when the upstream was asked.
    pub(crate) fn was(&self) -> &Digest {
        &self.was
    }

    /// Records the word, unless a newer one was recorded since.
    pub(crate) async fn confirm(self) {
        if !self.state.is_outdated() {
            let (repository, tag) = &self.key;
            self.words.confirm(repository, tag, self.state.asked_at(), &self.named).await;
        }
    }
}

impl Drop for HeldBackWord {
    fn drop(&mut self) {
        self.words.held_back().remove(&self.key, &self.state);
    }
}
