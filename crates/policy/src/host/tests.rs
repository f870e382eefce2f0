use proptest::prelude::*;

use super::{LinkShape, RegistryNames, Route, RouteError, RoutingTable, TableError};

const HUB: usize = 0;
const GHCR: usize = 1;
const CORP: usize = 2;

fn named(name: &str) -> RegistryNames {
    RegistryNames { name: name.to_owned(), ..RegistryNames::default() }
}

fn registries() -> Vec<RegistryNames> {
    let hub = RegistryNames { hosts: vec!["hub.example.org".to_owned()], ..named("docker.io") };
    vec![hub, named("ghcr.io"), named("registry.corp.example:8443")]
}

fn with_domain() -> RoutingTable {
    RoutingTable::new(Some("cache.example.com"), None, &registries()).unwrap()
}

fn zero_config() -> RoutingTable {
    RoutingTable::new(None, None, &registries()).unwrap()
}

/// Routes `target`, a path with or without a query.
fn route(table: &RoutingTable, authority: &str, target: &str) -> Result<Route, RouteError> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    table.route(authority, path, query)
}

/// The registry and the normalised path that a request comes to.
#[track_caller]
fn check(table: &RoutingTable, authority: &str, target: &str, wanted: usize, wanted_path: &str) {
    match route(table, authority, target) {
        Ok(Route::Registry { registry: index, path, .. }) => {
            assert_eq!((index, path.as_str()), (wanted, wanted_path), "{authority} {target}");
        }
        other => panic!("{authority} {target}: {other:?}"),
    }
}

#[track_caller]
fn check_refused(table: &RoutingTable, authority: &str, target: &str, wanted: RouteError) {
    assert_eq!(route(table, authority, target), Err(wanted), "{authority} {target}");
}

const ALPINE: &str = "/v2/library/alpine/manifests/latest";

#[test]
fn a_virtual_host_under_the_domain_is_matched_in_any_spelling() {
    for authority in [
        "docker.io.cache.example.com",
        "docker.io.cache.example.com:5000",
        "docker.io.cache.example.com:",
        "docker.io.cache.example.com.",
        "docker.io.cache.example.com.:443",
        "Docker.IO.Cache.Example.COM:5000",
        "docker-io.cache.example.com",
        "docker-io.cache.example.com:5000",
        "registry-1.docker.io.cache.example.com",
        "index-docker-io.cache.example.com",
        "hub.example.org",
        "HUB.example.org.:80",
    ] {
        check(&with_domain(), authority, ALPINE, HUB, ALPINE);
    }
    check(&with_domain(), "ghcr.io.cache.example.com", ALPINE, GHCR, ALPINE);
    check(&with_domain(), "ghcr-io.cache.example.com", ALPINE, GHCR, ALPINE);
}

#[test]
fn any_other_name_under_the_domain_is_refused_whatever_else_the_request_says() {
    for authority in [
        "quay.io.cache.example.com",
        "a.docker.io.cache.example.com",
        "docker.cache.example.com",
        "www.cache.example.com:5000",
        "docker.io.docker.io.cache.example.com",
    ] {
        for target in ["/v2/", ALPINE, "/v2/docker.io/a/manifests/b", "/v2/a/manifests/b?ns=docker.io"] {
            check_refused(&with_domain(), authority, target, RouteError::UnknownHost);
        }
    }
    let with_default =
        RoutingTable::new(Some("cache.example.com"), Some("docker.io"), &registries()).unwrap();
    check_refused(&with_default, "quay.io.cache.example.com", ALPINE, RouteError::UnknownHost);
}

#[test]
fn without_a_domain_a_host_that_begins_with_a_label_is_a_virtual_host() {
    for authority in [
        "docker.io.10.0.0.5.nip.io",
        "docker.io.10.0.0.5.nip.io:5000",
        "docker.io.localhost:5000",
        "DOCKER.io.localhost.",
        "docker-io.localhost",
        "docker-io.10.0.0.5.nip.io",
        "registry-1.docker.io.localhost",
        "hub.example.org",
    ] {
        check(&zero_config(), authority, ALPINE, HUB, ALPINE);
    }
    // The label must end at a dot, and something must follow it.
    for authority in
        ["docker.ios.localhost", "docker.io-localhost", "mydocker.io.localhost", "docker-iox.localhost"]
    {
        check_refused(&zero_config(), authority, ALPINE, RouteError::NoSelector);
    }
}

