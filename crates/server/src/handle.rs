//! One request on the public listener, from its head to its answer: checks, routing, the backend's result.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use cache::{Backend, PullError, Want};
use certificates::challenges::Challenges;
use http::{Method, Request, Response, request};
use http_body::Body;
use oci::{Digest, PAGE_COUNT_MAX, Page, RangeSet, Reference, Repository, RequestError};
use policy::host::{Route, RoutingTable};
use telemetry::{Answered, Metrics};
use tokio_util::sync::CancellationToken;

use crate::about;
use crate::access_log::Entry;
use crate::body::Outgoing;
use crate::challenge;
use crate::clock::Clock;
use crate::condition;
use crate::health;
use crate::identity::{self, Visitor};
use crate::passthrough;
use crate::permits::Permits;
use crate::redirect;
use crate::request_id::RequestIds;
use crate::respond::error::{self, FailedPull, PullKind, Refusal};
use crate::respond::unrouted::{self, Named};
use crate::respond::{Answer, blob, listing, manifest, version};
use crate::site::{self, Framing, HeadFault};
use crate::snapshot::{Current, Snapshot};

/// The service of the public listeners.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) current: Current,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ids: RequestIds,
    /// Bound the requests that are answered at once, except health checks.
    pub(crate) answer_permits: Arc<Permits>,
    /// The answers to an authority that checks wharf's names.
    pub(crate) challenges: Arc<Challenges>,
    /// Cancelled when the server is told to stop.
    pub(crate) shutdown: CancellationToken,
}

/// A request with its registry.
struct RoutedRequest<'a> {
    routes: &'a RoutingTable<Arc<Backend>>,
    backend: &'a Backend,
    /// `/v2/...`, whatever form the client used.
    path: String,
    link_shape: policy::host::LinkShape,
    head: &'a request::Parts,
    /// The client, if the registry has rules of access.
    visitor: Option<Visitor>,
}

impl Public {
    /// Answers a request. A request with a body is refused, and the connection ends with the refusal.
    pub(crate) async fn answer<B: Body + Unpin>(
        &self,
        request: Request<B>,
        client: SocketAddr,
        clock: &Arc<Clock>,
    ) -> Response<Outgoing> {
        let (head, body) = request.into_parts();
        let snapshot = self.current.get();
        if let Some(answer) = self.answer_anywhere(&head, &snapshot) {
            return answer.into_response(&head.method, None);
        }
        let client = identity::client_of(client, &head.headers, snapshot.access.as_deref());
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
        let aside = || about::answer(&head).or_else(|| redirect::answer(&head, &snapshot.settings));
        if let (Ok(()), Some(answer)) = (&admitted, aside()) {
            let answer = if closes { answer.closing() } else { answer };
            return answer.into_response(&head.method, Some(entry));
        }
        let (answered, namespace) = match admitted.and_then(|()| route(&snapshot.routes, &head)) {
            Ok(route) => {
                let namespace = route.namespace().map(str::to_owned);
                (serve(&snapshot, route, client, &head, &mut entry).await, namespace)
            }
            Err(refusal) => (Err(refusal), None),
        };
        let answer = answered.unwrap_or_else(|refusal| {
            if let Refusal::Access(refusal) = &refusal {
                self.metrics.access_refused(refusal.label());
            }
            refuse(&refusal, &mut entry)
        });
        let answer = if closes { answer.closing() } else { answer };
        answer
            .with_namespace(namespace.as_deref())
            .with_api_version()
            .into_response(&head.method, Some(entry))
    }

    /// Answers on a connection above the limit: a health check as usual, anything else with a refusal. The
    /// connection ends with the answer.
    pub(crate) fn turn_away<B>(
        &self,
        request: Request<B>,
        client: SocketAddr,
        clock: &Arc<Clock>,
    ) -> Response<Outgoing> {
        let (head, _body) = request.into_parts();
        if let Some(answer) = self.answer_anywhere(&head, &self.current.peek()) {
            return answer.closing().into_response(&head.method, None);
        }
        let mut entry = self.begin(&head, client, clock);
        let answer = refuse(&Refusal::Overloaded, &mut entry);
        answer.closing().with_api_version().into_response(&head.method, Some(entry))
    }

    /// The answers that no rule and no limit holds up: health checks, and the challenges of an authority.
    fn answer_anywhere(&self, head: &request::Parts, snapshot: &Snapshot) -> Option<Answer> {
        let (answer, reason) = match health::answer(head, &self.shutdown, snapshot) {
            Some(answer) => (answer, Answered::Health),
            None => (challenge::answer(head, &self.challenges)?, Answered::Challenge),
        };
        self.metrics.unrouted(reason, answer.status().as_u16());
        Some(answer)
    }

