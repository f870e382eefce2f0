//! Reloads requested at the admin listener, and their effect on it.

use std::sync::Arc;

use admin::{ReloadAnswer, Reloads};
use cache::Backend;
use policy::host::{RegistryNames, RoutingTable};
use server::Snapshot;
use testkit::client::request;
use testkit::within;
use testlab::DOMAIN;
use tokio::sync::oneshot;

use crate::{AdminLab, settings};

#[tokio::test]
async fn f41_the_admin_token_can_be_changed() {
    let lab = AdminLab::start(settings(Some("old"))).await;
    let ask = async |token: &str| {
        lab.ask_as("localhost", "GET", "/metrics", &[("authorization", token)]).await.status
    };
    assert_eq!((ask("Bearer old").await, ask("Bearer new").await), (200, 401));
    lab.admin.replace(&settings(Some("new")));
    assert_eq!((ask("Bearer old").await, ask("Bearer new").await), (401, 200));
}

/// A lab whose reload requests are answered with `answers`, one each.
async fn lab_that_reloads(
    token: Option<&str>,
    answers: Vec<ReloadAnswer>,
) -> (AdminLab, oneshot::Receiver<usize>) {
    let (reloads, mut asked) = Reloads::new();
    let lab = AdminLab::start_with(settings(token), Some(reloads));
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
        request(method, lab.address, "localhost", "/api/reload", headers)
    };
    let done = within("an answer", ask("POST", &[("content-length", "0")])).await.unwrap();
    assert_eq!((done.status, done.text().as_str()), (200, "nothing changed\n"));
    let refused = within("an answer", ask("POST", &[])).await.unwrap();
    assert_eq!((refused.status, refused.text().as_str()), (422, "wharf.toml:1: no\n"));
    count.await.unwrap();
    assert_eq!(
        within("an answer", ask("POST", &[])).await.unwrap().status,
        503,
        "the task that reloads has ended"
    );
    let asked = within("an answer", ask("GET", &[])).await.unwrap();
    assert_eq!((asked.status, asked.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn f41_no_web_page_and_nobody_without_the_token_reloads() {
    let (lab, count) = lab_that_reloads(Some("s3cret"), vec![answer(true, "done\n")]).await;
    let token = ("authorization", "Bearer s3cret");
    let ask = |host: &'static str, headers: Vec<(&'static str, &'static str)>| {
        let address = lab.address;
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
    // No other path supports POST.
    let other = request("POST", lab.address, "localhost", "/api/registries", &[token]).await.unwrap();
    assert_eq!(other.status, 405);
}

#[tokio::test]
async fn f41_the_list_of_registries_is_that_of_now() {
    let lab = AdminLab::start(settings(None)).await;
    let now = lab.control.snapshot();
    let quay: Vec<&Arc<Backend>> =
        now.routes.registries().iter().filter(|backend| backend.name() == "quay.io").collect();
    let names = [RegistryNames { name: "quay.io".to_owned(), ..RegistryNames::default() }];
    let routes = RoutingTable::new(Some(DOMAIN), None, &names).unwrap();
    let routes = routes.map(|index| Arc::clone(quay[*index]));
    lab.control.replace(Snapshot { routes, access: None, settings: now.settings.clone() });
    let listed = request("GET", lab.address, "localhost", "/api/registries", &[]).await.unwrap();
    let listed: serde_json::Value = serde_json::from_str(&listed.text()).unwrap();
    let registries = listed["registries"].as_array().unwrap();
    let names: Vec<_> = registries.iter().map(|registry| registry["name"].as_str()).collect();
    assert_eq!(names, [Some("quay.io")]);
}
