//! One request on the public listener, from its head to its answer: which registry, which question, whom to
//! ask, how to say it.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cache::{Backend, PullError, Want};
use http::{Method, Request, Response, request};
use http_body::Body;
use oci::{Digest, Page, Reference, Repository, RequestError};
use policy::host::{Route, RoutingTable};
use telemetry::Metrics;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::access::Entry;
use crate::body::AnswerBody;
use crate::clock::Clock;
use crate::condition;
use crate::health;
use crate::request_id::RequestIds;
use crate::respond::error::{self, Asked, Refusal};
use crate::respond::{Answer, blob, listing, manifest, version};
use crate::site::{self, Framing};

/// What the public listener serves.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) registries: Vec<Arc<Backend>>,
    pub(crate) routes: RoutingTable,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ids: RequestIds,
    /// Places for requests that are being answered, health checks apart.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) answer_wait_max: Duration,
    /// Cancelled when the server is told to stop.
    pub(crate) shutdown: CancellationToken,
}

/// A request that found its registry.
struct Visit<'a> {
    backend: &'a Backend,
    /// `/v2/...`, whatever form the client uses.
    path: String,
    place: policy::host::LinkShape,
    head: &'a request::Parts,
}

impl Public {
    /// Answers a request. It has no body, or is refused: what is there of one ends with the connection.
    pub(crate) async fn answer<B: Body + Unpin>(
        &self,
        request: Request<B>,
        client: SocketAddr,
        clock: &Arc<Clock>,
    ) -> Response<AnswerBody> {
        let (head, body) = request.into_parts();
        if let Some(answer) = health::answer(&head, &self.shutdown) {
            self.metrics.unrouted("health", answer.status().as_u16());
            return answer.into_response(&head.method, None);
        }
        let mut entry = self.begin(&head, client, clock);
        let mut closes = false;
        let admitted = match self.admit(&head, &mut entry) {
            Ok(Framing::Empty) => Ok(()),
            Ok(Framing::Chunked) => {
                closes = true;
                Box::pin(site::read_nothing(body, clock.header_wait_max())).await.map_err(Refusal::from)
            }
            Err(refusal) => Err(refusal),
        };
        let (answered, namespace) = match admitted.and_then(|()| self.route(&head)) {
            Ok(route) => {
                let namespace = route.namespace().map(str::to_owned);
                (self.serve(route, &head, &mut entry).await, namespace)
            }
            Err(refusal) => (Err(refusal), None),
        };
        let answer = answered.unwrap_or_else(|refusal| refuse(&refusal, &mut entry));
        let answer = if closes { answer.closing() } else { answer };
        answer.with_namespace(namespace.as_deref()).of_the_api().into_response(&head.method, Some(entry))
    }

    /// Answers a client for whom there is no seat: a health check truthfully, anything else with a refusal. The
    /// connection ends with it.
    pub(crate) fn turn_away<B>(
        &self,
        request: Request<B>,
        client: SocketAddr,
        clock: &Arc<Clock>,
    ) -> Response<AnswerBody> {
        let (head, _body) = request.into_parts();
        if let Some(answer) = health::answer(&head, &self.shutdown) {
            self.metrics.unrouted("health", answer.status().as_u16());
            return answer.closing().into_response(&head.method, None);
        }
        let mut entry = self.begin(&head, client, clock);
        let answer = refuse(&Refusal::Overloaded, &mut entry);
        answer.closing().of_the_api().into_response(&head.method, Some(entry))
    }

    fn begin(&self, head: &request::Parts, client: SocketAddr, clock: &Arc<Clock>) -> Entry {
        Entry::begin(head, self.ids.next(), client, Arc::clone(&self.metrics), Arc::clone(clock))
    }

