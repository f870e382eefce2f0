use super::Endpoint::{Cdn, Registry, Token};
use super::{Endpoint, Kind, Route, cdn_target};

fn check(endpoint: Endpoint, request: &str, kind: Kind, repository: Option<&str>, reference: Option<&str>) {
    let (method, target) = request.split_once(' ').unwrap();
    let route = Route::read(endpoint, method, target, "");
    let read = (route.kind, route.repository.as_deref(), route.reference.as_deref());
    assert_eq!(read, (kind, repository, reference), "{request}");
}

#[test]
fn targets_are_parsed() {
    check(Registry, "GET /v2/", Kind::Version, None, None);
    check(Registry, "GET /v2", Kind::Version, None, None);
    check(Registry, "GET /v2/a/manifests/latest", Kind::GetManifest, Some("a"), Some("latest"));
    check(Registry, "HEAD /v2/a/b/c/manifests/x?ns=y", Kind::HeadManifest, Some("a/b/c"), Some("x"));
    check(Registry, "GET /v2/a/blobs/sha256:0", Kind::GetBlob, Some("a"), Some("sha256:0"));
    check(Registry, "HEAD /v2/blobs/manifests/blobs/d", Kind::HeadBlob, Some("blobs/manifests"), Some("d"));
    check(Registry, "GET /v2/a/b/tags/list?n=1", Kind::Tags, Some("a/b"), None);
    check(Registry, "GET /v2/a/referrers/d", Kind::Referrers, Some("a"), Some("d"));
    check(Token, "GET /token?scope=x", Kind::Token, None, None);
    check(Cdn, "GET /a/b/sha256:0?signature=1", Kind::GetBlob, Some("a/b"), Some("sha256:0"));
    check(Cdn, "HEAD /a/sha256:0", Kind::HeadBlob, Some("a"), Some("sha256:0"));
}

#[test]
fn unknown_targets_are_other() {
    for request in ["GET /", "GET /v1/x", "GET /v20/a/blobs/d", "GET /v2/a", "GET /v2/a/uploads/d"] {
        check(Registry, request, Kind::Other, None, None);
    }
    check(Registry, "PUT /v2/a/manifests/x", Kind::Other, Some("a"), Some("x"));
    check(Token, "GET /tokens", Kind::Other, None, None);
    check(Cdn, "GET /favicon", Kind::Other, None, None);
}

#[test]
fn queries_are_decoded() {
    let route =
        Route::read(Token, "GET", "/token?scope=repository%3Aa%2Fb:pull+x&scope=%&scope=%2&empty", "");
    let scopes: Vec<&str> = route.query("scope").collect();
    assert_eq!(scopes, ["repository:a/b:pull x", "%", "%2"]);
    assert_eq!(route.query("empty").collect::<Vec<_>>(), [""]);
    assert_eq!(route.query("absent").count(), 0);
}

#[test]
fn the_cdn_parses_its_own_targets() {
    let route = Route::read(Cdn, "GET", &cdn_target("a/b", "sha256:0", 7), "");
    assert_eq!((route.repository.as_deref(), route.reference.as_deref()), (Some("a/b"), Some("sha256:0")));
    assert_eq!(route.query("signature").collect::<Vec<_>>(), ["7"]);
}