#[test]
fn t15_with_a_domain_only_addresses_single_names_and_listed_hosts_are_ours() {
    let with_default =
        RoutingTable::new(Some("cache.example.com"), Some("docker.io"), &registries()).unwrap();
    let listed = |table: RoutingTable| {
        table.with_own_hosts(
            ["Wharf.Tools.svc.cluster.local.:5000", "me.cache.example.com"].map(str::to_owned),
        )
    };
    for table in [with_domain(), with_default.clone(), listed(with_default.clone())] {
        for authority in ["attacker.example", "10.0.0.5.nip.io:5000", "docker.io.10.0.0.5.nip.io", "127.1"] {
            for target in ["/v2/", ALPINE, "/v2/docker.io/a/manifests/b", "/v2/a/manifests/b?ns=docker.io"] {
                check_refused(&table, authority, target, RouteError::UnknownHost);
            }
        }
        for authority in
            ["", "localhost", "wharf:5000", "10.0.0.5", "[::1]:5000", "cache.example.com", "x.localhost"]
        {
            assert_eq!(route(&table, authority, "/v2/"), Ok(Route::Version), "{authority}");
            check(&table, authority, "/v2/a/manifests/b?ns=ghcr.io", GHCR, "/v2/a/manifests/b");
        }
        // A network may resolve a registry's own name to wharf.
        check(&table, "ghcr.io", ALPINE, GHCR, ALPINE);
    }
    for authority in ["wharf.tools.svc.cluster.local:5000", "ME.cache.example.com"] {
        check_refused(&with_default, authority, ALPINE, RouteError::UnknownHost);
        check(&listed(with_default.clone()), authority, ALPINE, HUB, ALPINE);
        check(&listed(with_domain()), authority, "/v2/ghcr.io/a/manifests/b", GHCR, "/v2/a/manifests/b");
    }
}

#[test]
fn with_a_domain_a_label_before_another_domain_means_nothing() {
    check_refused(&with_domain(), "docker.io.localhost", ALPINE, RouteError::NoSelector);
    check(&with_domain(), "docker.io.localhost", "/v2/a/manifests/b?ns=ghcr.io", GHCR, "/v2/a/manifests/b");
}

#[test]
fn of_two_labels_the_longer_one_counts() {
    let names = [named("corp"), named("corp.example"), named("gcr.io"), named("eu.gcr.io")];
    let table = RoutingTable::new(None, None, &names).unwrap();
    for (authority, wanted) in [
        ("corp.localhost", 0),
        ("corp.example.localhost", 1),
        ("gcr.io.localhost", 2),
        ("eu.gcr.io.localhost", 3),
    ] {
        check(&table, authority, ALPINE, wanted, ALPINE);
    }
}

#[test]
fn every_form_of_a_path_prefix_comes_to_the_same_path() {
    let hosts = ["cache.example.com:5000", "10.0.0.5:5000", "[2001:db8::5]:5000", "localhost", "wharf", ""];
    for table in [with_domain(), zero_config()] {
        for authority in hosts {
            for target in [
                "/docker.io/v2/library/alpine/manifests/latest",
                "/v2/docker.io/library/alpine/manifests/latest",
                "/v2/docker.io/v2/library/alpine/manifests/latest",
                "/docker.io/library/alpine/manifests/latest",
                "/v2/registry-1.docker.io/library/alpine/manifests/latest",
                "/v2/index.docker.io/library/alpine/manifests/latest",
                "/v2/Docker.io/library/alpine/manifests/latest",
                "/v2/docker.io/library/alpine/manifests/latest?ns=docker.io",
                "/v2/docker.io/library/alpine/manifests/latest?ns=registry-1.docker.io",
            ] {
                check(&table, authority, target, HUB, ALPINE);
            }
            check(&table, authority, "/ghcr.io/v2/_catalog", GHCR, "/v2/_catalog");
            check(&table, authority, "/v2/ghcr.io/_catalog", GHCR, "/v2/_catalog");
            check(&table, authority, "/v2/_catalog?ns=ghcr.io&n=5", GHCR, "/v2/_catalog");
        }
    }
}

#[test]
fn only_one_prefix_and_one_inner_v2_are_taken_off() {
    let table = zero_config();
    check(&table, "wharf", "/v2/docker.io/docker.io/a/manifests/b", HUB, "/v2/docker.io/a/manifests/b");
    check(&table, "wharf", "/v2/docker.io/ghcr.io/a/manifests/b", HUB, "/v2/ghcr.io/a/manifests/b");
    check(&table, "wharf", "/v2/docker.io/v2/v2/a/manifests/b", HUB, "/v2/v2/a/manifests/b");
    check(&table, "wharf", "/docker.io/v2ray/a/manifests/b", HUB, "/v2/v2ray/a/manifests/b");
}

