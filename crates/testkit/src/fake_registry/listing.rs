//! Paginated lists: tags and referrers (distribution-spec, "Listing Tags", "Listing Referrers").

use serde_json::{Value, json};

use super::behaviour::Referrers;
use super::reply::Reply;
use super::route::Route;
use super::state::State;

/// One page, and its last item if there is a further page.
struct Page<T> {
    items: Vec<T>,
    last: Option<String>,
}

/// The items after `last`, as many as the client requests and the registry allows.
fn page<T>(state: &State, route: &Route, items: Vec<T>, name: impl Fn(&T) -> String) -> Page<T> {
    let page_max = state.lock_behaviour().page_max;
    let wanted = route.query("n").next().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let after = route.query("last").next().unwrap_or_default();
    let mut rest: Vec<T> = items.into_iter().filter(|item| name(item).as_str() > after).collect();
    let count = wanted.min(page_max);
    let is_more = rest.len() > count;
    rest.truncate(count);
    let last = if is_more { rest.last().map(name) } else { None };
    Page { items: rest, last }
}

/// Adds the `Link` to the next page (RFC 8288), a reference relative to the host.
fn link(reply: Reply, path: &str, last: Option<String>, query: &[(&str, &str)]) -> Reply {
    let Some(last) = last else { return reply };
    let mut target = format!("{path}?last={last}");
    for (key, value) in query {
        target.push_str(&format!("&{key}={value}"));
    }
    reply.with("link", format!("<{target}>; rel=\"next\""))
}

/// `GET /v2/<name>/tags/list`
pub(crate) fn tags(state: &State, route: &Route, repository: &str) -> Reply {
    let content = state.lock_content();
    let Some(tags) = content.tags(repository) else { return Reply::error(404, "NAME_UNKNOWN") };
    let page = page(state, route, tags, |tag| (*tag).to_owned());
    let body = json!({ "name": repository, "tags": page.items });
    let reply = Reply::new(200, "application/json", body.to_string().into_bytes());
    let n: Vec<(&str, &str)> = route.query("n").map(|n| ("n", n)).collect();
    let base = state.behaviour().base;
    link(reply, &format!("{base}/v2/{repository}/tags/list"), page.last, &n)
}

/// `GET /v2/<name>/referrers/<digest>`
pub(crate) fn referrers(state: &State, route: &Route, repository: &str, digest: &str) -> Reply {
    let mode = state.lock_behaviour().referrers;
    if mode == Referrers::Off {
        return Reply::error(404, "NOT_FOUND");
    }
    let mut found = state.lock_content().referrers(repository, digest);
    let wanted = route.query("artifactType").next();
    let filter = wanted.filter(|_| mode == Referrers::Filtered);
    if let Some(artifact_type) = filter {
        found.retain(|descriptor| descriptor["artifactType"] == artifact_type);
    }
    let name = |descriptor: &Value| descriptor["digest"].as_str().unwrap_or_default().to_owned();
    let page = page(state, route, found, name);
    let media_type = "application/vnd.oci.image.index.v1+json";
    let body = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": page.items });
    let mut reply = Reply::new(200, media_type, body.to_string().into_bytes());
    if filter.is_some() {
        reply = reply.with("oci-filters-applied", "artifactType");
    }
    let mut query: Vec<(&str, &str)> = route.query("n").map(|n| ("n", n)).collect();
    query.extend(wanted.map(|artifact_type| ("artifactType", artifact_type)));
    let base = state.behaviour().base;
    link(reply, &format!("{base}/v2/{repository}/referrers/{digest}"), page.last, &query)
}
