//! Tags and referrers: the upstream's word, passed through. The last word is stored, for the time when the upstream
//! cannot be asked.

use std::time::Duration;

use oci::{Digest, Page, Repository};
use policy::freshness;
use storage::{RecordStore, StoreError, StoredList};
use upstream::ListRequest;

use crate::answer::ListAnswer;
use crate::backend::Backend;
use crate::error::PullError;
use crate::outcome::Outcome;

/// A stored page that says the same and is younger than this is not written again.
const LIST_AGE_MAX: Duration = Duration::from_secs(3600);

impl Backend {
    /// The tags of a repository, from the upstream. While it cannot be asked, the last answer stands in, marked as
    /// stale; without one, the failure is the answer, because a list says what is absent too.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn tags(&self, repository: &Repository, page: &Page) -> Result<ListAnswer, PullError> {
        let request = ListRequest::Tags { repository: repository.clone(), page: page.clone() };
        self.list(repository, request).await
    }

    /// The referrers of a digest (distribution-spec, "Listing Referrers"). While the upstream cannot be asked, the
    /// last answer stands in, marked as stale; without one it is a not-found, which no client takes for a failed
    /// pull.
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
        let request = ListRequest::Referrers {
            repository: repository.clone(),
            digest: digest.clone(),
            artifact_type: artifact_type.map(str::to_owned),
            page: page.clone(),
        };
        self.list(repository, request).await.map_err(|error| match error {
            // The status as it came, which is a no to every client.
            PullError::Unconfirmed { .. } => error,
            error if error.is_outage() || error == PullError::Offline => {
                PullError::NotFound { detail: format!("referrers are not held here, and {error}") }
            }
            error => error,
        })
    }

    async fn list(&self, repository: &Repository, request: ListRequest) -> Result<ListAnswer, PullError> {
        let key = key_of(&request);
        let error = match Box::pin(self.list_upstream(repository, &key, request)).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if error.is_outage() || error == PullError::Offline {
            if let Some(seen) = self.stale_list(repository, &key).await? {
                self.metrics.stale(error.reason());
                return Ok(seen);
            }
        } else if error.is_definite_no()
            && let Err(failure) = self.records.remove_list(repository, &key).await
        {
            self.store_failed(&failure);
        }
        Err(error)
    }

    /// Asks the upstream once for all who ask the same at the same time, and stores what it says.
    async fn list_upstream(
        &self,
        repository: &Repository,
        key: &str,
        request: ListRequest,
    ) -> Result<ListAnswer, PullError> {
        if self.settings.tags.offline {
            return Err(self.offline());
        }
        let _waiting = self.wait()?;
        let flight_key = (repository.clone(), key.to_owned());
        let ask = || {
            let (upstream, records, metrics) =
                (self.upstream.clone(), self.records.clone(), self.metrics.clone());
            let (place, (repository, key)) = (self.take_place(), flight_key.clone());
            let wall_clock = self.settings.wall_clock;
            async move {
                let _place = place?;
                let page = upstream.list(&request).await.map_err(|error| PullError::from(&error))?;
                let media_type =
                    page.media_type.map_or_else(|| "application/json".to_owned(), |it| it.to_string());
                let list = StoredList {
                    bytes: page.bytes,
                    media_type,
                    next: page.next,
                    filters_applied: page.filters_applied,
                    seen_at: wall_clock(),
                };
                if let Err(error) = keep_list(&*records, &repository, &key, &list).await {
                    metrics.store_failed(error.call());
                    tracing::warn!(%repository, %error, "store failed; passing through");
                }
                Ok(list)
            }
        };
        let flight = self.list_flights.join_or_start(flight_key.clone(), ask);
        let asked = async {
            let (listed, joined) = flight.await;
            Ok(answer(listed?, if joined { Outcome::Join } else { Outcome::Miss }, None))
        };
        self.within_deadline(asked).await
    }

    /// The stored page, as long as a stored tag of its age would stand in for the upstream.
    ///
    /// # Errors
    /// [`PullError::Overloaded`] when there is no memory left for it: that is no absence.
    async fn stale_list(&self, repository: &Repository, key: &str) -> Result<Option<ListAnswer>, PullError> {
        let stored = self.records.list(repository, key).await.unwrap_or_else(|error| {
            self.store_failed(&error);
            None
        });
        let Some(mut stored) = stored else { return Ok(None) };
        let age = (self.settings.wall_clock)().duration_since(stored.seen_at).unwrap_or_default();
        if !freshness::may_stand_in(age, &self.settings.tags) {
            return Ok(None);
        }
        let share = self.memory.lists.take(stored.bytes.len() as u64).ok_or(PullError::Overloaded)?;
        stored.bytes = share.attach(stored.bytes);
        Ok(Some(answer(stored, Outcome::Stale, Some(age))))
    }
}

/// Writes a page. The disk is written only when that is news, or when what is there has grown old.
async fn keep_list(
    records: &dyn RecordStore,
    repository: &Repository,
    key: &str,
    list: &StoredList,
) -> Result<(), StoreError> {
    if let Ok(Some(held)) = records.list(repository, key).await {
        let age = list.seen_at.duration_since(held.seen_at);
        let says_the_same = StoredList { seen_at: list.seen_at, ..held } == *list;
        if says_the_same && age.is_ok_and(|age| age < LIST_AGE_MAX) {
            return Ok(());
        }
    }
    records.put_list(repository, key, list).await
}

/// What a page is stored under: the same for the same question.
fn key_of(request: &ListRequest) -> String {
    let (what, page) = match request {
        ListRequest::Tags { page, .. } => ("tags".to_owned(), page),
        ListRequest::Referrers { digest, artifact_type, page, .. } => {
            (format!("referrers {digest} {artifact_type:?}"), page)
        }
    };
    format!("{what} n={:?} last={:?} cursor={:?}", page.n, page.last, page.cursor)
}

fn answer(list: StoredList, outcome: Outcome, age: Option<Duration>) -> ListAnswer {
    let StoredList { bytes, media_type, next, filters_applied, .. } = list;
    ListAnswer { bytes, media_type, next, filters_applied, outcome, age }
}
