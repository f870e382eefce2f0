//! `Link` to the next page, from the upstream to the client and back.

use std::sync::LazyLock;

use oci::Request;
use policy::host::{RegistryNames, Route, RoutingTable};
use url::Url;

const PATH: &str = "/v2/a/b/tags/list";

static TABLE: LazyLock<RoutingTable> = LazyLock::new(|| {
    let names = RegistryNames { name: "ghcr.io".to_owned(), ..RegistryNames::default() };
    RoutingTable::new(None, None, &[names]).expect("a good table")
});

/// Checks that a link that is passed on is one field, leads to the same list, and continues it. Each line of
/// the input is a `Link` of the upstream.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let values: Vec<&str> = text.split('\n').collect();
    let page = Url::parse("https://ghcr.io/v2/a/b/tags/list?n=2").expect("a URL");
    let Some(next) = upstream::fuzzing::next_query(&values, &page) else { return };
    assert!(next.len() <= 2048);
    for (target, query) in [("/ghcr.io/v2/a/b/tags/list", None), (PATH, Some("ns=ghcr.io&n=2"))] {
        let Ok(Route::Registry { link, .. }) = TABLE.route("wharf", target, query) else {
            panic!("{target} names a registry");
        };
        let Some(link) = server::fuzzing::link(PATH, &link, &next) else { continue };
        let link = link.to_str().expect("visible ASCII");
        let back = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        let back = back.expect("one link").parse::<http::Uri>().expect("a target that HTTP takes");
        let Ok(Route::Registry { path, .. }) = TABLE.route("wharf", back.path(), back.query()) else {
            panic!("{link} leads to no registry");
        };
        let Ok(Request::Tags { page, .. }) = Request::parse(&path, back.query()) else {
            panic!("{link} leads to no list");
        };
        assert!(page.last.is_some() || page.cursor.is_some(), "{link} leads to the first page again");
    }
}
