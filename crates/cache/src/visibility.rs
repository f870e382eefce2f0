//! Keeps private repositories private: a registry with an account, and without rules that say who may pull,
//! serves only what the upstream also gives to requests without a login.
//!
//! It asks the upstream once for each repository, and again after `auth_ttl`. The question is a `HEAD` of the
//! content that the client wants, with a token if the registry demands one, and it fetches no body. Only if
//! the registry says that there is no such content does the list of tags decide.

pub(crate) mod public_table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Page, Reference, Repository};
use policy::head_trust::Stakes;
use policy::visibility::{Answer, Memory, conclude, judge, needs_list};
use tracing::info;
use upstream::{ListRequest, Upstream};

pub(crate) use policy::visibility::Visibility as Verdict;

use crate::asker::{Asker, Asking};
use crate::error::PullError;
use crate::flight::Flights;
use crate::recent::Recent;
use crate::refusals::Refusals;
use crate::shared::Shared;
use public_table::PublicTable;

/// How long a private repository stays refused without a further question. One that becomes public is served
/// after this time.
pub(crate) const PRIVATE_TTL: Duration = Duration::from_secs(60);

/// The most private repositories of one registry that are remembered.
const PRIVATE_COUNT_MAX: usize = 4096;

/// The most repositories of one client that pulls with its own login: as many that it may read, and as many
/// that it may not.
const OF_CLIENT_COUNT_MAX: usize = 256;

/// After this number of answers about other content, a request takes the last one as its own.
const JOIN_COUNT_MAX: u32 = 8;

/// An upstream that gets no login.
#[derive(Clone, Debug)]
pub struct AnonymousUpstream {
    /// The upstream.
    pub upstream: Arc<dyn Upstream>,
    /// Its address: what one upstream gives to everyone says nothing about another one.
    pub address: String,
}

/// The content for which a client needs the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Manifest(Reference),
    Blob(Digest),
    /// A list of tags or of referrers.
    List,
}

/// Decides which repositories of one registry are public.
#[derive(Debug)]
pub(crate) struct Visibility {
    core: Arc<Core>,
    /// Private repositories, with the refusal.
    private: Arc<Recent<Repository, PullError>>,
    /// Content that the registry does not have for requests without a login.
    absent: Refusals<(Repository, Subject)>,
    flights: Flights<Repository, Said>,
}

#[derive(Debug)]
struct Core {
    shared: Arc<Shared>,
    /// Sends requests without a login.
    asker: Arc<Asker>,
    public: Arc<PublicTable>,
    address: String,
    reader: Reader,
}

/// For whom the upstream is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// For all clients, without a login. The answers outlive an outage and a restart.
    Everyone,
    /// For one client, with its login. The answers are valid for their time, and no longer.
    Client,
}

/// The end of one question.
#[derive(Clone, Debug)]
struct Said {
    verdict: Verdict,
    is_served: bool,
    /// The upstream's refusal, or the reason why there is no answer.
    error: Option<PullError>,
}

impl Visibility {
    pub(crate) fn new(
        shared: Arc<Shared>,
        asker: Arc<Asker>,
        public: Arc<PublicTable>,
        address: String,
    ) -> Self {
        public.serve(&address);
        let core = Core { shared, asker, public, address, reader: Reader::Everyone };
        Self {
            private: Arc::new(Recent::new(PRIVATE_TTL, PRIVATE_COUNT_MAX)),
            absent: Refusals::new(core.shared.settings.negative_ttl),
            flights: core.shared.flights(),
            core: Arc::new(core),
        }
    }

    /// The same for one client, whose login the upstream of `asker` has.
    pub(crate) fn of_client(shared: Arc<Shared>, asker: Arc<Asker>) -> Self {
        let public = Arc::new(PublicTable::bounded(OF_CLIENT_COUNT_MAX));
        let core = Core { shared, asker, public, address: String::new(), reader: Reader::Client };
        Self {
            private: Arc::new(Recent::new(PRIVATE_TTL, OF_CLIENT_COUNT_MAX)),
            absent: Refusals::of_client(core.shared.settings.negative_ttl),
            flights: core.shared.flights_of_client(),
            core: Arc::new(core),
        }
    }

