//! Attacks by clients and by images.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::client::{self, Connection};
use testkit::{FakeRegistry, Format, Image, Program, Sink, TempStore, digest_of, within};

use crate::upstream::{WHARF, blob};

/// The number of requests of each kind before the first count of series; many more follow before the second.
const FEW: u32 = 50;
const MANY: u32 = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn s04_urls_in_layers_are_neither_fetched_nor_rewritten() {
    let (upstream, store, sink) =
        (FakeRegistry::start_anonymous().await, TempStore::new(), Sink::start().await);
    let layer = digest_of(b"a layer that only the url has");
    let mut document: Value = serde_json::from_slice(&Image::small("urls").manifest.bytes()).expect("JSON");
    document["layers"].as_array_mut().expect("layers").push(json!({
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": layer,
        "size": 29,
        "urls": [format!("{}/layer", sink.url())],
    }));
    let bytes = document.to_string();
    upstream.put_manifest("library/app", Some("1"), Format::Oci.manifest(), bytes.clone());
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    let manifest = program.get("hub.test", "/v2/library/app/manifests/1").await.expect("an answer");
    assert_eq!((manifest.status, manifest.text()), (200, bytes));
    for method in ["GET", "HEAD"] {
        let host = "hub.test.localhost";
        let answer = client::request(method, program.address, host, &blob(&layer), &[]).await;
        assert_eq!(answer.expect("an answer").status, 404, "the registry does not have it");
    }
    assert_eq!(sink.connections(), 0);
}

/// Everything before the value of each sample; except the reasons for closed connections and the end of the
/// first scrub, which may appear at any moment.
async fn series(program: &Program) -> BTreeSet<String> {
    let metrics = client::get(program.admin, "localhost", "/metrics", &[]).await.expect("metrics").text();
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let is_late = |line: &&str| {
        line.starts_with("wharf_connections_closed_total")
            || line.starts_with("wharf_scrub_end_timestamp_seconds")
    };
    let samples = samples.filter(|line| !is_late(line));
    samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

/// Requests as many new names in each place where a name can stand.
async fn ask_for_names(program: &Program, numbers: std::ops::Range<u32>) {
    let mut connection = Connection::open(program.address).await.expect("connected");
    for number in numbers {
        let requests = [
            ("hub.test.localhost".to_owned(), format!("/v2/name{number}/tags/list/{number}")),
            (format!("h{number}.example"), format!("/v2/name{number}/manifests/1")),
            ("localhost".to_owned(), format!("/path{number}")),
            ("localhost".to_owned(), format!("/v2/a/manifests/1?ns=ns{number}.example")),
        ];
        for (host, target) in requests {
            connection.request("GET", &host, &target, &[("User-Agent", &target)]).await.expect("sent");
            let answer = within("an answer", connection.read_response("GET")).await.expect("an answer");
            assert_eq!(answer.status, 404, "{host} {target}");
        }
        if number % 20 == 0 {
            let target = format!("/v2/library/name{number}/manifests/tag{number}");
            connection.request("GET", "hub.test.localhost", &target, &[]).await.expect("sent");
            let answer = within("an answer", connection.read_response("GET")).await.expect("an answer");
            assert_eq!(answer.status, 404, "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s30_no_name_that_a_client_sends_makes_a_series() {
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    ask_for_names(&program, 0..FEW).await;
    let before = series(&program).await;
    assert!(before.len() > 50, "{before:#?}");
    ask_for_names(&program, FEW..MANY).await;
    let after = series(&program).await;
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
}
