//! Names that cannot be validated, and an authority that fails.

use crate::lab::{HOSTS, Lab, REGISTRY};

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_holds_up_no_other() {
    let Some(lab) = Lab::start() else { return };
    let wharf = lab.wharf(&lab.configuration("", &format!("{REGISTRY}hosts = [\"absent.example\"]\n")));
    let line = wharf.wait_for_line("cannot obtain a certificate for");
    assert!(line.contains("for absent.example: the authority did not validate absent.example"), "{line}");
    assert!(line.contains("some of these names have no valid certificate"), "{line}");
    wharf.wait_for_line("obtained a certificate for reg.example,");
    for host in HOSTS {
        assert_eq!(lab.connect(host).await.unwrap(), 200, "{host}");
    }
    let metrics = wharf.metrics().await;
    assert!(metrics.contains("wharf_acme_orders_total{result=\"failure\"} 1"), "{metrics}");
    assert!(metrics.contains("wharf_acme_names_without_certificate 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_authority_is_away_wharf_serves_and_says_what_is_missing() {
    let Some(lab) = Lab::start() else { return };
    let text = lab.configuration("", REGISTRY).replace("/dir\"", "/no-directory\"");
    let wharf = lab.wharf(&text);
    let line = wharf.wait_for_line("cannot obtain a certificate for");
    assert!(line.contains("cannot use https://localhost") && line.contains("/no-directory"), "{line}");
    assert!(lab.connect(HOSTS[0]).await.is_err(), "there is no certificate to show");
    let live = testkit::client::get(lab.plain, "reg.example", "/livez", &[]).await.unwrap();
    assert_eq!(live.status, 200);
}
