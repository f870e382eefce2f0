//! The table of paths. To add an endpoint, write a function that answers it and give it a row in [`ENDPOINTS`]; the
//! router and the list at `/` follow from that.

mod health;
mod registries;
mod reload;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{MethodRouter, get, post};
use http::{Response, StatusCode, Uri};
use server::foreign;
use telemetry::EXPOSITION_TYPE;

use crate::parts::Parts;
use crate::text::{text, typed};

/// One path.
struct Endpoint {
    /// The path, behind the method where that is not GET.
    name: &'static str,
    /// Its line in the list.
    what: &'static str,
    answers: fn() -> MethodRouter<Arc<Parts>>,
}

const ENDPOINTS: [Endpoint; 6] = [
    Endpoint { name: "/", what: "this list", answers: || get(index) },
    Endpoint {
        name: "/metrics",
        what: "numbers in OpenMetrics text, for Prometheus",
        answers: || get(metrics),
    },
    Endpoint {
        name: "/api/registries",
        what: "the registries that are served, in JSON",
        answers: || get(registries::list),
    },
    Endpoint { name: "/livez", what: "whether wharf runs", answers: || get(health::live) },
    Endpoint { name: "/readyz", what: "whether it takes requests", answers: || get(health::ready) },
    Endpoint {
        name: "POST /api/reload",
        what: "reads the configuration again",
        answers: || post(reload::reload).fallback(reload::refuse_method),
    },
];

impl Endpoint {
    fn path(&self) -> &'static str {
        self.name.rsplit(' ').next().unwrap_or(self.name)
    }
}

/// All endpoints, which tell of `parts` and act on them.
pub(crate) fn router(parts: Parts) -> Router {
    let add = |router: Router<Arc<Parts>>, it: &Endpoint| router.route(it.path(), (it.answers)());
    let router = ENDPOINTS.iter().fold(Router::new(), add);
    router.fallback(nothing).method_not_allowed_fallback(refuse_method).with_state(Arc::new(parts))
}

async fn index() -> Response<String> {
    let version = env!("CARGO_PKG_VERSION");
    text(StatusCode::OK, format!("This is the admin listener of wharf {version}.\n\n{}", list()))
}

async fn metrics(State(parts): State<Arc<Parts>>) -> Response<String> {
    typed(StatusCode::OK, EXPOSITION_TYPE, parts.metrics.encode())
}

async fn nothing(uri: Uri) -> Response<String> {
    text(StatusCode::NOT_FOUND, format!("there is nothing at {}\n\n{}", foreign(uri.path()), list()))
}

/// The router says in `Allow` which methods the path takes.
async fn refuse_method(uri: Uri) -> Response<String> {
    let told =
        format!("{} does not take this method; Allow names those that it takes\n", foreign(uri.path()));
    text(StatusCode::METHOD_NOT_ALLOWED, told)
}

/// Each path with what is there, one a line.
fn list() -> String {
    ENDPOINTS.iter().map(|it| format!("{:<16}  {}\n", it.name, it.what)).collect()
}
