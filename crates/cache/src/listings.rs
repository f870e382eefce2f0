//! Lists of tags and referrers, passed through from the upstream and stored for outages, and the catalog of
//! stored repositories.

use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Page, Repository};
use policy::freshness;
use storage::{StoreError, StoredList};
use upstream::{ListPage, ListRequest};

use crate::answer::{CatalogAnswer, ListAnswer};
use crate::asker::Asker;
use crate::detail::Detail;
use crate::error::PullError;
use crate::flight::Flights;
use crate::outcome::Outcome;
use crate::shared::Shared;

/// A stored page with the same content that is younger than this is not written again.
const LIST_AGE_MAX: Duration = Duration::from_secs(3600);

/// The overhead of a name in the response to `_catalog`, in bytes, with its share of the text around all
/// names.
const NAME_BYTES: usize = 32;

/// The page size of `_catalog` if the client names none.
const PAGE_COUNT_DEFAULT: usize = 1000;

/// The lists of one registry.
#[derive(Debug)]
pub(crate) struct Listings {
    shared: Arc<Shared>,
    asker: Arc<Asker>,
    flights: Flights<(Repository, String), StoredList>,
}

impl Listings {
    pub(crate) fn new(shared: Arc<Shared>, asker: Arc<Asker>) -> Self {
        Self { flights: shared.flights(), shared, asker }
    }

    /// The lists of one client.
    pub(crate) fn of_client(shared: Arc<Shared>, asker: Arc<Asker>) -> Self {
        Self { flights: shared.flights_of_client(), shared, asker }
    }

    /// Lists the repositories with stored content; `None`: the listing is turned off.
    ///
    /// # Errors
    /// [`PullError::Store`] when the store cannot be listed; [`PullError::Overloaded`] when no memory is left
    /// for the list.
    pub(crate) async fn catalog(&self, page: &Page) -> Result<Option<CatalogAnswer>, PullError> {
        if !self.shared.settings.catalog {
            return Ok(None);
        }
        let count = page.n.map_or(PAGE_COUNT_DEFAULT, |n| n as usize);
        let listed = self.shared.records.repositories(page.last.as_deref(), count + 1).await;
        let mut repositories = listed.map_err(|error| PullError::from(&error))?;
        let more = repositories.len() > count;
        repositories.truncate(count);
        let bytes: usize = repositories.iter().map(|name| name.as_str().len() + NAME_BYTES).sum();
        let memory = self.shared.memory.lists.take(bytes as u64).ok_or(PullError::Overloaded)?;
        Ok(Some(CatalogAnswer { repositories, more, memory }))
    }

    /// The tags of a repository, from the upstream. While the upstream is unavailable, returns the last
    /// stored page, marked as stale; without one, the error, because a list also says what is absent.
    ///
    /// # Errors
    /// See [`PullError`].
    pub(crate) async fn tags(&self, repository: &Repository, page: &Page) -> Result<ListAnswer, PullError> {
        let request = ListRequest::Tags { repository: repository.clone(), page: page.clone() };
        self.list(repository, request).await
    }

