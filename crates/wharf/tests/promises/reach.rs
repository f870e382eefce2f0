//! A fault of the upstream stops only its own path.

use testkit::{BlobSource, Endpoint, FakeRegistry, Fault, Image, Kind, Program, Rule, TempStore, within};

use crate::upstream::{WHARF, blob};

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn t22_a_path_asked_without_end_that_always_fails_changes_nothing_for_others() {
    let upstream = FakeRegistry::start_anonymous().await;
    for name in ["library/app", "library/bad"] {
        upstream.put_image(name, "1", &Image::small(name));
    }
    upstream.script(Rule::new(Kind::Tags, Fault::Status(504)).repository("library/bad"));
    let store = TempStore::new();
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    let attack = async {
        loop {
            let answer = program.get("hub.test", "/v2/library/bad/tags/list").await.expect("an answer");
            assert_eq!(answer.status, 502);
        }
    };
    let others = async {
        for round in 0..200 {
            for name in ["library/app", "library/bad"] {
                let answer = program.get("hub.test", &format!("/v2/{name}/manifests/1")).await;
                let answer = answer.expect("an answer");
                assert_eq!(answer.status, 200, "{name}, round {round}: {}", answer.text());
                assert_eq!(answer.header("warning"), None, "the upstream was asked and answered");
            }
        }
    };
    tokio::select! {
        () = others => {}
        () = attack => {}
    }
    assert!(upstream.count(Kind::Tags) <= 20, "{} requests for the list", upstream.count(Kind::Tags));
    assert!(program.metric("wharf_upstream_breaker_state", "hub.test").await < 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn k14_a_further_connection_that_the_upstream_refuses_costs_nothing_but_itself() {
    let busy = |code| Fault::StatusWith {
        code,
        headers: vec![("retry-after".to_owned(), "900".to_owned())],
        body: "".into(),
    };
    for refusal in [busy(429), busy(503), Fault::Status(403), Fault::Reset] {
        for endpoint in [Endpoint::Registry, Endpoint::Cdn] {
            let upstream = FakeRegistry::start_anonymous().await;
            upstream.put_image("library/app", "1", &Image::small("app"));
            let digest = upstream.put_blob(BlobSource::Generated { seed: 3, len: 8 * MIB });
            upstream.script(Rule::new(Kind::GetBlob, Fault::Rate(5 * MIB)));
            upstream.script(Rule::new(Kind::GetBlob, refusal.clone()).at(endpoint).ranged());
            let store = TempStore::new();
            let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
            let body = program.open("hub.test", &blob(&digest)).await;
            let got = within("the blob", body.read_digest()).await;
            assert_eq!(got.expect("a clean end"), digest, "{refusal:?} at {endpoint:?}");
            assert!(program.metric("wharf_parts_total", "hub.test").await >= 1.0, "it was tried");
            for target in [
                "/v2/library/app/manifests/1".to_owned(),
                blob(Image::small("app").layers[0].digest.as_str()),
            ] {
                let answer = program.get("hub.test", &target).await.expect("an answer");
                assert_eq!(answer.status, 200, "{refusal:?} at {endpoint:?}: {}", answer.text());
                assert_eq!(answer.header("warning"), None);
            }
        }
    }
}