#[test]
fn a_first_component_that_only_looks_like_a_registry_is_part_of_the_repository() {
    let cloud_sdk = "/v2/google.com/cloudsdktool/google-cloud-cli/manifests/latest";
    check(&with_domain(), "ghcr.io.cache.example.com", cloud_sdk, GHCR, cloud_sdk);
    check(&with_domain(), "wharf", &format!("{cloud_sdk}?ns=ghcr.io"), GHCR, cloud_sdk);
    let with_default = RoutingTable::new(None, Some("ghcr.io"), &registries()).unwrap();
    check(&with_default, "wharf", cloud_sdk, GHCR, cloud_sdk);
    check_refused(&with_domain(), "wharf", cloud_sdk, RouteError::NoSelector);
    // Only a whole component is a prefix.
    check_refused(&with_domain(), "wharf", "/v2/docker.iox/a/manifests/b", RouteError::NoSelector);
    check_refused(&with_domain(), "wharf", "/v2/a/docker.io/manifests/b", RouteError::NoSelector);
    // A label with dashes is a fine name for a repository.
    check_refused(&with_domain(), "wharf", "/v2/docker-io/a/manifests/b", RouteError::NoSelector);
}

#[test]
fn a_virtual_host_tolerates_its_own_name_as_a_prefix() {
    for target in [
        "/v2/docker.io/library/alpine/manifests/latest",
        "/docker.io/v2/library/alpine/manifests/latest",
        "/v2/docker.io/v2/library/alpine/manifests/latest",
        "/docker.io/library/alpine/manifests/latest",
    ] {
        check(&with_domain(), "docker.io.cache.example.com", target, HUB, ALPINE);
    }
    let nested = "/v2/docker.io/ghcr.io/a/manifests/b";
    check(&with_domain(), "docker.io.cache.example.com", nested, HUB, "/v2/ghcr.io/a/manifests/b");
}

#[test]
fn selectors_that_disagree_are_refused() {
    for (authority, target) in [
        ("docker.io.cache.example.com", "/v2/a/b/manifests/c?ns=ghcr.io"),
        // No repository's name stands before `/v2`.
        ("docker.io.cache.example.com", "/ghcr.io/v2/a/manifests/b"),
        ("wharf", "/ghcr.io/v2/a/manifests/b?ns=docker.io"),
        ("docker.io.cache.example.com", "/v2/docker.io/a/manifests/b?ns=ghcr.io"),
        ("hub.example.org", "/v2/a/b/manifests/c?ns=ghcr.io"),
        ("hub.example.org", "/v2/?ns=ghcr.io"),
        ("wharf", "/v2/a/manifests/b?ns=docker.io&ns=ghcr.io"),
    ] {
        check_refused(&with_domain(), authority, target, RouteError::Disagree);
    }
}

#[test]
fn k19_host_or_ns_having_chosen_another_registry_s_name_belongs_to_the_repository_s() {
    let hosted =
        RegistryNames { hosts: vec!["harbor.example.org".to_owned()], ..named("harbor.corp.example") };
    let names = [named("docker.io"), named("ghcr.io"), hosted, named("registry.corp.example:8443")];
    let harbor = 2;
    for table in
        [RoutingTable::new(None, Some("ghcr.io"), &names), RoutingTable::new(Some("c.test"), None, &names)]
    {
        let table = table.unwrap();
        for repository in [
            "docker.io/library/nginx",
            "index.docker.io/library/nginx",
            "ghcr.io/v2/a",
            "registry.corp.example/a",
            "registry.corp.example-8443/a",
            "docker.io",
        ] {
            let by_tag = format!("/v2/{repository}/manifests/latest");
            for endpoint in [by_tag, format!("/v2/{repository}/tags/list")] {
                for authority in ["harbor.corp.example", "harbor.corp.example:443", "harbor.example.org"] {
                    check(&table, authority, &endpoint, harbor, &endpoint);
                    let with_ns = format!("{endpoint}?ns=harbor.corp.example");
                    check(&table, authority, &with_ns, harbor, &endpoint);
                }
                check(&table, "10.0.0.5", &format!("{endpoint}?ns=harbor.corp.example"), harbor, &endpoint);
                let own = endpoint.replacen("/v2/", "/v2/harbor.corp.example/", 1);
                check(&table, "harbor.corp.example", &own, harbor, &endpoint);
            }
        }
    }
    // Nothing but the path chooses.
    let table = RoutingTable::new(None, None, &names).unwrap();
    check(&table, "10.0.0.5", "/v2/docker.io/a/manifests/b", HUB, "/v2/a/manifests/b");
    check(
        &table,
        "harbor.corp.example.localhost",
        "/v2/docker.io/a/tags/list",
        harbor,
        "/v2/docker.io/a/tags/list",
    );
}

