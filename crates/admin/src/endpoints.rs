//! The table of endpoints. To add one, write its handler and a row in [`ENDPOINTS`]; the router and the list
//! at `/` follow from the table.

mod content;
mod export;
mod failure;
mod health;
mod image;
mod images;
mod import;
mod missing;
mod offline;
mod openapi;
mod parameters;
mod pins;
mod prune;
mod pull;
mod purge;
mod refresh;
mod registries;
mod reload;
mod selection;
mod stats;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Extension, Router};
use http::{Response, StatusCode, Uri};
use serde_json::Value;
use server::quoted;
use telemetry::EXPOSITION_TYPE;

use self::parameters::Parameter;
use crate::parts::Parts;
use crate::places::Places;
use crate::text::{text, typed};

/// One path and its handlers.
struct Endpoint {
    /// The path, after the method if that is not GET.
    name: &'static str,
    /// Its line in the list.
    description: &'static str,
    /// The parameters of its query; others are refused.
    parameters: &'static [Parameter],
    /// The content of a request.
    takes: Option<Takes>,
    content: Content,
    handlers: fn() -> MethodRouter<Arc<Parts>>,
}

/// The content of a request.
enum Takes {
    /// A JSON document with this schema.
    Json(fn() -> Value),
    Archive,
}

/// The content of the answers with status 200.
enum Content {
    Text,
    /// OpenMetrics text.
    Metrics,
    /// A JSON document with this schema.
    Json(fn() -> Value),
    /// A JSON object on each line.
    JsonLines,
    Archive,
}

