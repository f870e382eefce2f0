//! Requests for manifests. They accept every type, so that an answer never depends on the client's `Accept`.

use http::Method;
use http::header::HeaderMap;
use oci::{ACCEPTED_MANIFESTS, Digest, MANIFEST_BYTES_MAX, Reference, Repository};
use policy::head_trust::Stakes;
use policy::host_health::TargetKind;
use telemetry::UpstreamKind;
use tokio::time::Instant;

use crate::contract::{AddressPosition, Described, ManifestBody, ManifestHead};
use crate::error::{Error, ErrorKind};
use crate::exchange::{self, BodyLimit};
use crate::head_trust::Next;
use crate::operation::{Operation, target_of};
use crate::registry::Registry;
use crate::response_headers::{content_length, is_web_page, media_type};

/// Describes a manifest by `HEAD`, and if that proves nothing, by `GET`.
pub(crate) async fn describe(
    registry: &Registry,
    repository: &Repository,
    reference: &Reference,
    stakes: Stakes,
) -> Result<Described, Error> {
    let since = Instant::now();
    let error = match head(registry, repository, reference).await {
        Ok(head) => return Ok(Described::Head(head)),
        Err(error) => error,
    };
    let no = match registry.manifest_head_trust.after_head(repository, error, stakes) {
        Next::End(error) => return Err(error),
        Next::Get(no) => no,
    };
    let mut got = get(registry, repository, reference).await;
    if let Err(error) = &got
        && registry.may_be_said_to_a_dead_token(error, repository, stakes, since).await
    {
        got = get(registry, repository, reference).await;
    }
    registry.manifest_head_trust.note(repository, no, &got);
    got.map(Described::Whole)
}

async fn head(
    registry: &Registry,
    repository: &Repository,
    reference: &Reference,
) -> Result<ManifestHead, Error> {
    let operation = operation(registry, UpstreamKind::HeadManifest, Method::HEAD, repository, reference);
    let reply = exchange::open(registry, repository, &operation, registry.deadline()).await?;
    let headers = reply.response.headers();
    if is_web_page(headers) {
        return Err(Error::new(ErrorKind::Invalid, reply.host, "answered with a web page"));
    }
    Ok(ManifestHead {
        digest: claimed_digest(headers),
        media_type: media_type(headers),
        size: content_length(headers).filter(|size| *size > 0),
        sent_by: AddressPosition::default(),
    })
}

pub(crate) async fn get(
    registry: &Registry,
    repository: &Repository,
    reference: &Reference,
) -> Result<ManifestBody, Error> {
    let operation = operation(registry, UpstreamKind::GetManifest, Method::GET, repository, reference);
    let limit = BodyLimit { bytes_max: MANIFEST_BYTES_MAX, budget: &registry.transport.memory.documents };
    let document = exchange::read(registry, repository, &operation, limit, registry.deadline()).await?;
    Ok(ManifestBody {
        media_type: media_type(&document.headers),
        digest: claimed_digest(&document.headers),
        bytes: document.bytes,
        sent_by: AddressPosition::default(),
    })
}

fn operation(
    registry: &Registry,
    kind: UpstreamKind,
    method: Method,
    repository: &Repository,
    reference: &Reference,
) -> Operation {
    let url = registry.url(&format!("{repository}/manifests/{reference}"));
    let target = target_of(repository, TargetKind::Manifests, &method, reference.to_string());
    Operation { kind, method, url, accept: Some(ACCEPTED_MANIFESTS), range: None, target, is_further: false }
}

fn claimed_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}
