use policy::host::RegistryNames;

use super::*;

fn routes(domain: Option<&str>, default: Option<&str>) -> RoutingTable {
    let names =
        ["docker.io", "ghcr.io"].map(|name| RegistryNames { name: name.to_owned(), ..Default::default() });
    RoutingTable::new(domain, default, &names).unwrap()
}

/// Asserts the status, the outcome and all of `words` in the answer to a request that names no registry.
#[track_caller]
fn check(routes: &RoutingTable, authority: &str, target: &str, status: u16, outcome: &str, words: &[&str]) {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let error = routes.route(authority, path, query).unwrap_err();
    let answer = answer(error, Named { authority, path, query }, routes);
    assert_eq!((answer.status.as_u16(), answer.outcome.as_str()), (status, outcome), "{authority} {target}");
    assert_eq!(answer.extra, Extra::Warns);
    for word in words {
        assert!(answer.message.contains(word), "{word:?} is not in {:?}", answer.message);
    }
    assert!(
        answer.message.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()),
        "{:?}",
        answer.message
    );
    assert!(answer.message.len() < 700, "{} bytes", answer.message.len());
}

const ALPINE: &str = "/v2/library/alpine/manifests/1";

#[test]
fn an_unknown_host_is_quoted_with_the_line_to_add() {
    let routes = routes(Some("cache.example"), None);
    check(
        &routes,
        "nvcr.io.cache.example:5000",
        ALPINE,
        404,
        "unknown_registry",
        &["`nvcr.io.cache.example:5000`", "add [[registry]] name = 'nvcr.io'"],
    );
    check(
        &routes,
        "nonsense.cache.example",
        ALPINE,
        404,
        "unknown_host",
        &["`nonsense.cache.example`", "check"],
    );
    check(
        &routes,
        "wharf.tools.svc:5000",
        ALPINE,
        404,
        "unknown_host",
        &["`wharf.tools.svc:5000` is not a name of this cache", "`cache.example`", "hosts of [server]"],
    );
}

#[test]
fn a_registry_before_an_address_in_the_host_is_quoted() {
    let routes = routes(None, Some("docker.io"));
    let line = "add [[registry]] name = 'nvcr.io'";
    for authority in ["nvcr.io.localhost:5000", "nvcr.io.10.0.0.5.nip.io"] {
        check(&routes, authority, "/v2/nvidia/cuda/manifests/1", 404, "unknown_registry", &[authority, line]);
    }
}

#[test]
fn an_unknown_ns_is_quoted_with_the_line_to_add() {
    let routes = routes(None, Some("docker.io"));
    let check = |query: &str, words: &[&str]| {
        check(&routes, "10.0.0.5", &format!("{ALPINE}?{query}"), 404, "unknown_registry", words);
    };
    check("ns=nvcr.io", &["`ns` names `nvcr.io`, which is not configured", "name = 'nvcr.io'"]);
    check("ns=Corp.example%3A8443", &["`Corp.example:8443`", "name = 'corp.example:8443'"]);
    check("ns=docker.io&ns=nvcr.io", &["`nvcr.io`"]);
    check("ns=nvcr", &["`nvcr`", "not a host name"]);
    check("ns=a%22%0aname%20%3d%20%22b", &["`a\"?name?=?\"b`", "not a host name"]);
    check("ns=%zz", &["malformed"]);
}

#[test]
fn requests_for_no_registry_send_the_client_on() {
    let routes = routes(None, None);
    check(
        &routes,
        "192.168.1.10:5000",
        ALPINE,
        404,
        "no_selector",
        &["Host is `192.168.1.10:5000`", "`/v2/library/alpine/manifests/1`", "`ns`", "`default_registry`"],
    );
    for target in ["/v2/nvcr.io/nvidia/cuda/manifests/1", "/nvcr.io/v2/nvidia/cuda/manifests/1"] {
        let words = ["the path begins with `nvcr.io`", "name = 'nvcr.io'"];
        check(&routes, "192.168.1.10", target, 404, "unknown_registry", &words);
    }
    let long = format!("/v2/{}", "x".repeat(7000));
    check(&routes, "192.168.1.10", &long, 404, "no_selector", &["xxx...`"]);
    check(&routes, "192.168.1.10", "/\u{202e}\u{1b}[31m`", 404, "no_selector", &["`/????[31m?`"]);
}