const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        name: "/",
        description: "this list",
        parameters: &[],
        takes: None,
        content: Content::Text,
        handlers: || get(index),
    },
    Endpoint {
        name: "/metrics",
        description: "metrics in OpenMetrics text, for Prometheus",
        parameters: &[],
        takes: None,
        content: Content::Metrics,
        handlers: || get(metrics),
    },
    Endpoint {
        name: "/api/registries",
        description: "the served registries, in JSON",
        parameters: &[],
        takes: None,
        content: Content::Json(registries::schema),
        handlers: || get(registries::registries),
    },
    Endpoint {
        name: "/api/images",
        description: "the stored images, in JSON; ?registry= and ?pattern= select",
        parameters: &[parameters::REGISTRY, parameters::PATTERN, parameters::UNTAGGED],
        takes: None,
        content: Content::Json(images::list_schema),
        handlers: || get(images::list),
    },
    Endpoint {
        name: "/api/image",
        description: "all that is known of the image that ?registry=, ?repository= and ?tag= or ?digest= name",
        parameters: &parameters::ONE_IMAGE,
        takes: None,
        content: Content::Json(image::schema),
        handlers: || get(image::show),
    },
    Endpoint {
        name: "/api/stats",
        description: "what each registry's store holds, in JSON",
        parameters: &[parameters::REGISTRY],
        takes: None,
        content: Content::Json(stats::schema),
        handlers: || get(stats::stats),
    },
    Endpoint {
        name: "/api/openapi.json",
        description: "the description of this API, in OpenAPI 3.1",
        parameters: &[],
        takes: None,
        content: Content::Json(openapi::schema),
        handlers: || get(openapi::openapi),
    },
    Endpoint {
        name: "/livez",
        description: "liveness",
        parameters: &[],
        takes: None,
        content: Content::Text,
        handlers: || get(health::live),
    },
    Endpoint {
        name: "/readyz",
        description: "readiness",
        parameters: &[],
        takes: None,
        content: Content::Text,
        handlers: || get(health::ready),
    },
    Endpoint {
        name: "POST /api/reload",
        description: "reloads the configuration",
        parameters: &[],
        takes: None,
        content: Content::Text,
        handlers: || post(reload::reload).fallback(reload::refuse_method),
    },
    Endpoint {
        name: "DELETE /api/images",
        description: "removes that image, or those that ?pattern= and ?unused_for= name; ?dry_run=true",
        parameters: &parameters::PURGED_IMAGES,
        takes: None,
        content: Content::Json(purge::schema),
        handlers: || delete(purge::purge),
    },
    Endpoint {
        name: "POST /api/prune",
        description: "removes what no image needs; ?registry= selects; ?dry_run=true",
        parameters: &[parameters::REGISTRY, parameters::DRY_RUN],
        takes: None,
        content: Content::Json(prune::schema),
        handlers: || post(prune::prune),
    },
    Endpoint {
        name: "POST /api/refresh",
        description: "asks the upstream which manifest the tag of that image names now",
        parameters: &parameters::ONE_IMAGE,
        takes: None,
        content: Content::Json(refresh::schema),
        handlers: || post(refresh::refresh),
    },
    Endpoint {
        name: "/api/pins",
        description: "the pins, also of images that are not held; ?registry= and ?pattern= select",
        parameters: &[parameters::REGISTRY, parameters::PATTERN],
        takes: None,
        content: Content::Json(pins::list_schema),
        handlers: || get(pins::list),
    },
    Endpoint {
        name: "POST /api/pins",
        description: "pins images and takes pins back, as the content says, a JSON object",
        parameters: &[],
        takes: Some(Takes::Json(pins::content_schema)),
        content: Content::Json(pins::changes_schema),
        handlers: || post(pins::change),
    },
    Endpoint {
        name: "PUT /api/pins",
        description: "pins that image, so that wharf does not remove it",
        parameters: &parameters::ONE_IMAGE,
        takes: None,
        content: Content::Json(pins::schema),
        handlers: || put(pins::pin),
    },
    Endpoint {
        name: "DELETE /api/pins",
        description: "takes the pin back",
        parameters: &parameters::ONE_IMAGE,
        takes: None,
        content: Content::Json(pins::schema),
        handlers: || delete(pins::unpin),
    },
    Endpoint {
        name: "POST /api/pull",
        description: "fetches the images of the content, a JSON object, into the stores; reports on each line",
        parameters: &[],
        takes: Some(Takes::Json(pull::schema)),
        content: Content::JsonLines,
        handlers: || post(pull::pull),
    },
    Endpoint {
        name: "POST /api/verify",
        description: "finds out whether these images can be pulled offline; reports on each line",
        parameters: &[],
        takes: Some(Takes::Json(pull::schema)),
        content: Content::JsonLines,
        handlers: || post(pull::verify),
    },
    Endpoint {
        name: "/api/export",
        description: "sends the images that ?images= or ?all= chooses as a tar archive (OCI image layout)",
        parameters: &parameters::CHOICE,
        takes: None,
        content: Content::Archive,
        handlers: || get(export::by_query),
    },
    Endpoint {
        name: "POST /api/export",
        description: "the same for many images: the content, a JSON object, chooses; without the blobs of its list",
        parameters: &[],
        takes: Some(Takes::Json(export::schema)),
        content: Content::Archive,
        handlers: || post(export::by_content),
    },
    Endpoint {
        name: "POST /api/import",
        description: "imports the archive that is the content, of ?registry= only if that is given",
        parameters: &parameters::IMPORT,
        takes: Some(Takes::Archive),
        content: Content::Json(import::schema),
        handlers: || post(import::import),
    },
    Endpoint {
        name: "POST /api/import/missing",
        description: "tells which blobs of the content, a JSON object, the store of ?registry= lacks",
        parameters: &[Parameter { is_required: true, ..parameters::REGISTRY }],
        takes: Some(Takes::Json(missing::content_schema)),
        content: Content::Json(missing::schema),
        handlers: || post(missing::missing),
    },
    Endpoint {
        name: "/api/offline",
        description: "which registries are offline and why, in JSON",
        parameters: &[parameters::REGISTRY],
        takes: None,
        content: Content::Json(offline::schema),
        handlers: || get(offline::show),
    },
    Endpoint {
        name: "PUT /api/offline",
        description: "takes registries offline or online, until it is taken back",
        parameters: &[parameters::STATE, parameters::REGISTRY],
        takes: None,
        content: Content::Json(offline::schema),
        handlers: || put(offline::set),
    },
    Endpoint {
        name: "DELETE /api/offline",
        description: "takes that switch back, so that the configuration decides",
        parameters: &[parameters::REGISTRY],
        takes: None,
        content: Content::Json(offline::schema),
        handlers: || delete(offline::unset),
    },
];

impl Endpoint {
    /// The method and the path.
    fn route(&self) -> (&'static str, &'static str) {
        self.name.split_once(' ').unwrap_or(("GET", self.name))
    }
}

/// The router of all endpoints over `parts`.
pub(crate) fn router(parts: Parts) -> Router {
    let add = |router: Router<Arc<Parts>>, it: &Endpoint| {
        let known = it.parameters;
        let check = move |request: Request, next: Next| async move {
            match parameters::refuse_unknown(request.uri(), known) {
                Ok(()) => next.run(request).await,
                Err(failure) => failure.answer().into_response(),
            }
        };
        router.route(it.route().1, (it.handlers)().route_layer(middleware::from_fn(check)))
    };
    let router = ENDPOINTS.iter().fold(Router::new(), add);
    let router = router.fallback(not_found).method_not_allowed_fallback(refuse_method);
    router.layer(Extension(Places::new())).with_state(Arc::new(parts))
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