    fn begin(&self, head: &request::Parts, client: SocketAddr, clock: &Arc<Clock>) -> Entry {
        Entry::begin(head, self.ids.next(), client, Arc::clone(&self.metrics), Arc::clone(clock))
    }

    /// Takes a permit for the request, which its entry keeps, and checks the head.
    fn admit(&self, head: &request::Parts, entry: &mut Entry) -> Result<Framing, Refusal> {
        entry.hold_permit(self.answer_permits.try_take().ok_or(Refusal::Overloaded)?);
        // People open the root in a browser.
        if about::answer(head).is_none() {
            site::refuse_pages(&head.headers)?;
        }
        Ok(site::check(head)?)
    }
}

fn route(routes: &RoutingTable<Arc<Backend>>, head: &request::Parts) -> Result<Route<Arc<Backend>>, Refusal> {
    let named = named(head)?;
    let routed = routes.route(named.authority, named.path, named.query);
    routed.map_err(|error| Refusal::Unrouted(unrouted::answer(error, named, routes)))
}

async fn serve(
    snapshot: &Snapshot,
    route: Route<Arc<Backend>>,
    client: SocketAddr,
    head: &request::Parts,
    entry: &mut Entry,
) -> Result<Answer, Refusal> {
    let table = snapshot.access.as_deref();
    let (backend, path, link_shape) = match route {
        Route::Registry { registry, path, link } => (registry, path, link),
        Route::Version => {
            let visitor = match table {
                Some(table) => Box::pin(identity::admit_anywhere(table, client.ip(), head))
                    .await
                    .map_err(Refusal::Access)?,
                None => None,
            };
            entry.identified(visitor.as_ref().map(|visitor| &visitor.identity));
            // A client keeps one login for a host, and this host's is that of the default registry.
            if visitor.as_ref().is_none_or(|visitor| visitor.identity.login.is_none())
                && let Some(registry) = snapshot.routes.default_registry()
            {
                let asked = Some(&oci::Request::Version);
                Box::pin(passthrough::backend_of(registry, asked, client.ip(), head)).await?;
            }
            return Ok(version());
        }
    };
    entry.routed(&backend);
    let asked = oci::Request::parse(&path, head.uri.query());
    let asked = if backend.hub_names() { asked.and_then(policy::docker_hub::in_library) } else { asked };
    if let Ok(asked) = &asked {
        entry.asked(asked);
    }
    let visitor = match table.and_then(|table| Some((table, table.of(backend.name())?))) {
        Some((table, access)) => {
            let admitted = identity::admit(table, access, client.ip(), head).await;
            Some(admitted.map_err(Refusal::Access)?)
        }
        None => None,
    };
    entry.identified(visitor.as_ref().map(|visitor| &visitor.identity));
    let own = passthrough::backend_of(&backend, asked.as_ref().ok(), client.ip(), head).await?;
    let answering = own.as_deref().unwrap_or(&backend);
    let routed =
        RoutedRequest { routes: &snapshot.routes, backend: answering, path, link_shape, head, visitor };
    let asked = asked.map_err(|error| routed.refuse_request(error))?;
    if let Some(visitor) = &routed.visitor {
        visitor.check(&asked).map_err(Refusal::Access)?;
    }
    // The backend has its own deadlines; this one covers the rest, such as a hung disk.
    // Pinned here, because the timeout would reserve its size twice.
    let pull = pin!(routed.pull(asked));
    match tokio::time::timeout(snapshot.settings.answer_wait_max, pull).await {
        Ok(answered) => {
            backend.note_client(answering);
            answered
        }
        Err(_) => Err(Refusal::Late { registry: backend.name().to_owned() }),
    }
}

/// The places in a head that can name a registry.
fn named(head: &request::Parts) -> Result<Named<'_>, HeadFault> {
    Ok(Named { authority: site::authority(head)?, path: head.uri.path(), query: head.uri.query() })
}

fn refuse(refusal: &Refusal, entry: &mut Entry) -> Answer {
    let refused = error::answer(refusal);
    if let Some(reason) = refusal.reason(&refused.message) {
        entry.explain(reason);
    }
    refused.into_answer(entry.id())
}