#[test]
fn ns_names_a_registry_with_its_port() {
    let table = with_domain();
    for (ns, wanted) in [
        ("docker.io", HUB),
        ("registry-1.docker.io", HUB),
        ("index.docker.io", HUB),
        ("Docker.IO", HUB),
        ("docker%2Eio", HUB),
        ("ghcr.io", GHCR),
        ("registry.corp.example:8443", CORP),
        ("registry.corp.example%3A8443", CORP),
        ("registry.corp.example%3a8443", CORP),
        ("ghcr.io&ns=ghcr.io", GHCR),
        ("ghcr.io&ns=", GHCR),
    ] {
        check(&table, "wharf:5000", &format!("/v2/a/b/manifests/c?ns={ns}"), wanted, "/v2/a/b/manifests/c");
    }
    for ns in [
        "quay.io",
        "registry.corp.example",
        "registry.corp.example:443",
        "registry.corp.example-8443",
        "docker-io",
        "docker.io%252e",
        "docker.io%00",
        "%ff",
        "%zz",
        "ghcr.io&ns=quay.io",
    ] {
        let target = format!("/v2/a/b/manifests/c?ns={ns}");
        check_refused(&table, "wharf", &target, RouteError::UnknownRegistry);
        check_refused(&table, "docker.io.cache.example.com", &target, RouteError::UnknownRegistry);
    }
    check_refused(&table, "wharf", "/v2/a/b/manifests/c?ns=", RouteError::NoSelector);
    check_refused(&table, "wharf", "/v2/a/b/manifests/c?NS=ghcr.io", RouteError::NoSelector);
}

#[test]
fn a_registry_with_a_port_has_labels_with_and_without_it() {
    for authority in [
        "registry.corp.example.cache.example.com",
        "registry.corp.example-8443.cache.example.com",
        "registry-corp-example-8443.cache.example.com:5000",
        "registry-corp-example.cache.example.com",
    ] {
        check(&with_domain(), authority, ALPINE, CORP, ALPINE);
    }
    for target in [
        "/v2/registry.corp.example:8443/library/alpine/manifests/latest",
        "/v2/registry.corp.example%3A8443/library/alpine/manifests/latest",
        "/registry.corp.example:8443/v2/library/alpine/manifests/latest",
        "/v2/registry.corp.example-8443/library/alpine/manifests/latest",
        "/v2/registry.corp.example/library/alpine/manifests/latest",
    ] {
        check(&with_domain(), "wharf", target, CORP, ALPINE);
    }
}

#[test]
fn a_port_can_only_be_left_out_where_one_registry_is_meant() {
    let pair = [named("corp.example:8443"), named("corp.example:9443")];
    let table = RoutingTable::new(Some("c.test"), None, &pair).unwrap();
    check_refused(&table, "corp.example.c.test", ALPINE, RouteError::UnknownHost);
    check_refused(&table, "wharf", "/v2/corp.example/a/manifests/b", RouteError::NoSelector);
    check(&table, "corp.example-9443.c.test", ALPINE, 1, ALPINE);

    let with_plain = [named("corp.example:8443"), named("corp.example")];
    let table = RoutingTable::new(Some("c.test"), None, &with_plain).unwrap();
    check(&table, "corp.example.c.test", ALPINE, 1, ALPINE);
    check(&table, "wharf", "/v2/corp.example/a/manifests/b", 1, "/v2/a/manifests/b");
    check(&table, "corp-example-8443.c.test", ALPINE, 0, ALPINE);

    // Neither an address nor `localhost` stands for the registry beside wharf on the same machine.
    let local = [named("10.0.0.5:5001"), named("localhost:5001"), named("[::1]:5001")];
    let table = RoutingTable::new(None, None, &local).unwrap();
    for authority in ["10.0.0.5.nip.io", "10.0.0.5:5001", "localhost.localdomain", "localhost", "[::1]:5001"]
    {
        check_refused(&table, authority, ALPINE, RouteError::NoSelector);
        check(&table, authority, "/v2/a/manifests/b?ns=localhost:5001", 1, "/v2/a/manifests/b");
    }
    check(&table, "10.0.0.5-5001.nip.io", ALPINE, 0, ALPINE);
    check(&table, "wharf", "/v2/a/manifests/b?ns=[::1]:5001", 2, "/v2/a/manifests/b");
}

