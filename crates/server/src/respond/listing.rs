//! Lists of tags, of referrers and of repositories, page by page.

use cache::{CatalogAnswer, ListAnswer};
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use oci::Page;
use policy::host::LinkShape;
use telemetry::Answered;

use super::{Answer, json};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Where the client asked, so that it is sent on to the next page in the same form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// `/v2/...`.
    pub(crate) path: &'a str,
    /// How the client named the registry.
    pub(crate) link: &'a LinkShape,
}

/// A page as the upstream wrote it.
pub(crate) fn answer(list: ListAnswer, asked: Asked<'_>) -> Answer {
    let media_type = HeaderValue::from_str(&list.media_type).unwrap_or_else(|_| json());
    let mut answer = Answer::whole(StatusCode::OK, list.outcome, list.bytes)
        .with_outcome(list.outcome)
        .with(header::CONTENT_TYPE, media_type);
    if let Some(link) = list.next.as_deref().and_then(|next| link(asked, next)) {
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

/// A page of the repositories held here (distribution's `_catalog`).
pub(crate) fn catalog(catalog: CatalogAnswer, page: &Page, asked: Asked<'_>) -> Answer {
    let names: Vec<&str> = catalog.repositories.iter().map(|repository| repository.as_str()).collect();
    let document = serde_json::json!({ "repositories": names }).to_string();
    let bytes = catalog.memory.attach(document.into_bytes().into_boxed_slice().into());
    let answer = Answer::whole(StatusCode::OK, Answered::Hit, bytes).with(header::CONTENT_TYPE, json());
    let Some(last) = names.last().filter(|_| catalog.more) else { return answer };
    let next = match page.n {
        Some(n) => format!("n={n}&last={last}"),
        None => format!("last={last}"),
    };
    match link(asked, &next) {
        Some(link) => answer.with(header::LINK, link),
        None => answer,
    }
}

/// `Link` to the next page (RFC 8288) as an absolute-path reference: some clients take only its path and
/// query, others refuse another scheme or host. None when `next` is nothing that could be sent back.
pub(crate) fn link(asked: Asked<'_>, next: &str) -> Option<HeaderValue> {
    let is_query = next.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"#".contains(&byte));
    // The client's own `ns` is put back; whatever the upstream has there means nothing here.
    let pairs: Vec<&str> = next.split('&').filter(|pair| !pair.starts_with("ns=")).collect();
    let target = asked.link.target(asked.path, &pairs.join("&"));
    let value = is_query.then(|| HeaderValue::from_str(&format!("<{target}>; rel=\"next\"")));
    value?.ok()
}

#[cfg(test)]
mod tests;
