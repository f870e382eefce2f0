use super::{is_address_or_listed, is_local, is_loopback, names_a_registry, registry_name};

#[test]
fn addresses_and_names_of_one_part_are_local() {
    for host in ["", "localhost", "wharf", "10.0.0.5", "[::1]", "docker.io.localhost", "registry.localhost"] {
        assert!(is_local(host), "{host}");
    }
    for host in ["attacker.example", "10.0.0.5.nip.io", "127.1", "10.0.0.256", "localhost.attacker.example"] {
        assert!(!is_local(host), "{host}");
    }
}

#[test]
fn t15_a_name_is_ours_if_it_is_listed() {
    let listed = ["Wharf.internal.".to_owned()];
    for authority in [
        "",
        "localhost",
        "LOCALHOST:5001",
        "127.0.0.1:5001",
        "[::1]:5001",
        "wharf.internal",
        "wharf.internal.:1",
    ] {
        assert!(is_address_or_listed(authority, &listed), "{authority}");
    }
    for authority in [
        "attacker.example",
        "wharf",
        "localhost.attacker.example:5001",
        "127.0.0.1.nip.io",
        "127.1",
        "a b",
        "x.wharf.internal",
        "wharf.internal.attacker.example",
    ] {
        assert!(!is_address_or_listed(authority, &listed), "{authority}");
    }
}

#[test]
fn a_registry_s_name_before_an_address_is_noticed() {
    for host in [
        "nvcr.io.localhost",
        "nvcr.io.10.0.0.5.nip.io",
        "nvcr.io.10.0.0.5.sslip.io",
        "nvcr.io.10-0-0-5.nip.io",
        "nvcr.io.0a000005.nip.io",
    ] {
        assert!(names_a_registry(host), "{host}");
    }
    for host in [
        "",
        "localhost",
        "wharf.localhost",
        "10.0.0.5.nip.io",
        "wharf.10.0.0.5.nip.io",
        "0a000005.nip.io",
        "nip.io",
        ".nip.io",
        "nvcr.io",
        "nvcr.io.corp.example",
        "10.0.0.5",
    ] {
        assert!(!names_a_registry(host), "{host}");
    }
}

#[test]
fn a_name_to_be_configured_has_a_dot_or_a_port() {
    let rows = [
        ("nvcr.io", Some("nvcr.io")),
        ("NVCR.io.", Some("nvcr.io")),
        ("localhost:5000", Some("localhost:5000")),
        ("[::1]:5000", Some("[::1]:5000")),
        ("library", None),
        ("", None),
        (":5000", None),
        ("nvcr.io/x", None),
        ("nvcr.io\"", None),
        ("nvcr..io", None),
    ];
    for (text, wanted) in rows {
        assert_eq!(registry_name(text).as_deref(), wanted, "{text}");
    }
}

#[test]
fn newcomer_a_name_that_never_leaves_a_machine_is_no_registry_to_add() {
    for host in ["localhost", "127.0.0.1", "127.1.2.3", "0.0.0.0", "[::1]", "[::]"] {
        assert!(is_loopback(host), "{host}");
    }
    for host in ["docker.io", "10.0.0.5", "[fd00::1]", "a.localhost", "wharf", ""] {
        assert!(!is_loopback(host), "{host}");
    }
}