#[test]
fn newcomer_a_disagreement_lists_only_the_places_that_name_a_registry() {
    let routes = routes(None, None);
    let own = "a mirror for several registries must use wharf's own address, not one registry's host";
    let target = format!("{ALPINE}?ns=ghcr.io");
    let words = ["the host `docker.io.localhost` and `ns` `ghcr.io` name different", "wrong image", own];
    check(&routes, "docker.io.localhost", &target, 404, "disagree", &words);
    // After `/v2/` the name may belong to a repository.
    let words = ["the host `docker.io.localhost` and `ns` `ghcr.io` name different", own];
    let target = "/v2/docker.io/a/manifests/1?ns=ghcr.io";
    check(&routes, "docker.io.localhost", target, 404, "disagree", &words);
    let words =
        ["the host `docker.io.localhost` and the path `/ghcr.io/v2/a/manifests/1` name different", own];
    check(&routes, "docker.io.localhost", "/ghcr.io/v2/a/manifests/1", 404, "disagree", &words);
    let words = ["the host `docker.io` and the path `/ghcr.io/v2/a/manifests/1` name different", own];
    check(&routes, "docker.io", "/ghcr.io/v2/a/manifests/1", 404, "disagree", &words);
    let words = ["the path `/ghcr.io/v2/a/manifests/1` and `ns` `docker.io` name", "in one place only"];
    check(&routes, "10.0.0.5", "/ghcr.io/v2/a/manifests/1?ns=docker.io", 404, "disagree", &words);
    let words = ["`ns` `docker.io,ghcr.io` name different", "in one place only"];
    check(&routes, "10.0.0.5", &format!("{ALPINE}?ns=docker.io&ns=ghcr.io"), 404, "disagree", &words);
    check(&routes, "a b", ALPINE, 400, "malformed", &["`a?b`"]);
}

/// containerd sends its configured mirror address as `ns`.
#[test]
fn newcomer_wharf_s_own_names_get_no_advice_to_add_a_registry() {
    let routes = routes(Some("cache.example"), None).with_own_hosts(["wharf.corp.example".to_owned()]);
    for (authority, name) in [
        ("localhost:5000", "localhost:5000"),
        ("10.0.0.5:5000", "10.0.0.5:5000"),
        ("10.0.0.5:5000", "127.0.0.1:5000"),
        ("cache.example", "cache.example:5000"),
        ("cache.example", "wharf.corp.example"),
    ] {
        let own = format!("`{name}` is this cache's own address, not a registry; write");
        for target in [format!("{ALPINE}?ns={name}"), format!("/v2/{name}/library/alpine/manifests/1")] {
            let (path, query) =
                target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
            let error = routes.route(authority, path, query).unwrap_err();
            let said = answer(error, Named { authority, path, query }, &routes).message;
            assert!(said.starts_with(&own) && !said.contains("[[registry]]"), "{authority} {target}: {said}");
        }
    }
}

#[test]
fn a_registry_name_at_the_front_of_a_path_gives_a_hint() {
    let named = |path| Named { authority: "10.0.0.5", path, query: None };
    let routes = routes(None, Some("docker.io"));
    let hint_of = |path| hint(named(path), &routes);
    let hinted = hint_of("/v2/nvcr.io/nvidia/cuda/manifests/1").unwrap();
    assert!(hinted.contains("if `nvcr.io` is a registry, add [[registry]] name = 'nvcr.io'"), "{hinted}");
    let own = hint_of("/v2/10.0.0.5:5000/library/alpine/manifests/1").unwrap();
    assert!(own.contains("if `10.0.0.5:5000` is a registry"), "another port is another server: {own}");
    let own = hint_of("/v2/localhost:5000/library/alpine/manifests/1").unwrap();
    assert!(
        own.contains("`localhost:5000` is this cache's own address") && !own.contains("[[registry]]"),
        "{own}"
    );
    assert_eq!(hint_of(ALPINE), None);
    assert_eq!(hint_of("/v2/"), None);
}
