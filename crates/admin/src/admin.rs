//! The service behind the admin listener: the guard, then the router.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use server::{BindError, BoundSocket, Incoming, ListenAddress, Server};
use server::{SideBounds, SideContent, SideService};
use tower_service::Service;

use crate::endpoints;
use crate::guard::{self, Guard};
use crate::parts::Parts;
use crate::places::Place;
use crate::settings::Settings;
use crate::streamed::Streamed;
use crate::text::text;

/// The bounds on its connections: enough for scrapers, probes and a few people, who keep a connection from
/// one look at the numbers to the next.
const BOUNDS: SideBounds = SideBounds { connection_count_max: 64, idle_max: Duration::from_secs(45) };

/// The longest answer, in bytes: the metrics of a thousand registries are shorter.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The admin service.
#[derive(Debug)]
pub struct Admin {
    guard: ArcSwap<Guard>,
    router: Router,
}

impl Admin {
    /// Creates the service. `settings` configure its guard.
    pub fn new(settings: &Settings, parts: Parts) -> Arc<Self> {
        let guard = ArcSwap::from_pointee(Guard::new(settings));
        Arc::new(Self { guard, router: endpoints::router(parts) })
    }

    /// Serves on `socket` while `server` runs. Returns its address, with the port that the kernel chose for
    /// port 0.
    ///
    /// # Errors
    /// [`BindError`] if another process has begun to listen there since the socket was bound.
    pub fn listen(
        self: &Arc<Self>,
        socket: BoundSocket,
        server: &mut Server,
    ) -> Result<ListenAddress, BindError> {
        let service = Arc::<Self>::clone(self);
        server.attach(socket, BOUNDS, service)
    }

    /// Replaces the settings of the guard for later requests. The address stays.
    pub fn replace(&self, settings: &Settings) {
        self.guard.store(Arc::new(Guard::new(settings)));
    }
}

#[async_trait]
impl SideService for Admin {
    async fn answer(&self, request: Request<Incoming>) -> Response<SideContent> {
        let (head, body) = request.into_parts();
        let refusal = if guard::is_open(&head) { None } else { self.guard.load().refusal(&head) };
        match refusal {
            Some(refusal) => whole(&head.method, refusal.map(Bytes::from)),
            None => self.route(Request::from_parts(head, Body::new(body))).await,
        }
    }

    async fn turn_away(&self, request: Request<Incoming>) -> Response<SideContent> {
        let (head, _body) = request.into_parts();
        if guard::is_open(&head) {
            return self.route(Request::from_parts(head, Body::empty())).await;
        }
        let message = "all connections of this listener are in use; try again in a moment\n";
        let mut refusal = text(StatusCode::SERVICE_UNAVAILABLE, message);
        refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        whole(&head.method, refusal.map(Bytes::from))
    }
}

impl Admin {
    /// The answer of an endpoint.
    async fn route(&self, request: Request<Body>) -> Response<SideContent> {
        let method = request.method().clone();
        let Ok(mut answer) = self.router.clone().call(request).await;
        if let Some(content) = answer.extensions_mut().remove::<Streamed>().and_then(Streamed::take) {
            // The router gave the length of the empty content.
            answer.headers_mut().remove(header::CONTENT_LENGTH);
            return finish_head(answer.map(|_| content));
        }
        whole(&method, collect(answer).await)
    }
}

/// An answer whose content is in memory.
fn whole(method: &Method, answer: Response<Bytes>) -> Response<SideContent> {
    finish_head(finish(method, answer).map(SideContent::Whole))
}

/// A long answer, which leaves its place when the last byte is sent.
struct Placed {
    bytes: Bytes,
    _place: Place,
}

impl AsRef<[u8]> for Placed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads the answer's content into memory.
async fn collect(answer: Response<Body>) -> Response<Bytes> {
    let (head, body) = answer.into_parts();
    match axum::body::to_bytes(body, ANSWER_BYTES_MAX).await {
        Ok(bytes) => Response::from_parts(head, bytes),
        Err(error) => {
            tracing::error!(
                error = telemetry::error_chain(&error),
                "cannot build an answer of the admin listener"
            );
            let message = "wharf could not build the answer; see its log\n";
            text(StatusCode::INTERNAL_SERVER_ERROR, message).map(Bytes::from)
        }
    }
}

/// Adds the header of every answer.
fn finish_head(mut answer: Response<SideContent>) -> Response<SideContent> {
    let nosniff = HeaderValue::from_static("nosniff");
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    answer
}

/// Adds the headers of every whole answer. A HEAD gets the headers of a GET.
fn finish(method: &Method, mut answer: Response<Bytes>) -> Response<Bytes> {
    let place = answer.extensions_mut().remove::<Place>();
    let length = HeaderValue::from(answer.body().len());
    let headers = answer.headers_mut();
    headers.entry(header::CONTENT_LENGTH).or_insert(length);
    match place {
        _ if method == Method::HEAD => answer.map(|_| Bytes::new()),
        Some(place) => answer.map(|bytes| Bytes::from_owner(Placed { bytes, _place: place })),
        None => answer,
    }
}
