//! Pages of tags, referrers and repositories.

use cache::{CatalogAnswer, ListAnswer};
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use oci::Page;
use policy::host::LinkShape;
use telemetry::Answered;

use super::{Answer, json};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// The request's own form, which the link to the next page repeats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLink<'a> {
    /// `/v2/...`.
    pub(crate) path: &'a str,
    /// The form in which the client named the registry.
    pub(crate) shape: &'a LinkShape,
}

/// Answers with a page as the upstream wrote it.
pub(crate) fn answer(list: ListAnswer, page: PageLink<'_>) -> Answer {
    let media_type = HeaderValue::from_str(&list.media_type).unwrap_or_else(|_| json());
    let mut answer = Answer::whole(StatusCode::OK, list.outcome, list.bytes)
        .with_outcome(list.outcome)
        .with(header::CONTENT_TYPE, media_type);
    if let Some(link) = list.next.as_deref().and_then(|next| link(page, next)) {
        answer = answer.with(header::LINK, link);
    }
    if let Some(age) = list.age {
        answer = answer.with(header::AGE, HeaderValue::from(age.as_secs()));
    }
    if let Some(Ok(filters)) = list.filters_applied.as_deref().map(HeaderValue::from_str) {
        answer = answer.with(FILTERS_APPLIED, filters);
    }
    answer
}

/// Answers with a page of the repositories in the store (distribution's `_catalog`).
pub(crate) fn catalog(catalog: CatalogAnswer, page: &Page, page_link: PageLink<'_>) -> Answer {
    // A client reads no name that the rules hide from it, not even in the link.
    let names: Vec<&str> = catalog.repositories.iter().map(|repository| repository.as_str()).collect();
    let document = serde_json::json!({ "repositories": names }).to_string();
    let bytes = catalog.memory.attach(document.into_bytes().into_boxed_slice().into());
    let answer = Answer::whole(StatusCode::OK, Answered::Hit, bytes).with(header::CONTENT_TYPE, json());
    let Some(last) = names.last().filter(|_| catalog.more) else { return answer };
    let next = match page.n {
        Some(n) => format!("n={n}&last={last}"),
        None => format!("last={last}"),
    };
    match link(page_link, &next) {
        Some(link) => answer.with(header::LINK, link),
        None => answer,
    }
}

/// `Link` to the next page (RFC 8288), as an absolute-path reference: some clients take only its path and
/// query, others refuse another scheme or host. `None` if `next` is not a plain query.
pub(crate) fn link(page: PageLink<'_>, next: &str) -> Option<HeaderValue> {
    let is_query = next.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"#".contains(&byte));
    // The link keeps the client's own `ns`, not one of the upstream.
    let pairs: Vec<&str> = next.split('&').filter(|pair| !pair.starts_with("ns=")).collect();
    let target = page.shape.target(page.path, &pairs.join("&"));
    let value = is_query.then(|| HeaderValue::from_str(&format!("<{target}>; rel=\"next\"")));
    value?.ok()
}

#[cfg(test)]
mod tests;
