//! The path and the query of a request.

use http::uri::PathAndQuery;
use oci::{PAGE_COUNT_MAX, Page, Reference, Request};
use policy::docker_hub;

use crate::name::check_paths;

/// Checks that a parsed request prints and parses to the same, is bounded, and stays inside the store. The
/// input is a target.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // As a test or another caller may pass it, and as HTTP admits it.
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    check_parts(path, query);
    if let Ok(target) = text.parse::<PathAndQuery>() {
        check_parts(target.path(), target.query());
    }
}

fn check_parts(path: &str, query: Option<&str>) {
    let Ok(request) = Request::parse(path, query) else { return };
    let is_tame = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    assert!(path.bytes().all(is_tame) && !path.contains("/../") && !path.contains("//"), "{path:?}");
    check_request(&request);
    let printed = print(&request);
    let (path, query) = printed.split_once('?').expect("it is printed with a query");
    assert_eq!(Request::parse(path, Some(query)).as_ref(), Ok(&request), "{printed}");
    if let Ok(in_library) = docker_hub::in_library(request) {
        check_request(&in_library);
        assert_eq!(docker_hub::in_library(in_library.clone()), Ok(in_library), "the library has no library");
    }
}

fn check_request(request: &Request) {
    match request {
        Request::Version => {}
        Request::Manifest { repository, reference: Reference::Tag(tag) } => {
            let digest = oci::Digest::of(oci::Algorithm::Sha512, b"");
            check_paths(repository, Some(tag), &digest);
        }
        Request::Manifest { repository, reference: Reference::Digest(digest) }
        | Request::Blob { repository, digest } => check_paths(repository, None, digest),
        Request::Tags { page, .. } | Request::Catalog { page } => check_page(page),
        Request::Referrers { repository, digest, artifact_type, page } => {
            check_paths(repository, None, digest);
            check_page(page);
            assert!(artifact_type.as_ref().is_none_or(|it| it.contains('/') && it.len() <= 255));
        }
    }
}

fn check_page(page: &Page) {
    assert!(page.n.is_none_or(|n| n <= PAGE_COUNT_MAX));
    let positions = page.last.iter().chain(page.cursor.as_ref().map(|(_, value)| value));
    for position in positions {
        assert!(!position.is_empty() && position.len() <= 1024);
        assert!(position.bytes().all(|byte| byte.is_ascii_graphic()), "{position:?}");
    }
}

fn print(request: &Request) -> String {
    match request {
        Request::Version => "/v2/?".to_owned(),
        Request::Manifest { repository, reference } => format!("/v2/{repository}/manifests/{reference}?"),
        Request::Blob { repository, digest } => format!("/v2/{repository}/blobs/{digest}?"),
        Request::Tags { repository, page } => format!("/v2/{repository}/tags/list?{}", print_page(page)),
        Request::Catalog { page } => format!("/v2/_catalog?{}", print_page(page)),
        Request::Referrers { repository, digest, artifact_type, page } => {
            let artifact_type = artifact_type.as_deref().map(|it| format!("artifactType={}&", escape(it)));
            let query = artifact_type.unwrap_or_default() + &print_page(page);
            format!("/v2/{repository}/referrers/{digest}?{query}")
        }
    }
}

fn print_page(page: &Page) -> String {
    let n = page.n.map(|n| format!("n={n}&"));
    let last = page.last.as_deref().map(|last| format!("last={}&", escape(last)));
    let cursor = page.cursor.as_ref().map(|(key, value)| format!("{key}={}&", escape(value)));
    [n, last, cursor].into_iter().flatten().collect()
}

fn escape(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
