//! What is served changes while the server runs.

use std::sync::Arc;

use cache::Backend;
use policy::host::{RegistryNames, RoutingTable};
use secret::Secret;
use server::{AdminSettings, ReloadAnswer, Reloads, Settings, Snapshot, TlsIdentity, TlsSettings};
use testkit::client::{Connection, request};
use testkit::{Authority, BlobSource, Certificate, Image, within};
use tokio::sync::oneshot;

use crate::lab::{DOMAIN, HUB, Lab, QUAY, loopback};

const LARGE: BlobSource = BlobSource::Generated { seed: 31, len: (12 << 20) + 5 };

/// The snapshot in use with these of its registries.
fn only(lab: &Lab, names: &[&str], settings: Settings) -> Snapshot {
    let now = lab.control.snapshot();
    let kept: Vec<&Arc<Backend>> =
        now.routes.registries().iter().filter(|backend| names.contains(&backend.name())).collect();
    let named = |name: &str| RegistryNames { name: name.to_owned(), ..RegistryNames::default() };
    let names: Vec<_> = kept.iter().map(|backend| named(backend.name())).collect();
    let routes = RoutingTable::new(Some(DOMAIN), None, &names).unwrap();
    Snapshot { routes: routes.map(|index| Arc::clone(kept[*index])), settings }
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
    assert_eq!(lab.get(HUB, "/v2/").await.status, 404, "the registry is gone for others");
    let (body, end) = within("the rest", connection.read_rest()).await;
    assert!(end.is_ok() && body == LARGE.read(0, usize::try_from(LARGE.len()).unwrap()));
    // The connection itself stays as well.
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
    within("the places are taken back", async { while lab.get(HUB, "/v2/").await.status != 503 {} }).await;
    let one = Settings { answer_count_max: 1, ..settings(&lab) };
    lab.control.replace(only(&lab, &["docker.io"], one));
    assert_eq!(lab.get(HUB, "/v2/").await.status, 200);
}

fn identity(authority: &Authority) -> TlsIdentity {
    let identity = authority.server_identity(Certificate::Valid);
    TlsIdentity::from_pem(identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes()).unwrap()
}

#[tokio::test]
async fn f41_another_certificate_is_shown_to_new_connections_and_old_ones_stay() {
    let [old, new] = [Authority::new(), Authority::new()];
    let tls = |authority: &Authority| TlsSettings { listen: vec![loopback()], identity: identity(authority) };
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

#[tokio::test]
async fn f41_the_admin_token_can_be_changed() {
    let admin =
        |token: &str| Some(AdminSettings { listen: loopback(), token: Some(Secret::new(token.to_owned())) });
    let lab = Lab::start_with(|plan| plan.settings.admin = admin("old")).await;
    let ask = |token: &'static str| {
        let address = lab.admin.unwrap();
        async move {
            let headers = [("authorization", token)];
            request("GET", address, "localhost", "/metrics", &headers).await.unwrap().status
        }
    };
    assert_eq!((ask("Bearer old").await, ask("Bearer new").await), (200, 401));
    lab.control.replace(only(&lab, &["quay.io"], Settings { admin: admin("new"), ..settings(&lab) }));
    assert_eq!((ask("Bearer old").await, ask("Bearer new").await), (401, 200));
}

/// A lab whose admin listener hands requests to reload to a task that answers each with what `answers` gives.
async fn lab_that_reloads(
    token: Option<&str>,
    answers: Vec<ReloadAnswer>,
) -> (Lab, oneshot::Receiver<usize>) {
    let (reloads, mut asked) = Reloads::new();
    let token = token.map(|token| Secret::new(token.to_owned()));
    let lab = Lab::start_with(|plan| {
        plan.settings.admin = Some(AdminSettings { listen: loopback(), token });
        plan.reloads = Some(reloads);
    });
    let (told, count) = oneshot::channel();
    tokio::spawn(async move {
        let expected = answers.len();
        for answer in answers {
            asked.recv().await.unwrap().answer(answer);
        }
        drop(asked);
        told.send(expected).unwrap();
    });
    (lab.await, count)
}

fn answer(is_success: bool, text: &str) -> ReloadAnswer {
    ReloadAnswer { is_success, text: text.to_owned() }
}

#[tokio::test]
async fn f41_a_reload_is_asked_for_by_post_and_the_answer_says_how_it_ended() {
    let (lab, count) =
        lab_that_reloads(None, vec![answer(true, "nothing changed\n"), answer(false, "wharf.toml:1: no\n")])
            .await;
    let ask = |method: &'static str, headers: &'static [(&'static str, &'static str)]| {
        request(method, lab.admin.unwrap(), "localhost", "/api/reload", headers)
    };
    let done = within("an answer", ask("POST", &[("content-length", "0")])).await.unwrap();
    assert_eq!((done.status, done.text().as_str()), (200, "nothing changed\n"));
    let refused = within("an answer", ask("POST", &[])).await.unwrap();
    assert_eq!((refused.status, refused.text().as_str()), (422, "wharf.toml:1: no\n"));
    count.await.unwrap();
    assert_eq!(within("an answer", ask("POST", &[])).await.unwrap().status, 503, "nobody does it any more");
    let asked = within("an answer", ask("GET", &[])).await.unwrap();
    assert_eq!((asked.status, asked.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn f41_no_web_page_and_nobody_without_the_token_reloads() {
    let (lab, count) = lab_that_reloads(Some("s3cret"), vec![answer(true, "done\n")]).await;
    let token = ("authorization", "Bearer s3cret");
    let ask = |host: &'static str, headers: Vec<(&'static str, &'static str)>| {
        let address = lab.admin.unwrap();
        async move { request("POST", address, host, "/api/reload", &headers).await.unwrap().status }
    };
    assert_eq!(ask("localhost", vec![]).await, 401);
    assert_eq!(ask("localhost", vec![("authorization", "Bearer guess")]).await, 401);
    assert_eq!(ask("attacker.example", vec![]).await, 403);
    for field in
        [("origin", "http://localhost"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]
    {
        assert_eq!(ask("localhost", vec![token, field]).await, 403, "{field:?}");
    }
    assert_eq!(ask("localhost", vec![token, ("content-length", "3")]).await, 400);
    assert_eq!(ask("localhost", vec![token]).await, 200);
    assert_eq!(count.await.unwrap(), 1);
    // Only this path takes POST.
    let other = request("POST", lab.admin.unwrap(), "localhost", "/api/registries", &[token]).await.unwrap();
    assert_eq!(other.status, 405);
}

#[tokio::test]
async fn f41_the_list_of_registries_is_that_of_now() {
    let lab = Lab::start_with(|plan| {
        plan.settings.admin = Some(AdminSettings { listen: loopback(), token: None });
    });
    let lab = lab.await;
    lab.hub.put_image("library/busybox", "1", &Image::small("one"));
    lab.control.replace(only(&lab, &["quay.io"], settings(&lab)));
    let listed = request("GET", lab.admin.unwrap(), "localhost", "/api/registries", &[]).await.unwrap();
    let expected = serde_json::json!({ "registries": [{ "name": "quay.io", "state": "serving" }] });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&listed.text()).unwrap(), expected);
}
