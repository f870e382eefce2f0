//! The server's shutdown: it refuses new connections, finishes running answers, and ends.

use std::time::Duration;

use testkit::client::Connection;
use testkit::{BlobSource, Fault, Gate, Kind, Rule, within};

use crate::lab::{HUB, Lab};

const SIZE: u64 = 2 << 20;

const SHORT: Duration = Duration::from_millis(200);

/// A lab in which one client is in the middle of a blob, which waits at a gate.
async fn lab_with_a_running_answer(grace: Duration) -> (Lab, Connection, Gate) {
    let lab = Lab::start_with(|plan| {
        plan.settings.shutdown_grace = grace;
        plan.settings.linger_max = SHORT;
    });
    let lab = lab.await;
    let digest = lab.hub.put_blob(BlobSource::Generated { seed: 5, len: SIZE });
    let gate = Gate::new();
    lab.hub.script(Rule::new(Kind::GetBlob, Fault::PauseAt(SIZE / 2, gate.clone())));
    let mut running = lab.connect().await;
    running.request("GET", HUB, &format!("/v2/library/busybox/blobs/{digest}"), &[]).await.unwrap();
    assert_eq!(within("the head", running.read_head("GET")).await.unwrap().status, 200);
    (lab, running, gate)
}

async fn wait_until_refused(lab: &Lab) {
    let refused = async {
        while Connection::open(lab.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("new connections are refused", refused).await;
}

#[tokio::test]
async fn running_answers_finish_while_new_connections_are_refused() {
    let (lab, mut running, gate) = lab_with_a_running_answer(Duration::from_secs(60)).await;
    let mut idle = lab.connect().await;
    idle.request("GET", HUB, "/v2/", &[]).await.unwrap();
    assert_eq!(within("an answer", idle.read_response("GET")).await.unwrap().status, 200);

    lab.shutdown.cancel();
    wait_until_refused(&lab).await;
    let (rest, end) = within("the idle connection is closed", idle.read_raw_to_end()).await;
    assert!(rest.is_empty() && end.is_ok());
    assert!(!lab.served.is_finished());
    assert!(lab.metrics.encode().contains("wharf_draining 1"));

    gate.release();
    let (body, end) = within("the running answer ends", running.read_rest()).await;
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(body, BlobSource::Generated { seed: 5, len: SIZE }.bytes());
    within("the server ends", lab.served).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_outlives_the_grace_is_cut() {
    let (lab, mut running, gate) = lab_with_a_running_answer(SHORT).await;
    lab.shutdown.cancel();
    let (body, end) = within("the running answer is cut", running.read_rest()).await;
    assert!(end.is_err());
    assert!((body.len() as u64) < SIZE);
    within("the server ends", lab.served).await.unwrap();
    gate.release();
}

#[tokio::test]
async fn an_answer_during_the_shutdown_has_connection_close() {
    let lab = Lab::start_with(|plan| plan.settings.linger_max = SHORT).await;
    let gate = Gate::new();
    lab.hub.script(Rule::new(Kind::HeadManifest, Fault::Stall(gate.clone())).before_auth());
    let mut waiting = lab.connect().await;
    waiting.request("GET", HUB, "/v2/library/busybox/manifests/1", &[]).await.unwrap();
    gate.reached(1).await;
    lab.shutdown.cancel();
    wait_until_refused(&lab).await;
    gate.release();
    let answer = within("the answer", waiting.read_response("GET")).await.unwrap();
    assert_eq!(answer.header("connection"), Some("close"));
    within("the server ends", lab.served).await.unwrap();
}

#[tokio::test]
async fn readiness_ends_with_the_shutdown_and_liveness_does_not() {
    let (lab, running, gate) = lab_with_a_running_answer(Duration::from_secs(60)).await;
    for (path, text) in [("/livez", "ok\n"), ("/readyz", "ok\n")] {
        let answer = lab.get("anything.example", path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, text));
    }
    // Requests whose heads are incomplete when the shutdown begins still get an answer.
    let (mut live, mut ready) = (lab.connect().await, lab.connect().await);
    live.send(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    ready.send(b"GET /readyz HTTP/1.1\r\n").await.unwrap();
    let before = lab.get(HUB, "/v2/").await;
    assert_eq!(before.status, 200);
    lab.shutdown.cancel();
    wait_until_refused(&lab).await;
    live.send(b"Host: x\r\n\r\n").await.unwrap();
    ready.send(b"Host: x\r\n\r\n").await.unwrap();
    assert_eq!(within("liveness", live.read_response("GET")).await.unwrap().status, 200);
    assert_eq!(within("readiness", ready.read_response("GET")).await.unwrap().status, 503);
    gate.release();
    drop(running);
    within("the server ends", lab.served).await.unwrap();
}