    /// Finds the request a place among those that are answered, for as long as its entry lives.
    fn admit(&self, head: &request::Parts, entry: &mut Entry) -> Result<Framing, Refusal> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
        entry.hold(place);
        Ok(site::check(head)?)
    }

    fn route(&self, head: &request::Parts) -> Result<Route, Refusal> {
        let authority = site::authority(head)?;
        Ok(self.routes.route(authority, head.uri.path(), head.uri.query())?)
    }

    async fn serve(&self, route: Route, head: &request::Parts, entry: &mut Entry) -> Result<Answer, Refusal> {
        let (index, path, place) = match route {
            Route::Registry { index, path, link } => (index, path, link),
            Route::Version => return Ok(version()),
        };
        let backend = &self.registries[index];
        entry.routed(backend);
        let asked = oci::Request::parse(&path, head.uri.query());
        let asked = if backend.hub_names() { asked.and_then(oci::Request::in_library) } else { asked };
        let asked = asked.map_err(|error| Refusal::Request { registry: backend.name().to_owned(), error })?;
        entry.asked(&asked);
        let visit = Visit { backend, path, place, head };
        // The backend has deadlines of its own; this one covers whatever they do not, such as a hung disk.
        // Pinned where it is: the timeout would keep room for it twice.
        let pull = pin!(visit.pull(asked));
        match tokio::time::timeout(self.answer_wait_max, pull).await {
            Ok(answered) => answered,
            Err(_) => Err(Refusal::Late { registry: backend.name().to_owned() }),
        }
    }
}

fn refuse(refusal: &Refusal, entry: &mut Entry) -> Answer {
    let refused = error::answer(refusal);
    entry.explain(refused.message.clone());
    refused.into_answer(entry.id())
}

impl Visit<'_> {
    async fn pull(&self, asked: oci::Request) -> Result<Answer, Refusal> {
        match asked {
            oci::Request::Version => Ok(version()),
            oci::Request::Manifest { repository, reference } => {
                self.pull_manifest(repository, reference).await
            }
            oci::Request::Blob { repository, digest } => self.pull_blob(repository, digest).await,
            oci::Request::Tags { repository, page } => {
                let listed = self.backend.tags(&repository, &page).await;
                let listed = listed.map_err(|error| self.refuse(Asked::Tags, error))?;
                Ok(listing::answer(listed, self.place()))
            }
            oci::Request::Referrers { repository, digest, artifact_type, page } => {
                let listed =
                    self.backend.referrers(&repository, &digest, artifact_type.as_deref(), &page).await;
                let listed = listed.map_err(|error| self.refuse(Asked::Referrers, error))?;
                Ok(listing::answer(listed, self.place()))
            }
            oci::Request::Catalog { page } => self.list_repositories(&page).await,
        }
    }

    async fn pull_manifest(&self, repository: Repository, reference: Reference) -> Result<Answer, Refusal> {
        let manifest = self.backend.pull_manifest(&repository, &reference, self.want()).await;
        let manifest = manifest.map_err(|error| self.refuse(Asked::Manifest, error))?;
        let is_held = condition::is_held(&self.head.headers, &manifest.digest);
        Ok(if is_held { manifest::unchanged(&manifest) } else { manifest::answer(manifest) })
    }

    async fn pull_blob(&self, repository: Repository, digest: Digest) -> Result<Answer, Refusal> {
        let headers = &self.head.headers;
        let is_held = condition::is_held(headers, &digest);
        let want = if is_held { Want::Head } else { self.want() };
        // A range has a meaning for GET alone (RFC 9110, section 14.2), and a 304 comes before it.
        let range = match want {
            Want::Get => condition::requested_range(headers, &digest)?,
            Want::Head => None,
        };
        let blob = self.backend.pull_blob(&repository, &digest, range, want).await;
        let blob = blob.map_err(|error| self.refuse(Asked::Blob, error))?;
        Ok(if is_held { blob::unchanged(&blob, &digest) } else { blob::answer(blob, &digest) })
    }

    async fn list_repositories(&self, page: &Page) -> Result<Answer, Refusal> {
        let listed = self.backend.catalog(page).await.map_err(|error| self.refuse(Asked::Catalog, error))?;
        match listed {
            Some(catalog) => Ok(listing::catalog(catalog, page, self.place())),
            None => Err(self.refuse_request(RequestError::NotFound)),
        }
    }

    fn want(&self) -> Want {
        if self.head.method == Method::HEAD { Want::Head } else { Want::Get }
    }

    fn place(&self) -> listing::Asked<'_> {
        listing::Asked { path: &self.path, link: &self.place }
    }

    fn refuse(&self, asked: Asked, error: PullError) -> Refusal {
        Refusal::Pull { registry: self.backend.name().to_owned(), asked, error }
    }

    fn refuse_request(&self, error: RequestError) -> Refusal {
        Refusal::Request { registry: self.backend.name().to_owned(), error }
    }
}