#[test]
fn the_version_is_answered_on_hosts_that_name_no_virtual_host() {
    for table in [with_domain(), zero_config()] {
        for authority in
            ["cache.example.com", "cache.example.com:5000", "10.0.0.5:5000", "[::1]:5000", "localhost", ""]
        {
            assert_eq!(route(&table, authority, "/v2/"), Ok(Route::Version), "{authority}");
            assert_eq!(route(&table, authority, "/v2"), Ok(Route::Version), "{authority}");
            for target in
                ["/docker.io/v2/", "/docker.io/v2", "/v2/docker.io/v2/", "/v2/docker.io", "/docker.io/"]
            {
                let wanted = if target.ends_with('/') { "/v2/" } else { "/v2" };
                check(&table, authority, target, HUB, wanted);
            }
            check(&table, authority, "/v2/?ns=ghcr.io", GHCR, "/v2/");
            check_refused(&table, authority, "/v2/?ns=quay.io", RouteError::UnknownRegistry);
        }
    }
    check(&with_domain(), "docker.io.cache.example.com", "/v2/", HUB, "/v2/");
    check(&with_domain(), "docker.io.cache.example.com", "/v2", HUB, "/v2");
    check_refused(&with_domain(), "quay.io.cache.example.com", "/v2/", RouteError::UnknownHost);
}

#[test]
fn the_default_registry_comes_last() {
    let table = RoutingTable::new(None, Some("Index.docker.io"), &registries()).unwrap();
    check(&table, "10.0.0.5:5000", ALPINE, HUB, ALPINE);
    check(&table, "", ALPINE, HUB, ALPINE);
    check(&table, "10.0.0.5", "/v2/_catalog", HUB, "/v2/_catalog");
    check(&table, "10.0.0.5", "/v2/a/manifests/b?ns=ghcr.io", GHCR, "/v2/a/manifests/b");
    check(&table, "10.0.0.5", "/v2/ghcr.io/a/manifests/b", GHCR, "/v2/a/manifests/b");
    check(&table, "ghcr.io.localhost", ALPINE, GHCR, ALPINE);
    check_refused(&table, "10.0.0.5", "/v2/a/manifests/b?ns=quay.io", RouteError::UnknownRegistry);
    assert_eq!(route(&table, "10.0.0.5", "/v2/"), Ok(Route::Version));
}

/// A network may resolve a registry's own name to wharf; the default would then serve another's images.
#[test]
fn a_host_that_is_a_registry_goes_before_the_default_and_behind_all_else() {
    let table = RoutingTable::new(None, Some("docker.io"), &registries()).unwrap();
    check(&table, "ghcr.io", ALPINE, GHCR, ALPINE);
    check(&table, "GHCR.io.:443", ALPINE, GHCR, ALPINE);
    check(&table, "registry-1.docker.io", ALPINE, HUB, ALPINE);
    check(&table, "ghcr.io:5000", "/v2/ghcr.io/a/manifests/b", GHCR, "/v2/a/manifests/b");
    check(&table, "ghcr.io:5000", "/v2/a/manifests/b?ns=docker.io", HUB, "/v2/a/manifests/b");
}

#[test]
fn the_default_stands_in_for_no_registry_that_the_host_names() {
    let table = RoutingTable::new(None, Some("docker.io"), &registries()).unwrap();
    for authority in ["nvcr.io.localhost:5000", "nvcr.io.10.0.0.5.nip.io", "quay.io.0a000005.nip.io"] {
        check_refused(&table, authority, "/v2/nvidia/cuda/manifests/1", RouteError::UnknownHost);
        check(&table, authority, "/v2/ghcr.io/a/manifests/b", GHCR, "/v2/a/manifests/b");
    }
    for authority in ["wharf.localhost", "10.0.0.5.nip.io", "mirror.corp.example", "wharf"] {
        check(&table, authority, ALPINE, HUB, ALPINE);
    }
}

#[test]
fn a_registry_that_nobody_named_is_told_from_one_that_was() {
    let table = RoutingTable::new(None, Some("docker.io"), &registries()).unwrap();
    for (authority, target, wanted) in [
        ("10.0.0.5", ALPINE, true),
        ("10.0.0.5", "/v2/docker.io/a/manifests/b", false),
        ("docker.io.localhost", ALPINE, false),
        ("docker.io", ALPINE, false),
    ] {
        assert_eq!(table.is_by_default(authority, target, None), wanted, "{authority} {target}");
    }
    assert!(!table.is_by_default("10.0.0.5", "/v2/a/manifests/b", Some("ns=docker.io")));
    assert!(!zero_config().is_by_default("10.0.0.5", ALPINE, None));
}

