//! Certificates by each challenge.

use std::fs;

use testkit::client;

use crate::lab::{HOSTS, Lab, REGISTRY};
use crate::pebble::BINDING;
use crate::program::run;

/// The line about a certificate that was obtained.
const OBTAINED: &str = "obtained a certificate for";

#[tokio::test(flavor = "multi_thread")]
async fn http_01_obtains_a_certificate_for_each_virtual_host_and_a_restart_orders_nothing() {
    let Some(lab) = Lab::start() else { return };
    let text = lab.configuration("", REGISTRY);
    let wharf = lab.wharf(&text);
    wharf.wait_for_line("certificates for 3 names come from https://localhost");
    wharf.wait_for_line(OBTAINED);
    for host in HOSTS {
        assert_eq!(lab.connect(host).await.unwrap(), 200, "{host}");
    }
    assert!(lab.connect("quay-io.reg.example").await.is_err(), "a name that no registry has");
    let metrics = wharf.metrics().await;
    for line in [
        "wharf_acme_orders_total{result=\"success\"} 1",
        "wharf_acme_orders_total{result=\"failure\"} 0",
        "wharf_acme_names_without_certificate 0",
        "wharf_unrouted_requests_total{reason=\"challenge\",status=\"200\"}",
        "wharf_tls_certificate_expiry_timestamp_seconds{cert_file=\"",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    // No challenge is pending any more, so this path is one of any other.
    let answer = client::get(lab.plain, "reg.example", "/.well-known/acme-challenge/x", &[]).await.unwrap();
    assert_eq!(answer.status, 308);
    drop(wharf);

    let orders = lab.pebble.count("POST /order-plz");
    let again = lab.wharf(&text);
    assert_eq!(lab.connect(HOSTS[2]).await.unwrap(), 200, "shown from the first handshake on");
    assert!(!again.log().contains(OBTAINED), "{}", again.log());
    assert_eq!(lab.pebble.count("POST /order-plz"), orders);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_01_is_answered_before_rules_of_access() {
    let Some(lab) = Lab::start() else { return };
    let wharf =
        lab.wharf(&lab.configuration("", &format!("[access]\naddresses = \"192.0.2.1\"\n{REGISTRY}")));
    wharf.wait_for_line(OBTAINED);
    assert_eq!(lab.connect(HOSTS[0]).await.unwrap(), 403, "and no other request is");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_alpn_01_obtains_a_certificate_without_any_plain_listener() {
    let Some(lab) = Lab::start() else { return };
    let text = lab.configuration("challenge = \"tls-alpn-01\"\n", REGISTRY);
    let text = text.replace(&format!("listen = \"{}\"", lab.plain), "listen = \"off\"");
    let text = text.replace("plain = \"redirect\"\n", "");
    let wharf = lab.wharf(&text);
    wharf.wait_for_line(OBTAINED);
    for host in HOSTS {
        assert_eq!(lab.connect(host).await.unwrap(), 200, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_bound_to_one_at_the_authority() {
    let Some(lab) = Lab::start_with(true) else { return };
    let (key_id, key) = BINDING;
    let variables = [("EAB_KEY", key.into())];
    let text = lab.configuration(&format!("eab_key_id = {key_id:?}\neab_key = \"${{EAB_KEY}}\"\n"), REGISTRY);
    let wharf = lab.wharf_with(&text, &variables);
    wharf.wait_for_line(OBTAINED);
    assert!(!wharf.log().contains(key));
    drop(wharf);

    fs::remove_dir_all(lab.directory.path().join("wharf-data/_acme")).unwrap();
    let unbound = lab.wharf(&lab.configuration("", REGISTRY));
    let line = unbound.wait_for_line("cannot obtain a certificate for");
    assert!(
        line.contains("the authority did not make an account") && line.contains("externalAccount"),
        "{line}"
    );
    assert!(line.contains("tries again in"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wharf_check_lists_the_names_to_request() {
    let Some(lab) = Lab::start() else { return };
    let text = lab.configuration("", REGISTRY);
    fs::write(lab.directory.path().join("wharf.toml"), &text).unwrap();
    let (code, told, complaint) = run(lab.directory.path(), &["check"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{told}");
    let list = "by http-01:\n  reg.example\n  ghcr.io.reg.example\n  ghcr-io.reg.example\n";
    assert!(told.contains(list), "{told}");
    assert!(lab.state_files("").is_empty(), "a check makes nothing");
}