    /// The referrers of a digest (distribution-spec, "Listing Referrers"). While the upstream cannot be
    /// asked, the last answer stands in, marked as stale; without one it is a not-found, which no client
    /// takes for a failed pull.
    ///
    /// # Errors
    /// See [`PullError`].
    pub(crate) async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
        artifact_type: Option<&str>,
        page: &Page,
    ) -> Result<ListAnswer, PullError> {
        let asked = self.ask_for_referrers(repository, digest, artifact_type, page).await;
        asked.map_err(|error| match error {
            // The status is passed on, and every client treats it as a refusal.
            PullError::Unconfirmed { .. } => error,
            error if error.is_outage_or_offline() => {
                let text = format!("referrers are not stored here, and {error}");
                PullError::NotFound { detail: Detail::quoting(text, error) }
            }
            error => error,
        })
    }

    /// As [`referrers`](Self::referrers), but an outage without a stored page is one.
    ///
    /// # Errors
    /// See [`PullError`].
    pub(crate) async fn ask_for_referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
        artifact_type: Option<&str>,
        page: &Page,
    ) -> Result<ListAnswer, PullError> {
        let request = |artifact_type: Option<&str>| ListRequest::Referrers {
            repository: repository.clone(),
            digest: digest.clone(),
            artifact_type: artifact_type.map(str::to_owned),
            page: page.clone(),
        };
        let error = match self.list(repository, request(artifact_type)).await {
            Err(error) if error.is_outage_or_offline() && artifact_type.is_some() => error,
            answer => return answer,
        };
        // Without `OCI-Filters-Applied`, the client filters (distribution-spec, "Listing Referrers").
        let unfiltered = self.stale_list(repository, &key_of(&request(None))).await?;
        let Some(unfiltered) = unfiltered else { return Err(error) };
        self.shared.metrics.stale(error.reason());
        Ok(unfiltered)
    }

    async fn list(&self, repository: &Repository, request: ListRequest) -> Result<ListAnswer, PullError> {
        let key = key_of(&request);
        let error = match Box::pin(self.list_upstream(repository, &key, request)).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if error.is_outage_or_offline() {
            if let Some(seen) = self.stale_list(repository, &key).await? {
                self.shared.metrics.stale(error.reason());
                return Ok(seen);
            }
        } else if error.is_definite_no()
            && !self.shared.settings.passthrough
            && let Err(failure) = forget_list(&self.shared, repository, &key).await
        {
            self.shared.store_failed(&failure);
        }
        Err(error)
    }

    /// Asks the upstream, once for all concurrent callers with the same request, and stores the page.
    async fn list_upstream(
        &self,
        repository: &Repository,
        key: &str,
        request: ListRequest,
    ) -> Result<ListAnswer, PullError> {
        let _client = self.asker.admit()?;
        let flight_key = (repository.clone(), key.to_owned());
        let ask = || {
            let (shared, asking) = (self.shared.clone(), self.asker.ask());
            let (repository, key) = flight_key.clone();
            async move {
                let page = asking?.upstream().list(&request).await?;
                if page.sent_by.is_stand_in() {
                    refuse_old_page(&shared, &repository, &key, &page).await?;
                }
                let media_type =
                    page.media_type.map_or_else(|| "application/json".to_owned(), |it| it.to_string());
                let list = StoredList {
                    bytes: page.bytes,
                    media_type,
                    next: page.next,
                    filters_applied: page.filters_applied,
                    seen_at: shared.now(),
                };
                if let Err(error) = keep_list(&shared, &repository, &key, &list).await {
                    shared.store_failed(&error);
                }
                Ok(list)
            }
        };
        let flight = self.flights.join_or_start(flight_key.clone(), ask);
        let asked = async {
            let (listed, joined) = flight.await;
            Ok(answer(listed?, if joined { Outcome::Join } else { Outcome::Miss }, None))
        };
        self.asker.within_deadline(asked).await
    }

    /// The stored page, if a stored tag of its age could be served as stale.
    ///
    /// # Errors
    /// [`PullError::Overloaded`] when no memory is left for it.
    async fn stale_list(&self, repository: &Repository, key: &str) -> Result<Option<ListAnswer>, PullError> {
        let stored = self.shared.records.list(repository, key).await.unwrap_or_else(|error| {
            self.shared.store_failed(&error);
            None
        });
        let Some(mut stored) = stored else { return Ok(None) };
        let age = self.shared.now().duration_since(stored.seen_at).unwrap_or_default();
        if !freshness::may_stand_in(age, &self.shared.rule()) {
            return Ok(None);
        }
        let share = self.shared.memory.lists.take(stored.bytes.len() as u64).ok_or(PullError::Overloaded)?;
        stored.bytes = share.attach(stored.bytes);
        self.shared.inventory.list_used(repository);
        Ok(Some(answer(stored, Outcome::Stale, Some(age))))
    }
}

/// Refuses the page of a stand-in if another one is stored that may be served in an outage: wharf cannot know
/// which of the two is newer, as with tags.
///
/// # Errors
/// [`PullError::UpstreamUnavailable`].
async fn refuse_old_page(
    shared: &Shared,
    repository: &Repository,
    key: &str,
    page: &ListPage,
) -> Result<(), PullError> {
    let Ok(Some(held)) = shared.records.list(repository, key).await else { return Ok(()) };
    let age = shared.now().duration_since(held.seen_at).unwrap_or_default();
    if held.bytes == page.bytes || !freshness::may_stand_in(age, &shared.rule()) {
        return Ok(());
    }
    let text = "the first address of the upstream does not answer, and the list of another one may be older than the \
                stored list";
    Err(PullError::unavailable(text.to_owned()))
}

/// Stores a page if its content is new, or if the stored one is old, and if the store has room.
async fn keep_list(
    shared: &Shared,
    repository: &Repository,
    key: &str,
    list: &StoredList,
) -> Result<(), StoreError> {
    if let Ok(Some(held)) = shared.records.list(repository, key).await {
        let age = list.seen_at.duration_since(held.seen_at);
        let says_the_same = StoredList { seen_at: list.seen_at, ..held } == *list;
        if says_the_same && age.is_ok_and(|age| age < LIST_AGE_MAX) {
            shared.inventory.list_used(repository);
            return Ok(());
        }
    }
    let size = list.bytes.len() as u64;
    if !shared.inventory.fits_list(size) {
        return Ok(());
    }
    let _announced = shared.inventory.announce(size);
    let listing = shared.inventory.listing(repository).await;
    shared.records.put_list(repository, key, list).await?;
    shared.inventory.listed(listing, shared.records.lists(repository).await?.held);
    Ok(())
}

async fn forget_list(shared: &Shared, repository: &Repository, key: &str) -> Result<(), StoreError> {
    let listing = shared.inventory.listing(repository).await;
    shared.records.remove_list(repository, key).await?;
    shared.inventory.listed(listing, shared.records.lists(repository).await?.held);
    Ok(())
}

/// The key of a stored page, derived from its request.
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