#[test]
fn what_stands_before_the_domain_is_told() {
    for (authority, wanted) in [
        ("nvcr.io.Cache.example.com:5000", Some("nvcr.io")),
        ("cache.example.com", None),
        ("nvcr.io.elsewhere.example", None),
        ("a b", None),
    ] {
        assert_eq!(with_domain().label_of(authority).as_deref(), wanted, "{authority}");
    }
    assert_eq!(zero_config().label_of("nvcr.io.cache.example.com"), None);
    assert_eq!(zero_config().label_of("nvcr.io.10.0.0.5.nip.io:5000").as_deref(), Some("nvcr.io"));
}

#[test]
fn an_authority_that_is_no_host_is_refused() {
    let table = RoutingTable::new(None, Some("docker.io"), &registries()).unwrap();
    for authority in [
        ".",
        "..",
        ":5000",
        "docker.io..",
        "docker.io..localhost",
        ".docker.io",
        "docker.io:port",
        "docker.io:5000:5000",
        "docker.io:65536",
        "docker.io:-1",
        "docker.io:+1",
        "user@docker.io",
        "docker.io/v2",
        "docker.io, ghcr.io",
        "docker.io ",
        "docker.io\0",
        "docker%2Eio",
        "dockeŕ.io",
        "::1",
        "[::1",
        "[::1]5000",
        "[::1%25eth0]",
        "[docker.io]",
        "*",
        &"a".repeat(254),
    ] {
        check_refused(&table, authority, ALPINE, RouteError::BadAuthority);
        check_refused(&table, authority, "/v2/", RouteError::BadAuthority);
    }
    check(&table, &"a".repeat(253), ALPINE, HUB, ALPINE);
}

#[test]
fn an_ipv6_address_may_be_a_host_in_any_spelling() {
    let names = RegistryNames { hosts: vec!["[2001:DB8:0::5]:5000".to_owned()], ..named("docker.io") };
    let table = RoutingTable::new(Some("cache.example.com"), None, &[names]).unwrap();
    for authority in ["[2001:db8::5]", "[2001:db8::5]:80", "[2001:0DB8:0:0::5]:5000"] {
        check(&table, authority, ALPINE, HUB, ALPINE);
    }
    check_refused(&table, "[2001:db8::6]", ALPINE, RouteError::NoSelector);
}

#[test]
fn paths_outside_the_api_come_back_as_they_are() {
    for path in ["/", "/favicon.ico", "/v1/_ping", "/v20/", "//v2/", "/v2//docker.io/a", "", "*", "v2/"] {
        check(&with_domain(), "docker.io.cache.example.com", path, HUB, path);
        check_refused(&with_domain(), "wharf", path, RouteError::NoSelector);
    }
}

#[test]
fn a_link_goes_back_in_the_form_the_client_used() {
    for (authority, target, wanted) in [
        ("docker.io.cache.example.com", "/v2/a/tags/list", "/v2/a/tags/list?n=5"),
        ("wharf", "/v2/a/tags/list?n=5&ns=docker.io", "/v2/a/tags/list?n=5&ns=docker.io"),
        ("wharf", "/docker.io/v2/a/tags/list", "/docker.io/v2/a/tags/list?n=5"),
        ("wharf", "/v2/docker.io/a/tags/list", "/v2/docker.io/a/tags/list?n=5"),
        (
            "wharf",
            "/v2/docker.io/v2/a/tags/list?ns=Docker.io",
            "/v2/docker.io/v2/a/tags/list?n=5&ns=docker.io",
        ),
        ("wharf", "/docker.io/a/tags/list", "/docker.io/a/tags/list?n=5"),
        (
            "wharf",
            "/v2/registry.corp.example%3A8443/a/tags/list?ns=registry.corp.example:8443",
            "/v2/registry.corp.example%3A8443/a/tags/list?n=5&ns=registry.corp.example%3A8443",
        ),
    ] {
        let Ok(Route::Registry { path, link, .. }) = route(&with_domain(), authority, target) else {
            panic!("{authority} {target} names a registry");
        };
        assert_eq!(path, "/v2/a/tags/list");
        assert_eq!(link.target(&path, "n=5"), wanted);
        assert_eq!(link.path(&path), wanted.split('?').next().unwrap());
    }
    let plain = LinkShape { base: "/v2".to_owned(), ns: None };
    assert_eq!(plain.target("/v2/a/tags/list", ""), "/v2/a/tags/list");
    let with_ns = LinkShape { base: "/v2".to_owned(), ns: Some("ghcr.io".to_owned()) };
    assert_eq!(with_ns.target("/v2/a/tags/list", ""), "/v2/a/tags/list?ns=ghcr.io");
}

