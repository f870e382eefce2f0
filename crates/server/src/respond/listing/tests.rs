use bytes::Bytes;
use cache::Outcome;
use policy::host::{RegistryNames, Route, RoutingTable};

use super::*;
use crate::respond::tests::text_of;

const BASE: &str = "cache.example";

/// The path and the link shape of a request to `quay.io`.
fn route(target: &str) -> (String, LinkShape) {
    let names = RegistryNames { name: "quay.io".to_owned(), ..RegistryNames::default() };
    let table = RoutingTable::new(Some(BASE), Some("quay.io"), &[names]).unwrap();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    match table.route(BASE, path, query).unwrap() {
        Route::Registry { path, link, .. } => (path, link),
        Route::Version => panic!("{target} names no registry"),
    }
}

fn check_link(target: &str, next: &str, expected: Option<&str>) {
    let list = ListAnswer {
        bytes: Bytes::from_static(b"{}"),
        media_type: "application/json".to_owned(),
        next: Some(next.to_owned()),
        filters_applied: None,
        outcome: Outcome::Miss,
        age: None,
    };
    let (path, shape) = route(target);
    let answer = answer(list, PageLink { path: &path, shape: &shape });
    let link = answer.headers.get(header::LINK).map(|link| link.to_str().unwrap());
    assert_eq!(link, expected, "{target} {next}");
}

#[test]
fn the_link_keeps_the_client_s_own_form() {
    let next = "n=2&last=b";
    check_link("/v2/a/tags/list", next, Some("</v2/a/tags/list?n=2&last=b>; rel=\"next\""));
    check_link(
        "/v2/a/tags/list?n=2&ns=quay.io",
        next,
        Some("</v2/a/tags/list?n=2&last=b&ns=quay.io>; rel=\"next\""),
    );
    check_link("/quay.io/v2/a/tags/list", next, Some("</quay.io/v2/a/tags/list?n=2&last=b>; rel=\"next\""));
    check_link("/v2/quay.io/a/tags/list", next, Some("</v2/quay.io/a/tags/list?n=2&last=b>; rel=\"next\""));
}

#[test]
fn an_upstream_cannot_send_the_client_elsewhere() {
    check_link("/v2/a/tags/list", "last=b&ns=evil.example", Some("</v2/a/tags/list?last=b>; rel=\"next\""));
    check_link("/v2/a/tags/list", "last=b>; rel=\"next\", <http://evil.example/", None);
    check_link("/v2/a/tags/list", "last=b\r\nset-cookie: x", None);
    check_link("/v2/a/tags/list", "last=b#fragment", None);
}

#[test]
fn the_upstream_s_media_type_and_filters_are_kept() {
    let list = ListAnswer {
        bytes: Bytes::from_static(b"{\"manifests\":[]}"),
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        next: None,
        filters_applied: Some("artifactType".to_owned()),
        outcome: Outcome::Stale,
        age: None,
    };
    let (path, shape) = route("/v2/a/tags/list");
    let answer = answer(list, PageLink { path: &path, shape: &shape });
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/vnd.oci.image.index.v1+json");
    assert_eq!(answer.headers[FILTERS_APPLIED], "artifactType");
    assert!(answer.headers.contains_key(header::WARNING));
    assert!(!answer.headers.contains_key(header::LINK));
    assert_eq!(text_of(answer), "{\"manifests\":[]}");
}

fn check_catalog(names: &[&str], more: bool, n: Option<u32>, body: &str, link: Option<&str>) {
    let repositories = names.iter().map(|name| name.parse().unwrap()).collect();
    let (path, shape) = route("/v2/_catalog?ns=quay.io");
    let page = Page { n, ..Page::default() };
    let memory = budget::Budget::new(100).take(100).unwrap();
    let answer =
        catalog(CatalogAnswer { repositories, more, memory }, &page, PageLink { path: &path, shape: &shape });
    assert_eq!(answer.headers.get(header::LINK).map(|link| link.to_str().unwrap()), link);
    assert_eq!(text_of(answer), body);
}

#[test]
fn the_catalog_continues_after_its_last_name() {
    let body = "{\"repositories\":[\"a\",\"b/c\"]}";
    check_catalog(&[], false, None, "{\"repositories\":[]}", None);
    check_catalog(&["a", "b/c"], false, Some(2), body, None);
    let link = "</v2/_catalog?n=2&last=b/c&ns=quay.io>; rel=\"next\"";
    check_catalog(&["a", "b/c"], true, Some(2), body, Some(link));
    check_catalog(&["a", "b/c"], true, None, body, Some("</v2/_catalog?last=b/c&ns=quay.io>; rel=\"next\""));
    check_catalog(&[], true, Some(0), "{\"repositories\":[]}", None);
}
