//! The registry of a request.

use std::sync::LazyLock;

use http::uri::PathAndQuery;
use policy::host::{RegistryNames, Route, RouteError, RoutingTable};

use crate::split_line;

const NAMES: [&str; 4] = ["docker.io", "ghcr.io", "registry.corp.example:8443", "[2001:db8::5]:5000"];

/// The domain of the first table, whose default is the second registry.
const DOMAIN: &str = "cache.example.com";

/// The first labels of the hosts below the domain, and their registries: the table, written by hand.
const LABELS: [(&str, usize); 12] = [
    ("docker.io", 0),
    ("docker-io", 0),
    ("registry-1.docker.io", 0),
    ("registry-1-docker-io", 0),
    ("index.docker.io", 0),
    ("index-docker-io", 0),
    ("ghcr.io", 1),
    ("ghcr-io", 1),
    ("registry.corp.example-8443", 2),
    ("registry-corp-example-8443", 2),
    ("registry.corp.example", 2),
    ("registry-corp-example", 2),
];

struct Tables {
    with_domain: RoutingTable,
    without: RoutingTable,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let named = |name: &str| RegistryNames { name: name.to_owned(), ..RegistryNames::default() };
    let mut names = NAMES.map(named);
    names[0].hosts.push("hub.example.com".to_owned());
    let make = |domain, default| RoutingTable::new(domain, default, &names).expect("a good table");
    Tables { with_domain: make(Some(DOMAIN), Some("ghcr.io")), without: make(None, None) }
});

/// Checks that a host is resolved only by the table, in any spelling, that all other names of a registry
/// agree with it, and that links lead back. The input is an authority, a line end, and a target.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (authority, target) = split_line(text);
    // A target that no HTTP library accepts never gets here.
    let Ok(target) = target.parse::<PathAndQuery>() else { return };
    let (path, query) = (target.path(), target.query());
    check_with_domain(&TABLES.with_domain, authority, path, query);
    for table in [&TABLES.with_domain, &TABLES.without] {
        let route = table.route(authority, path, query);
        check_spelling(table, authority, path, query, &route);
        if let Ok(Route::Registry { registry: index, path, link }) = &route {
            assert!(*index < NAMES.len());
            check_ns(query, *index);
            if path == "/v2" || path.starts_with("/v2/") {
                let back = link.target(path, "");
                let (back, query) =
                    back.split_once('?').map_or((&*back, None), |(path, query)| (path, Some(query)));
                assert_eq!(table.route(authority, back, query), route, "the link {back} leads elsewhere");
            }
        }
    }
}

/// Below the domain only the host decides: either it is in the table above, or it is refused.
fn check_with_domain(table: &RoutingTable, authority: &str, path: &str, query: Option<&str>) {
    let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { authority }
    });
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let owner = match host.strip_suffix(DOMAIN).and_then(|front| front.strip_suffix('.')) {
        Some(label) => LABELS.iter().find(|(known, _)| *known == label).map(|(_, index)| *index),
        None if host == "hub.example.com" => Some(0),
        None => return,
    };
    match (table.route(authority, path, query), owner) {
        (Ok(Route::Registry { registry: index, .. }), Some(owner)) => assert_eq!(index, owner),
        (Ok(route), _) => panic!("{authority:?} has {route:?}"),
        (Err(RouteError::UnknownHost), Some(_)) => panic!("{authority:?} is in the table"),
        (Err(_), _) => {}
    }
}

fn check_spelling(
    table: &RoutingTable,
    authority: &str,
    path: &str,
    query: Option<&str>,
    route: &Result<Route, RouteError>,
) {
    let mut spellings = vec![authority.to_ascii_uppercase(), authority.to_ascii_lowercase()];
    let is_bare = !authority.is_empty() && !authority.contains([':', '[']);
    if is_bare && !authority.ends_with('.') && *route != Err(RouteError::BadAuthority) {
        spellings.extend([format!("{authority}."), format!("{authority}:5000"), format!("{authority}.:")]);
    }
    for spelling in spellings {
        assert_eq!(table.route(&spelling, path, query), *route, "{spelling:?} for {authority:?}");
    }
}

/// An unencoded `ns` is a name of the chosen registry.
fn check_ns(query: Option<&str>, index: usize) {
    let pairs = query.unwrap_or_default().split('&');
    for ns in
        pairs.filter_map(|pair| pair.strip_prefix("ns=")).filter(|ns| !ns.is_empty() && !ns.contains('%'))
    {
        let ns = ns.to_ascii_lowercase();
        let is_own = match index {
            0 => ["docker.io", "registry-1.docker.io", "index.docker.io"].contains(&&*ns),
            _ => ns == NAMES[index],
        };
        assert!(is_own, "ns={ns} went to {}", NAMES[index]);
    }
}
