//! The table of endpoints. To add one, write its handler and a row in [`ENDPOINTS`]; the router and the list
//! at `/` follow from the table.

mod failure;
mod health;
mod images;
mod pins;
mod pull;
mod registries;
mod reload;
mod selection;
mod stats;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{MethodRouter, delete, get, post, put};
use http::{Response, StatusCode, Uri};
use server::quoted;
use telemetry::EXPOSITION_TYPE;

use crate::parts::Parts;
use crate::text::{text, typed};

/// One path and its handlers.
struct Endpoint {
    /// The path, after the method if that is not GET.
    name: &'static str,
    /// Its line in the list.
    description: &'static str,
    handlers: fn() -> MethodRouter<Arc<Parts>>,
}

const ENDPOINTS: [Endpoint; 13] = [
    Endpoint { name: "/", description: "this list", handlers: || get(index) },
    Endpoint {
        name: "/metrics",
        description: "metrics in OpenMetrics text, for Prometheus",
        handlers: || get(metrics),
    },
    Endpoint {
        name: "/api/registries",
        description: "the served registries, in JSON",
        handlers: || get(registries::list),
    },
    Endpoint {
        name: "/api/images",
        description: "the stored images, in JSON; ?registry= and ?pattern= select",
        handlers: || get(images::list),
    },
    Endpoint {
        name: "/api/stats",
        description: "what each registry's store holds, in JSON",
        handlers: || get(stats::stats),
    },
    Endpoint { name: "/livez", description: "liveness", handlers: || get(health::live) },
    Endpoint { name: "/readyz", description: "readiness", handlers: || get(health::ready) },
    Endpoint {
        name: "POST /api/reload",
        description: "reloads the configuration",
        handlers: || post(reload::reload).fallback(reload::refuse_method),
    },
    Endpoint {
        name: "DELETE /api/images",
        description: "removes the image that ?registry=, ?repository= and ?tag= or ?digest= name",
        handlers: || delete(images::purge),
    },
    Endpoint {
        name: "PUT /api/pins",
        description: "pins that image, so that wharf does not remove it",
        handlers: || put(pins::pin),
    },
    Endpoint {
        name: "DELETE /api/pins",
        description: "takes the pin back",
        handlers: || delete(pins::unpin),
    },
    Endpoint {
        name: "POST /api/pull",
        description: "fetches the images of the content, a JSON object, into the stores; reports on each line",
        handlers: || post(pull::pull),
    },
    Endpoint {
        name: "POST /api/verify",
        description: "finds out whether these images can be pulled offline; reports on each line",
        handlers: || post(pull::verify),
    },
];

impl Endpoint {
    fn path(&self) -> &'static str {
        self.name.rsplit(' ').next().unwrap_or(self.name)
    }
}

/// The router of all endpoints over `parts`.
pub(crate) fn router(parts: Parts) -> Router {
    let add = |router: Router<Arc<Parts>>, it: &Endpoint| router.route(it.path(), (it.handlers)());
    let router = ENDPOINTS.iter().fold(Router::new(), add);
    router.fallback(not_found).method_not_allowed_fallback(refuse_method).with_state(Arc::new(parts))
}

async fn index() -> Response<String> {
    let version = env!("CARGO_PKG_VERSION");
    text(StatusCode::OK, format!("This is the admin listener of wharf {version}.\n\n{}", list()))
}

async fn metrics(State(parts): State<Arc<Parts>>) -> Response<String> {
    typed(StatusCode::OK, EXPOSITION_TYPE, parts.metrics.encode())
}

async fn not_found(uri: Uri) -> Response<String> {
    text(StatusCode::NOT_FOUND, format!("there is nothing at {}\n\n{}", quoted(uri.path()), list()))
}

/// The router adds `Allow` with the methods of the path.
async fn refuse_method(uri: Uri) -> Response<String> {
    let message =
        format!("{} does not support this method; Allow lists the supported ones\n", quoted(uri.path()));
    text(StatusCode::METHOD_NOT_ALLOWED, message)
}

/// The list of endpoints, one per line.
fn list() -> String {
    ENDPOINTS.iter().map(|it| format!("{:<18}  {}\n", it.name, it.description)).collect()
}
