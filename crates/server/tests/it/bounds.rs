//! Deadlines of one client's connection.

use std::time::Duration;

use testkit::client::{Connection, Response};
use testkit::{BlobSource, Fault, Gate, Image, Kind, Rule, within};

use crate::lab::{HUB, Lab};

/// Short enough for a test, long enough for a busy machine to answer.
const SHORT: Duration = Duration::from_millis(300);

const REQUEST: &str = "GET /v2/ HTTP/1.1\r\nHost: docker.io.cache.example\r\n\r\n";

/// Larger than the socket buffers of both ends.
const LARGE: BlobSource = BlobSource::Generated { seed: 3, len: 48 << 20 };

async fn check_ends(connection: &mut Connection) {
    let (received, end) = within("the server closes", connection.read_raw_to_end()).await;
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(String::from_utf8_lossy(&received), "");
}

/// The number of connections that ended for this reason.
fn closed(lab: &Lab, why: &str) -> u64 {
    let wanted = format!("wharf_connections_closed_total{{why=\"{why}\"}} ");
    let text = lab.metrics.encode();
    text.lines().find_map(|line| line.strip_prefix(&wanted)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_head_that_does_not_end_is_given_up() {
    let lab = Lab::start_with(|plan| plan.settings.header_wait_max = SHORT).await;
    let mut connection = lab.connect().await;
    connection.send(&REQUEST.as_bytes()[..REQUEST.len() - 2]).await.unwrap();
    check_ends(&mut connection).await;
    assert_eq!(closed(&lab, "slow_head"), 1);
}

#[tokio::test]
async fn a_dripping_head_is_given_up_and_others_are_served() {
    let lab = Lab::start_with(|plan| plan.settings.header_wait_max = SHORT).await;
    let mut slow = lab.connect().await;
    let mut dripped = 0;
    let mut ticks = tokio::time::interval(SHORT / 10);
    let ended = loop {
        ticks.tick().await;
        if slow.send(b"x").await.is_err() {
            break true;
        }
        dripped += 1;
        assert_eq!(lab.get(HUB, "/v2/").await.status, 200);
        if closed(&lab, "slow_head") == 1 {
            break true;
        }
        if dripped > 1000 {
            break false;
        }
    };
    assert!(ended, "the server took {dripped} single bytes");
}

#[tokio::test]
async fn a_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let lab = Lab::start_with(|plan| plan.settings.header_wait_max = SHORT).await;
    let mut resting = lab.connect().await;
    resting.send(REQUEST.as_bytes()).await.unwrap();
    assert_eq!(within("an answer", resting.read_response("GET")).await.unwrap().status, 200);
    // Another connection, whose head begins now, times out first.
    let mut slow = lab.connect().await;
    slow.send(b"GET ").await.unwrap();
    check_ends(&mut slow).await;
    resting.send(REQUEST.as_bytes()).await.unwrap();
    assert_eq!(within("a second answer", resting.read_response("GET")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_connection_that_rests_too_long_is_closed() {
    let lab = Lab::start_with(|plan| plan.settings.idle_max = SHORT).await;
    let mut connection = lab.connect().await;
    connection.send(REQUEST.as_bytes()).await.unwrap();
    assert_eq!(within("an answer", connection.read_response("GET")).await.unwrap().status, 200);
    check_ends(&mut connection).await;
    assert_eq!(closed(&lab, "idle"), 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_others_are_served() {
    let lab = Lab::start_with(|plan| plan.settings.stall_max = SHORT).await;
    let target = format!("/v2/library/busybox/blobs/{}", lab.hub.put_blob(LARGE));
    let warm = lab.get(HUB, &target).await;
    assert!(warm.complete);
    let mut stuck = Connection::open_slow(lab.address, 4096).await.unwrap();
    stuck.request("GET", HUB, &target, &[]).await.unwrap();
    let given_up = async {
        while closed(&lab, "slow_reader") == 0 {
            assert_eq!(lab.get(HUB, "/v2/").await.status, 200);
        }
    };
    within("the client that does not read is given up", given_up).await;
    let (_, end) = within("its connection ends", stuck.read_raw_to_end()).await;
    assert!(end.is_err(), "the body seemed complete");
}

#[tokio::test]
async fn a_slow_client_is_served_to_the_end() {
    let stall_max = 2 * SHORT;
    let lab = Lab::start_with(|plan| plan.settings.stall_max = stall_max).await;
    let target = format!("/v2/library/busybox/blobs/{}", lab.hub.put_blob(LARGE));
    assert!(lab.get(HUB, &target).await.complete);
    let mut slow = Connection::open_slow(lab.address, 256 << 10).await.unwrap();
    slow.request("GET", HUB, &target, &[]).await.unwrap();
    assert_eq!(within("the head", slow.read_head("GET")).await.unwrap().status, 200);
    let began = tokio::time::Instant::now();
    let mut ticks = tokio::time::interval(SHORT / 10);
    let mut received = 0;
    // For longer than a stall may last the client reads slowly, less in all than the socket buffers could
    // hold. Then it reads at full speed.
    while let Some(piece) = within("a piece", slow.read_piece(64 << 10)).await.unwrap() {
        received += piece.len() as u64;
        if began.elapsed() < 2 * stall_max {
            ticks.tick().await;
        }
    }
    assert_eq!(received, LARGE.len());
}

#[tokio::test]
async fn an_answer_whose_content_stops_coming_is_cut() {
    let lab = Lab::start_with(|plan| plan.settings.silence_max = SHORT).await;
    let digest = lab.hub.put_blob(BlobSource::Generated { seed: 4, len: 1 << 20 });
    let gate = Gate::new();
    lab.hub.script(Rule::new(Kind::GetBlob, Fault::PauseAt(1 << 19, gate.clone())));
    let answer = lab.get(HUB, &format!("/v2/library/busybox/blobs/{digest}")).await;
    assert_eq!((answer.status, answer.complete), (200, false));
    gate.release();
}

/// The answer to a client that shuts its sending side after its request.
async fn half_closed(lab: &Lab, target: &str) -> Response {
    let mut client = lab.connect().await;
    client.request("GET", HUB, target, &[]).await.unwrap();
    client.half_close().await.unwrap();
    let answer = within("the answer", client.read_response("GET")).await.unwrap();
    let (behind, end) = within("the server closes", client.read_raw_to_end()).await;
    assert!(end.is_ok() && behind.is_empty(), "{end:?} after {behind:?}");
    answer
}

#[tokio::test]
async fn t20_a_client_that_shuts_its_sending_side_gets_its_whole_answer() {
    let lab = Lab::start().await;
    lab.hub.put_image("library/busybox", "1", &Image::small("one"));
    let target = format!("/v2/library/busybox/blobs/{}", lab.hub.put_blob(LARGE));
    for round in ["cold", "warm"] {
        let manifest = half_closed(&lab, "/v2/library/busybox/manifests/1").await;
        assert_eq!((manifest.status, manifest.complete), (200, true), "{round}");
        assert!(half_closed(&lab, "/v2/").await.complete, "{round}");
        let blob = half_closed(&lab, &target).await;
        assert!(blob.complete && blob.body.len() as u64 == LARGE.len(), "{round}: {}", blob.body.len());
    }
}

#[tokio::test]
async fn t20_every_request_that_was_sent_ahead_is_answered_before_the_end() {
    let lab = Lab::start().await;
    let target = format!("/v2/library/busybox/blobs/{}", lab.hub.put_blob(LARGE));
    let mut client = lab.connect().await;
    for target in ["/v2/", &target, "/v2/"] {
        client.request("GET", HUB, target, &[]).await.unwrap();
    }
    client.half_close().await.unwrap();
    for length in [2, LARGE.len(), 2] {
        let answer = within("an answer", client.read_response("GET")).await.unwrap();
        assert!(answer.complete && answer.body.len() as u64 == length, "{}", answer.body.len());
    }
    check_ends(&mut client).await;
    assert_eq!(closed(&lab, "done"), 1);
}

#[tokio::test]
async fn t20_a_slow_answer_comes_too_and_one_that_never_comes_is_bounded() {
    let lab = Lab::start_with(|plan| plan.settings.half_closed_max = 4 * SHORT).await;
    lab.hub.put_image("library/busybox", "1", &Image::small("one"));
    for is_released in [true, false] {
        let gate = Gate::new();
        let script = lab.hub.script(Rule::new(Kind::HeadManifest, Fault::Stall(gate.clone())).before_auth());
        let mut client = lab.connect().await;
        client.request("GET", HUB, "/v2/library/busybox/manifests/1", &[]).await.unwrap();
        client.half_close().await.unwrap();
        within("the upstream is asked", gate.reached(1)).await;
        script.remove();
        if is_released {
            gate.release();
            assert_eq!(within("the answer", client.read_response("GET")).await.unwrap().status, 200);
        } else {
            let (received, _) = within("the server gives up", client.read_raw_to_end()).await;
            assert!(received.is_empty(), "{received:?}");
            assert_eq!(closed(&lab, "left"), 1);
            gate.release();
        }
    }
}

#[tokio::test]
async fn t20_a_client_that_left_in_the_middle_of_a_body_is_noticed_without_a_reset() {
    let lab = Lab::start_with(|plan| plan.settings.half_closed_max = SHORT).await;
    let digest = lab.hub.put_blob(BlobSource::Generated { seed: 4, len: 1 << 20 });
    let gate = Gate::new();
    lab.hub.script(Rule::new(Kind::GetBlob, Fault::PauseAt(1 << 19, gate.clone())));
    let mut client = lab.connect().await;
    client.request("GET", HUB, &format!("/v2/library/busybox/blobs/{digest}"), &[]).await.unwrap();
    assert_eq!(within("the head", client.read_head("GET")).await.unwrap().status, 200);
    let mut received = 0;
    while received < 1 << 19 {
        received += within("a piece", client.read_piece(1 << 16)).await.unwrap().unwrap().len();
    }
    // All bytes are read, so closing sends no reset.
    drop(client);
    let noticed = async {
        while closed(&lab, "left") == 0 {
            tokio::task::yield_now().await;
        }
    };
    within("the client is noticed to have left", noticed).await;
    gate.release();
}