fn overlap(name: &str, first: &str, second: &str) -> TableError {
    TableError::Overlap { name: name.to_owned(), first: first.to_owned(), second: second.to_owned() }
}

#[track_caller]
fn check_table(domain: Option<&str>, default: Option<&str>, names: &[RegistryNames], wanted: &[TableError]) {
    let errors = RoutingTable::new(domain, default, names).err().unwrap_or_default();
    assert_eq!(errors, wanted);
}

#[test]
fn names_that_overlap_are_refused_and_both_registries_named() {
    let aliased = |name: &str, alias: &str| RegistryNames { aliases: vec![alias.to_owned()], ..named(name) };
    let hosted = |name: &str, host: &str| RegistryNames { hosts: vec![host.to_owned()], ..named(name) };
    for domain in [None, Some("c.test")] {
        let twice = [named("docker.io"), named("Docker.IO.")];
        check_table(domain, None, &twice, &[overlap("docker.io", "docker.io", "Docker.IO.")]);
        let implied = [named("docker.io"), named("index.docker.io")];
        check_table(domain, None, &implied, &[overlap("index.docker.io", "docker.io", "index.docker.io")]);
        let stolen = [named("ghcr.io"), aliased("quay.io", "ghcr.io")];
        check_table(domain, None, &stolen, &[overlap("ghcr.io", "ghcr.io", "quay.io")]);
        let dashed = [named("docker.io"), named("docker-io")];
        check_table(domain, None, &dashed, &[overlap("docker-io", "docker.io", "docker-io")]);
        let port = [named("corp.example:8443"), named("corp.example-8443")];
        check_table(
            domain,
            None,
            &port,
            &[overlap("corp.example-8443", "corp.example:8443", "corp.example-8443")],
        );
        let hosts = [hosted("docker.io", "hub.test:80"), hosted("ghcr.io", "HUB.test.")];
        check_table(domain, None, &hosts, &[overlap("hub.test", "docker.io", "ghcr.io")]);
    }
    let taken = [named("docker.io"), hosted("ghcr.io", "docker-io.c.test")];
    check_table(Some("c.test"), None, &taken, &[overlap("docker-io.c.test", "docker.io", "ghcr.io")]);
    let hidden = [named("docker.io"), hosted("ghcr.io", "docker.io.c.test")];
    check_table(None, None, &hidden, &[overlap("docker.io.c.test", "docker.io", "ghcr.io")]);
    check_table(Some("elsewhere.test"), None, &hidden, &[]);
    let own =
        RegistryNames { aliases: vec!["docker.io".to_owned()], ..hosted("docker.io", "docker.io.c.test") };
    for domain in [None, Some("c.test")] {
        check_table(domain, None, std::slice::from_ref(&own), &[]);
    }
}

#[test]
fn every_mistake_in_the_names_is_told_at_once() {
    let bad = RegistryNames {
        name: "ghcr.io".to_owned(),
        aliases: vec!["gh cr".to_owned()],
        hosts: vec!["*.example.com".to_owned(), String::new()],
    };
    let bad_host = |host: &str| TableError::BadHost { registry: "ghcr.io".to_owned(), host: host.to_owned() };
    check_table(
        Some("c.test:80"),
        Some("quay.io"),
        &[named(""), named("v2"), named("https://quay.io"), bad],
        &[
            TableError::BadName { name: String::new() },
            TableError::BadName { name: "v2".to_owned() },
            TableError::BadName { name: "https://quay.io".to_owned() },
            TableError::BadName { name: "gh cr".to_owned() },
            TableError::BadDomain("c.test:80".to_owned()),
            bad_host("*.example.com"),
            bad_host(""),
            TableError::UnknownDefault("quay.io".to_owned()),
        ],
    );
    for domain in ["", ".", "*.c.test", "[::1]", "c..test"] {
        check_table(Some(domain), None, &registries(), &[TableError::BadDomain(domain.to_owned())]);
    }
}

#[test]
fn the_domain_and_the_default_may_be_spelled_freely() {
    let table =
        RoutingTable::new(Some("Cache.Example.com."), Some("Registry-1.Docker.IO"), &registries()).unwrap();
    check(&table, "ghcr.io.cache.example.com", ALPINE, GHCR, ALPINE);
    check(&table, "wharf", ALPINE, HUB, ALPINE);
}