impl RoutedRequest<'_> {
    async fn pull(&self, asked: oci::Request) -> Result<Answer, Refusal> {
        match asked {
            oci::Request::Version => Ok(version()),
            oci::Request::Manifest { repository, reference } => {
                self.pull_manifest(repository, reference).await
            }
            oci::Request::Blob { repository, digest } => self.pull_blob(repository, digest).await,
            oci::Request::Tags { repository, page } => {
                let listed = self.backend.tags(&repository, &page).await;
                let listed = listed.map_err(|error| self.refuse(PullKind::Tags, &repository, "", error))?;
                Ok(listing::answer(listed, self.page_link()))
            }
            oci::Request::Referrers { repository, digest, artifact_type, page } => {
                let listed =
                    self.backend.referrers(&repository, &digest, artifact_type.as_deref(), &page).await;
                let target =
                    |error| self.refuse(PullKind::Referrers, &repository, &format!("@{digest}"), error);
                let listed = listed.map_err(target)?;
                Ok(listing::answer(listed, self.page_link()))
            }
            oci::Request::Catalog { page } => self.list_repositories(&page).await,
        }
    }

    async fn pull_manifest(&self, repository: Repository, reference: Reference) -> Result<Answer, Refusal> {
        let manifest = self.backend.pull_manifest(&repository, &reference, self.want()).await;
        let manifest = manifest.map_err(|error| {
            let mark = if matches!(reference, Reference::Tag(_)) { ':' } else { '@' };
            self.refuse(PullKind::Manifest, &repository, &format!("{mark}{reference}"), error)
        })?;
        let is_held = condition::is_held(&self.head.headers, &manifest.digest);
        Ok(if is_held { manifest::unchanged(&manifest) } else { manifest::answer(manifest) })
    }

    async fn pull_blob(&self, repository: Repository, digest: Digest) -> Result<Answer, Refusal> {
        let headers = &self.head.headers;
        let is_held = condition::is_held(headers, &digest);
        let want = if is_held { Want::Head } else { self.want() };
        // Only a GET can have a range (RFC 9110, section 14.2), and a 304 takes precedence.
        let ranges = match want {
            Want::Get => condition::requested_ranges(headers, &digest),
            Want::Head => None,
        };
        let refuse = |error| self.refuse(PullKind::Blob, &repository, &format!("@{digest}"), error);
        let range = match ranges {
            None => None,
            Some(RangeSet::One(range)) => Some(range),
            Some(several) => {
                // A blob that cannot be served in parts is sent whole.
                let parts = Box::pin(self.backend.pull_ranges(&repository, &digest, &several)).await;
                match parts.map_err(refuse)? {
                    Some(parts) => return Ok(blob::parts(parts, &digest)),
                    None => None,
                }
            }
        };
        let blob = self.backend.pull_blob(&repository, &digest, range, want).await.map_err(refuse)?;
        Ok(if is_held { blob::unchanged(&blob, &digest) } else { blob::answer(blob, &digest) })
    }

    async fn list_repositories(&self, page: &Page) -> Result<Answer, Refusal> {
        let count = page.n.unwrap_or(PAGE_COUNT_MAX) as usize;
        let mut from = page.clone();
        loop {
            let listed = self.backend.catalog(&from).await;
            let listed = listed.map_err(|error| self.failed(PullKind::Catalog, String::new(), error))?;
            let Some(mut catalog) = listed else { return Err(self.refuse_request(RequestError::NotFound)) };
            let last = catalog.repositories.last().map(|repository| repository.as_str().to_owned());
            if let Some(visitor) = &self.visitor {
                catalog.repositories.retain(|repository| visitor.may_list(repository));
            }
            // A page of which the client may see nothing has no name for a link, so the next page follows. It
            // is as large as any: else a client could cause one listing for each hidden name.
            if catalog.repositories.is_empty() && catalog.more && last.is_some() {
                from = Page { n: Some(PAGE_COUNT_MAX), last, ..from };
                continue;
            }
            catalog.more |= catalog.repositories.len() > count;
            catalog.repositories.truncate(count);
            return Ok(listing::catalog(catalog, page, self.page_link()));
        }
    }

    fn want(&self) -> Want {
        if self.head.method == Method::HEAD { Want::Head } else { Want::Get }
    }

    fn page_link(&self) -> listing::PageLink<'_> {
        listing::PageLink { path: &self.path, shape: &self.link_shape }
    }

    fn refuse(&self, kind: PullKind, repository: &Repository, reference: &str, error: PullError) -> Refusal {
        self.failed(kind, format!("{repository}{reference}"), error)
    }

    fn failed(&self, kind: PullKind, target: String, error: PullError) -> Refusal {
        let (registry, has_login) = (self.backend.name().to_owned(), self.backend.has_login());
        let hint = self.hint();
        let rights = self.backend.rights();
        Refusal::Pull(Box::new(FailedPull { registry, target, kind, has_login, rights, hint, error }))
    }

    /// Suggests the registry that the client may have meant, if it named none.
    fn hint(&self) -> Option<String> {
        let named = named(self.head).ok()?;
        let is_by_default = self.routes.is_by_default(named.authority, named.path, named.query);
        if is_by_default { unrouted::hint(named, self.routes) } else { None }
    }

    fn refuse_request(&self, error: RequestError) -> Refusal {
        Refusal::Request { registry: self.backend.name().to_owned(), path: self.path.clone(), error }
    }
}
