//! Tags and referrers: the upstream's word, passed through.

use bytes::Bytes;
use oci::{Digest, Page, Repository};
use upstream::ListRequest;

use crate::answer::ListAnswer;
use crate::backend::Backend;
use crate::error::PullError;
use crate::outcome::Outcome;

/// Referrers documents up to this size, in bytes, are kept for an outage.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// What a kept document takes beside its bytes: hashes, allocations.
const ENTRY_BYTES: usize = 256;

/// What a kept document takes of memory.
pub(crate) fn weigh(key: &String, answer: &ListAnswer) -> u64 {
    let headers = [&answer.next, &answer.filters_applied].into_iter().flatten().map(String::len);
    // The key is there twice.
    let names = 2 * key.len() + answer.media_type.len() + headers.sum::<usize>();
    (ENTRY_BYTES + names + answer.bytes.len()) as u64
}

impl Backend {
    /// The tags of a repository, from the upstream; never stale, because a list says what is absent too.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn tags(&self, repository: &Repository, page: &Page) -> Result<ListAnswer, PullError> {
        self.list(ListRequest::Tags { repository: repository.clone(), page: page.clone() }).await
    }

    /// The referrers of a digest (distribution-spec, "Listing Referrers"). During an outage the last
    /// answer stands in; without one it is a not-found, which no client takes for a failed pull.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
        artifact_type: Option<&str>,
        page: &Page,
    ) -> Result<ListAnswer, PullError> {
        let key = format!("{repository}@{digest} {artifact_type:?} {page:?}");
        let listed = self
            .list(ListRequest::Referrers {
                repository: repository.clone(),
                digest: digest.clone(),
                artifact_type: artifact_type.map(str::to_owned),
                page: page.clone(),
            })
            .await;
        match listed {
            Ok(answer) => {
                if answer.bytes.len() <= KEPT_BYTES_MAX {
                    // A copy, because these bytes are counted with the answers under way.
                    let bytes = Bytes::copy_from_slice(&answer.bytes);
                    self.referrers_seen.insert(key, ListAnswer { bytes, ..answer.clone() });
                }
                Ok(answer)
            }
            Err(error) if error.is_outage() || error == PullError::Offline => {
                match self.referrers_seen.get(&key) {
                    Some(seen) => {
                        let share = self.memory.lists.take(seen.bytes.len() as u64);
                        let bytes = share.ok_or(PullError::Overloaded)?.attach(seen.bytes);
                        self.metrics.stale(error.reason());
                        Ok(ListAnswer { bytes, outcome: Outcome::Stale, ..seen })
                    }
                    None => Err(PullError::NotFound {
                        detail: format!("referrers are not held here, and {error}"),
                    }),
                }
            }
            Err(error) => {
                self.referrers_seen.take(&key);
                Err(error)
            }
        }
    }

    async fn list(&self, request: ListRequest) -> Result<ListAnswer, PullError> {
        if self.settings.tags.offline {
            return Err(self.offline());
        }
        let (_waiting, _place) = (self.wait()?, self.take_place()?);
        let ask = async { self.upstream.list(&request).await.map_err(|error| PullError::from(&error)) };
        let page = self.within_deadline(ask).await?;
        let media_type = page.media_type.map_or_else(|| "application/json".to_owned(), |it| it.to_string());
        Ok(ListAnswer {
            bytes: page.bytes,
            media_type,
            next: page.next,
            filters_applied: page.filters_applied,
            outcome: Outcome::Miss,
        })
    }
}
