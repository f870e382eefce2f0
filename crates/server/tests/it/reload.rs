//! Reloads: the served configuration changes while the server runs.

use std::sync::Arc;

use cache::Backend;
use policy::host::{RegistryNames, RoutingTable};
use server::{Settings, Snapshot, TlsSettings};
use testkit::client::Connection;
use testkit::{Authority, BlobSource, Certificate, within};

use crate::lab::{DOMAIN, HUB, Lab, QUAY, certificates, loopback};

const LARGE: BlobSource = BlobSource::Generated { seed: 31, len: (12 << 20) + 5 };

/// The current snapshot, reduced to these registries.
fn only(lab: &Lab, names: &[&str], settings: Settings) -> Snapshot {
    let now = lab.control.snapshot();
    let kept: Vec<&Arc<Backend>> =
        now.routes.registries().iter().filter(|backend| names.contains(&backend.name())).collect();
    let named = |name: &str| RegistryNames { name: name.to_owned(), ..RegistryNames::default() };
    let names: Vec<_> = kept.iter().map(|backend| named(backend.name())).collect();
    let routes = RoutingTable::new(Some(DOMAIN), None, &names).unwrap();
    Snapshot { routes: routes.map(|index| Arc::clone(kept[*index])), access: None, settings }
}

fn settings(lab: &Lab) -> Settings {
    lab.control.snapshot().settings.clone()
}

#[tokio::test]
async fn f41_a_request_goes_on_with_what_it_began_with_and_the_next_one_sees_the_change() {
    let lab = Lab::start().await;
    let digest = lab.hub.put_blob(LARGE);
    let target = format!("/v2/library/app/blobs/{digest}");
    let mut connection = lab.connect().await;
    connection.request("GET", HUB, &target, &[]).await.unwrap();
    let head = within("a head", connection.read_head("GET")).await.unwrap();
    assert_eq!(head.status, 200);
    lab.control.replace(only(&lab, &["quay.io"], settings(&lab)));
    assert_eq!(lab.get(HUB, "/v2/").await.status, 404, "other requests see that the registry is gone");
    let (body, end) = within("the rest", connection.read_rest()).await;
    assert!(end.is_ok() && body == LARGE.read(0, usize::try_from(LARGE.len()).unwrap()));
    // The connection stays open too.
    connection.request("GET", QUAY, "/v2/", &[]).await.unwrap();
    assert_eq!(within("an answer", connection.read_response("GET")).await.unwrap().status, 200);
}

#[tokio::test]
async fn f41_the_waits_and_bounds_of_a_new_snapshot_hold_for_what_begins_then() {
    let lab = Lab::start().await;
    let mut first = lab.connect().await;
    first.request("GET", HUB, "/v2/", &[]).await.unwrap();
    assert_eq!(within("an answer", first.read_response("GET")).await.unwrap().status, 200);
    let bounded = Settings { connection_count_max: 1, client_connection_count_max: 1, ..settings(&lab) };
    lab.control.replace(only(&lab, &["docker.io", "quay.io"], bounded));
    assert_eq!(lab.get(HUB, "/v2/").await.status, 503, "a second connection is one too many now");
    first.request("GET", HUB, "/v2/", &[]).await.unwrap();
    assert_eq!(within("an answer", first.read_response("GET")).await.unwrap().status, 200);
    let wide = Settings { connection_count_max: 10, client_connection_count_max: 10, ..settings(&lab) };
    lab.control.replace(only(&lab, &["docker.io", "quay.io"], wide));
    assert_eq!(lab.get(HUB, "/v2/").await.status, 200);
}

#[tokio::test]
async fn f41_no_place_for_an_answer_is_a_bound_that_changes_too() {
    let lab = Lab::start().await;
    let none = Settings { answer_count_max: 0, ..settings(&lab) };
    lab.control.replace(only(&lab, &["docker.io"], none));
    within("the permits are taken back", async { while lab.get(HUB, "/v2/").await.status != 503 {} }).await;
    let one = Settings { answer_count_max: 1, ..settings(&lab) };
    lab.control.replace(only(&lab, &["docker.io"], one));
    assert_eq!(lab.get(HUB, "/v2/").await.status, 200);
}

#[tokio::test]
async fn f41_another_certificate_is_shown_to_new_connections_and_old_ones_stay() {
    let [old, new] = [Authority::new(), Authority::new()];
    let tls = |authority: &Authority| {
        TlsSettings::new(vec![loopback()], certificates(&[authority.server_identity(Certificate::Valid)]))
    };
    let lab = Lab::start_with(|plan| plan.settings.tls = Some(tls(&old))).await;
    let address = lab.tls.unwrap();
    let mut first = Connection::open_tls(address, "localhost", &old.pem()).await.unwrap();
    assert!(Connection::open_tls(address, "localhost", &new.pem()).await.is_err());
    lab.control.replace(only(&lab, &["quay.io"], Settings { tls: Some(tls(&new)), ..settings(&lab) }));
    let mut second = Connection::open_tls(address, "localhost", &new.pem()).await.unwrap();
    assert!(Connection::open_tls(address, "localhost", &old.pem()).await.is_err());
    for connection in [&mut first, &mut second] {
        connection.request("GET", "localhost", "/v2/", &[]).await.unwrap();
        assert_eq!(within("an answer", connection.read_response("GET")).await.unwrap().status, 200);
    }
}