    /// Checks that the upstream gives the repository to everyone. Costs one lookup if that is known.
    ///
    /// # Errors
    /// [`PullError::NotPublic`]. If that was never decided, also the error that keeps wharf from asking.
    pub(crate) async fn check(
        &self,
        repository: &Repository,
        subject: impl FnOnce() -> Subject,
    ) -> Result<(), PullError> {
        if self.core.public.is_fresh(repository) {
            return Ok(());
        }
        Box::pin(self.ask(repository, subject())).await
    }

    /// Drops the names of repositories that were not public when that was last decided.
    pub(crate) async fn retain_public(&self, repositories: &mut Vec<Repository>) {
        self.core.load().await;
        repositories.retain(|repository| self.core.public.has(repository));
    }

    async fn ask(&self, repository: &Repository, subject: Subject) -> Result<(), PullError> {
        self.core.load().await;
        if self.core.public.is_fresh(repository) {
            return Ok(());
        }
        if let Some(error) = self.private.get(repository) {
            return Err(error);
        }
        let target = (repository.clone(), subject);
        self.absent.check(&target).map_err(|error| self.core.not_public(error))?;
        let _client = match self.core.asker.admit() {
            Err(PullError::Offline) => return self.core.without_answer(repository, PullError::Offline),
            admitted => admitted?,
        };
        let mut join_count = 0;
        loop {
            let start = || {
                let (core, private) = (Arc::clone(&self.core), Arc::clone(&self.private));
                let (repository, subject) = target.clone();
                async move { core.decide(&private, &repository, &subject).await }
            };
            let flight = self.flights.join_or_start(target.0.clone(), start);
            let asked = self.core.asker.within_deadline(async {
                let (said, joined) = flight.await;
                Ok((said?, joined))
            });
            let (said, joined) = match asked.await {
                Ok(asked) => asked,
                Err(error) => return self.core.without_answer(repository, error),
            };
            if said.is_served {
                return Ok(());
            }
            let is_of_content = matches!(said.verdict, Verdict::Hidden | Verdict::Absent);
            if joined && is_of_content && join_count < JOIN_COUNT_MAX {
                join_count += 1;
                continue;
            }
            let error = said.error.unwrap_or(PullError::Offline);
            if is_of_content {
                self.absent.remember(target, &Err::<(), _>(error.clone()));
            }
            return Err(self.core.refusal(said.verdict, error));
        }
    }
}

impl Core {
    /// Reads the note of an earlier process, once.
    async fn load(&self) {
        if self.reader == Reader::Client {
            return;
        }
        if let Err(error) = self.public.load(&*self.shared.records, &self.shared).await {
            self.shared.store_failed(&error);
        }
    }

    /// Whether the last answer, however old, still counts while there is no new one.
    fn was_public(&self, repository: &Repository) -> bool {
        self.reader == Reader::Everyone && self.public.has(repository)
    }

    /// Decides without an answer: the last one counts.
    fn without_answer(&self, repository: &Repository, error: PullError) -> Result<(), PullError> {
        let on_404 = self.shared.settings.tags.on_upstream_404;
        match conclude(Verdict::Undecided, self.was_public(repository), on_404).is_served {
            true => Ok(()),
            false => Err(self.refusal(Verdict::Undecided, error)),
        }
    }

