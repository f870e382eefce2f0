//! Requests for lists of tags and referrers, which are passed through unchanged.

use http::Method;
use http::header::LINK;
use oci::{Manifest, ManifestKind, Page, Repository};
use policy::host_health::TargetKind;
use telemetry::UpstreamKind;
use url::Url;

use crate::contract::{AddressPosition, ListPage, ListRequest};
use crate::error::{Error, ErrorKind};
use crate::exchange::{self, BodyLimit};
use crate::link::next_query;
use crate::operation::{Operation, target_of};
use crate::registry::Registry;
use crate::response_headers::media_type;

/// The largest page, in bytes.
pub const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The `Accept` header: referrers are an index, tags plain JSON.
const ACCEPTED_LISTS: &str = "application/vnd.oci.image.index.v1+json, application/json";

pub(crate) async fn get(registry: &Registry, request: &ListRequest) -> Result<ListPage, Error> {
    let (repository, url) = url_of(registry, request);
    let target = match request {
        ListRequest::Tags { .. } => target_of(repository, TargetKind::Tags, &Method::GET, String::new()),
        ListRequest::Referrers { digest, .. } => {
            target_of(repository, TargetKind::Referrers, &Method::GET, digest.to_string())
        }
    };
    let operation = Operation {
        kind: UpstreamKind::List,
        method: Method::GET,
        url,
        accept: Some(ACCEPTED_LISTS),
        range: None,
        target,
        is_further: false,
    };
    let limit = BodyLimit { bytes_max: LIST_BYTES_MAX, budget: &registry.transport.memory.lists };
    let document = exchange::read(registry, repository, &operation, limit, registry.deadline()).await?;
    if !is_list(request, &document.bytes) {
        // It may be an error message, which must not replace a stored list.
        return Err(Error::new(ErrorKind::Invalid, document.host, "answered with something that is no list"));
    }
    let links = document.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let filters = document.headers.get("oci-filters-applied").and_then(|value| value.to_str().ok());
    Ok(ListPage {
        media_type: media_type(&document.headers),
        next: next_query(links, &operation.url),
        filters_applied: filters.map(str::to_owned),
        bytes: document.bytes,
        sent_by: AddressPosition::default(),
    })
}

/// Tells whether the document is the requested list (distribution-spec, "Listing Tags", "Listing Referrers").
fn is_list(request: &ListRequest, bytes: &[u8]) -> bool {
    match request {
        ListRequest::Tags { .. } => oci::is_tag_list(bytes),
        ListRequest::Referrers { .. } => {
            Manifest::parse(bytes, None).is_ok_and(|manifest| manifest.kind == ManifestKind::Index)
        }
    }
}

fn url_of<'a>(registry: &Registry, request: &'a ListRequest) -> (&'a Repository, Url) {
    match request {
        ListRequest::Tags { repository, page } => {
            (repository, with_query(registry.url(&format!("{repository}/tags/list")), None, page))
        }
        ListRequest::Referrers { repository, digest, artifact_type, page } => {
            let url = registry.url(&format!("{repository}/referrers/{digest}"));
            (repository, with_query(url, artifact_type.as_deref(), page))
        }
    }
}

fn with_query(mut url: Url, artifact_type: Option<&str>, page: &Page) -> Url {
    let n = page.n.map(|n| n.to_string());
    let cursor = page.cursor.as_ref().map(|(key, value)| (*key, value.as_str()));
    let pairs = [("artifactType", artifact_type), ("n", n.as_deref()), ("last", page.last.as_deref())];
    let given = pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).chain(cursor);
    if given.clone().next().is_some() {
        url.query_pairs_mut().extend_pairs(given);
    }
    url
}