#[test]
fn a_registry_named_after_any_of_the_hub_s_names_has_them_all() {
    for name in ["docker.io", "registry-1.docker.io", "index.docker.io"] {
        let table = RoutingTable::new(None, None, &[named("ghcr.io"), named(name)]).unwrap();
        for ns in ["docker.io", "registry-1.docker.io", "index.docker.io"] {
            check(&table, "wharf", &format!("/v2/a/manifests/b?ns={ns}"), 1, "/v2/a/manifests/b");
        }
    }
    let aliased = RegistryNames { aliases: vec!["docker.io".to_owned()], ..named("hub.corp.example") };
    let table = RoutingTable::new(None, None, &[aliased]).unwrap();
    check(&table, "wharf", "/v2/index.docker.io/a/manifests/b", 0, "/v2/a/manifests/b");
}

fn a_host() -> impl Strategy<Value = String> {
    let label =
        "(docker|docker-io|io|ghcr|registry|corp|example|example-8443|10|0|5|nip|cache|com|hub|org|a)";
    prop_oneof![
        proptest::collection::vec(label, 1..7).prop_map(|labels| labels.join(".")),
        Just("docker.io.cache.example.com".to_owned()),
        Just("registry.corp.example.localhost".to_owned()),
        Just("[2001:db8::5]".to_owned()),
    ]
}

fn a_target() -> impl Strategy<Value = String> {
    let segment = "(v2|docker\\.io|ghcr\\.io|Docker\\.io|registry\\.corp\\.example(:|%3A)8443|library|manifests|tags|list|a|)";
    let ns =
        prop_oneof![Just(""), Just("?ns=docker.io"), Just("?ns=ghcr.io"), Just("?ns=quay.io"), Just("?n=1")];
    (proptest::collection::vec(segment, 0..7), ns)
        .prop_map(|(segments, ns)| format!("/{}{ns}", segments.join("/")))
}

fn a_table() -> impl Strategy<Value = RoutingTable> {
    let domain = prop_oneof![Just(None), Just(Some("cache.example.com"))];
    let default = prop_oneof![Just(None), Just(Some("docker.io"))];
    (domain, default).prop_map(|(domain, default)| RoutingTable::new(domain, default, &registries()).unwrap())
}

proptest! {
    #[test]
    fn spelling_the_host_differently_never_changes_the_decision(
        table in a_table(),
        host in a_host(),
        target in a_target(),
        upper in any::<u64>(),
        dot in any::<bool>(),
        port in proptest::option::of(any::<u16>()),
    ) {
        let is_upper = |index: usize| upper >> (index % 64) & 1 == 1;
        let mut spelled: String = host
            .chars()
            .enumerate()
            .map(|(index, letter)| if is_upper(index) { letter.to_ascii_uppercase() } else { letter })
            .collect();
        if dot && !host.starts_with('[') {
            spelled.push('.');
        }
        if let Some(port) = port {
            spelled.push_str(&format!(":{port}"));
        }
        prop_assert_eq!(route(&table, &spelled, &target), route(&table, &host, &target));
    }

    #[test]
    fn only_configured_registries_are_chosen_and_links_lead_back_to_them(
        table in a_table(),
        host in a_host(),
        target in a_target(),
    ) {
        if let Ok(Route::Registry { registry: index, path, link }) = route(&table, &host, &target) {
            prop_assert!(index < registries().len());
            if path == "/v2" || path.starts_with("/v2/") {
                let again = route(&table, &host, &link.target(&path, ""));
                prop_assert_eq!(again, Ok(Route::Registry { registry: index, path, link }));
            }
        }
    }

    #[test]
    fn every_selector_that_speaks_agrees_with_the_choice(
        table in a_table(),
        host in a_host(),
        target in a_target(),
    ) {
        if let Ok(Route::Registry { registry: index, .. }) = route(&table, &host, &target) {
            let by_host_alone = route(&table, &host, "/v2/x/manifests/y");
            let is_virtual_host = route(&table, &host, "/v2/") != Ok(Route::Version);
            if let (true, Ok(Route::Registry { registry: by_host, .. })) = (is_virtual_host, by_host_alone) {
                prop_assert_eq!(by_host, index);
            }
            if let Some((_, query)) = target.split_once('?').filter(|(_, query)| query.starts_with("ns=")) {
                let by_ns = route(&table, "10.0.0.5", &format!("/v2/x/manifests/y?{query}"));
                let Ok(Route::Registry { registry: by_ns, .. }) = by_ns else {
                    panic!("`{query}` names a registry")
                };
                prop_assert_eq!(by_ns, index);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic_or_choose_what_is_not_there(
        table in a_table(),
        authority in ".{0,40}",
        path in ".{0,60}",
        query in proptest::option::of(".{0,40}"),
    ) {
        let route = table.route(&authority, &path, query.as_deref());
        if let Ok(Route::Registry { registry: index, .. }) = route {
            prop_assert!(index < registries().len());
        }
    }
}