    /// Asks the upstream and remembers the answer.
    async fn decide(
        &self,
        private: &Recent<Repository, PullError>,
        repository: &Repository,
        subject: &Subject,
    ) -> Result<Said, PullError> {
        let was_public = self.was_public(repository);
        let (verdict, error) = self.question(repository, subject, was_public).await;
        let mut conclusion = conclude(verdict, was_public, self.shared.settings.tags.on_upstream_404);
        // The upstream was not asked, and a client that has lost access could cause a lack of permits.
        conclusion.is_served &= error != Some(PullError::Overloaded);
        match (conclusion.memory, &error) {
            (Memory::Renewed, _) => self.public.insert(&self.address, repository, &self.shared),
            (Memory::Dropped, Some(error)) => {
                if self.public.remove(repository) && self.reader == Reader::Everyone {
                    let (registry, error) = (&self.shared.name, telemetry::error_chain(error));
                    info!(%registry, %repository, error, "no longer public, so clients do not get it");
                }
                if verdict == Verdict::Private {
                    private.insert(repository.clone(), self.refusal(verdict, error.clone()));
                }
            }
            (Memory::Kept | Memory::Dropped, _) => {
                if let Some(error) = error.as_ref().filter(|_| conclusion.is_served) {
                    self.shared.metrics.stale(error.reason());
                }
            }
        }
        if self.reader == Reader::Everyone
            && let Err(failure) = self.public.save(&*self.shared.records).await
        {
            self.shared.store_failed(&failure);
        }
        Ok(Said { verdict, is_served: conclusion.is_served, error })
    }

    async fn question(
        &self,
        repository: &Repository,
        subject: &Subject,
        was_public: bool,
    ) -> (Verdict, Option<PullError>) {
        let asking = match self.asker.ask() {
            Ok(asking) => asking,
            Err(error) => return (Verdict::Undecided, Some(error)),
        };
        if self.reader == Reader::Client {
            // A token may outlive its login by hours, and the answer counts for `auth_ttl` from now.
            asking.upstream().forget_tokens(repository).await;
        }
        let stakes = if was_public { Stakes::Held } else { Stakes::Nothing };
        let content = ask_for(&asking, repository, subject, stakes).await;
        let about_content = answer_of(&content);
        let is_list = *subject == Subject::List;
        let list = match needs_list(about_content) && !is_list {
            true => ask_for(&asking, repository, &Subject::List, stakes).await,
            false => content.clone(),
        };
        let verdict = judge(about_content, answer_of(&list));
        // The refusal of the list says more than the absence of one tag.
        let error = if verdict == Verdict::Private { list.err() } else { content.err() };
        (verdict, error)
    }
}

async fn ask_for(
    asking: &Asking,
    repository: &Repository,
    subject: &Subject,
    stakes: Stakes,
) -> Result<(), PullError> {
    let upstream = asking.upstream();
    match subject {
        Subject::Manifest(reference) => {
            upstream.head_manifest(repository, reference, stakes).await?;
        }
        Subject::Blob(digest) => {
            upstream.head_blob(repository, digest, stakes).await?;
        }
        Subject::List => {
            let page = Page { n: Some(1), ..Page::default() };
            upstream.list(&ListRequest::Tags { repository: repository.clone(), page }).await?;
        }
    }
    Ok(())
}

fn answer_of(answer: &Result<(), PullError>) -> Answer {
    match answer {
        Ok(()) => Answer::Given,
        Err(PullError::Denied { .. }) => Answer::Refused,
        Err(PullError::NotFound { .. }) => Answer::Missing,
        Err(_) => Answer::None,
    }
}

impl Core {
    /// The client's error for a repository that is not known to be readable.
    fn refusal(&self, verdict: Verdict, error: PullError) -> PullError {
        match (verdict, error) {
            (Verdict::Undecided, PullError::Offline) => {
                // The answers for a client end with their time.
                let since = if self.reader == Reader::Client { "not lately" } else { "never" };
                let detail = format!("wharf is offline and has {since} asked for it {}", self.reader).into();
                PullError::NotPublic { detail }
            }
            (Verdict::Undecided, PullError::UpstreamUnavailable { timed_out, detail }) => {
                let text = format!("the registry has not said lately who may read this, and {detail}");
                PullError::UpstreamUnavailable { timed_out, detail: detail.within(text) }
            }
            (_, error) => self.not_public(error),
        }
    }

    /// The refusal with the upstream's words; another error stays.
    fn not_public(&self, error: PullError) -> PullError {
        match error {
            PullError::Denied { detail }
            | PullError::NotFound { detail }
            | PullError::Unconfirmed { detail, .. } => {
                PullError::NotPublic { detail: detail.within(format!("{}, {detail}", self.reader)) }
            }
            error => error,
        }
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everyone => "without a login",
            Self::Client => "with the client's login",
        })
    }
}
