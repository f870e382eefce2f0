//! More connections and more requests than the limits allow.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use testkit::client::{Connection, Response};
use testkit::{BlobSource, Fault, Gate, Kind, Rule, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::lab::{HUB, Lab, QUAY};

const REQUEST: &str = "GET /v2/ HTTP/1.1\r\nHost: docker.io.cache.example\r\n\r\n";

fn check_overloaded(answer: &Response, closes: bool) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("connection"), closes.then_some("close"));
    assert!(answer.text().contains("\"UNAVAILABLE\""), "{}", answer.text());
    assert!(answer.complete);
}

fn count_of(lab: &Lab, series: &str) -> u64 {
    let text = lab.metrics.encode();
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map_or(0, |count| count.parse().unwrap())
}

async fn served(lab: &Lab) -> Connection {
    let mut connection = lab.connect().await;
    connection.send(REQUEST.as_bytes()).await.unwrap();
    assert_eq!(within("an answer", connection.read_response("GET")).await.unwrap().status, 200);
    connection
}

#[tokio::test]
async fn f44_clients_beyond_the_limit_are_turned_away_at_once_and_health_is_answered() {
    let lab = Lab::start_with(|plan| plan.settings.connection_count_max = 2).await;
    let (first, mut second) = (served(&lab).await, served(&lab).await);
    for _ in 0..300 {
        check_overloaded(&lab.get(HUB, "/v2/library/busybox/manifests/1").await, true);
    }
    for target in ["/livez", "/readyz"] {
        let answer = lab.get(HUB, target).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{target}");
    }
    assert_eq!(lab.upstream_requests(), 0);
    assert_eq!(count_of(&lab, "wharf_unrouted_requests_total{reason=\"overloaded\",status=\"503\"}"), 300);
    second.send(REQUEST.as_bytes()).await.unwrap();
    assert_eq!(within("an answer", second.read_response("GET")).await.unwrap().status, 200);
    drop(first);
    let freed = async { while lab.get(HUB, "/v2/").await.status != 200 {} };
    within("the freed connection", freed).await;
}

#[tokio::test]
async fn f44_who_is_turned_away_and_says_nothing_is_not_waited_for() {
    let lab = Lab::start_with(|plan| plan.settings.connection_count_max = 1).await;
    let _first = served(&lab).await;
    let mut silent = lab.connect().await;
    let (received, end) = within("the server closes", silent.read_raw_to_end()).await;
    assert!(end.is_ok() && received.is_empty(), "{end:?}");
    assert_eq!(count_of(&lab, "wharf_connections_closed_total{why=\"idle\"}"), 1);
}

/// The status of a request from this loopback address.
async fn status_from(lab: &Lab, address: [u8; 4]) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((IpAddr::V4(Ipv4Addr::from(address)), 0).into()).unwrap();
    let mut stream = socket.connect(lab.address).await.unwrap();
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    within("a status line", stream.read_exact(&mut head)).await.unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

#[tokio::test]
async fn s24_one_client_cannot_take_every_connection() {
    let lab = Lab::start_with(|plan| plan.settings.client_connection_count_max = 3).await;
    let mut own = Vec::new();
    for _ in 0..3 {
        own.push(served(&lab).await);
    }
    check_overloaded(&lab.get(HUB, "/v2/").await, true);
    assert_eq!(lab.get(HUB, "/livez").await.status, 200);
    assert_eq!(status_from(&lab, [127, 0, 0, 2]).await, 200);
    own.pop();
    let freed = async { while lab.get(HUB, "/v2/").await.status != 200 {} };
    within("the freed connection", freed).await;
}

#[tokio::test]
async fn f44_requests_beyond_the_limit_are_refused_at_once_and_the_connection_goes_on() {
    let lab = Lab::start_with(|plan| plan.settings.answer_count_max = 2).await;
    let gate = Gate::new();
    lab.hub.script(Rule::new(Kind::GetBlob, Fault::PauseAt(100_000, gate.clone())));
    let digest = lab.hub.put_blob(BlobSource::Generated { seed: 9, len: 400_000 });
    let target = format!("/v2/library/busybox/blobs/{digest}");
    let mut answered = Vec::new();
    for _ in 0..2 {
        let mut connection = lab.connect().await;
        connection.request("GET", HUB, &target, &[]).await.unwrap();
        assert_eq!(within("a head", connection.read_head("GET")).await.unwrap().status, 200);
        answered.push(connection);
    }
    let mut third = lab.connect().await;
    let asked = lab.upstream_requests();
    for host in [HUB, QUAY] {
        third.request("GET", host, &target, &[]).await.unwrap();
        check_overloaded(&within("a refusal", third.read_response("GET")).await.unwrap(), false);
    }
    third.request("GET", HUB, "/livez", &[]).await.unwrap();
    assert_eq!(within("health", third.read_response("GET")).await.unwrap().status, 200);
    assert_eq!(lab.upstream_requests(), asked);
    gate.release();
    for connection in &mut answered {
        let (body, end) = within("a body", connection.read_rest()).await;
        assert!(end.is_ok() && body.len() == 400_000);
    }
    // A permit is freed a moment after the client has the last byte.
    let freed = async {
        loop {
            third.request("GET", HUB, "/v2/", &[]).await.unwrap();
            if third.read_response("GET").await.unwrap().status == 200 {
                break;
            }
        }
    };
    within("the freed permits", freed).await;
}

#[tokio::test]
async fn f49_a_registry_without_places_for_waiting_says_so_and_the_other_is_served() {
    let lab = Lab::start_with(|plan| plan.waiting_count_max = 1).await;
    let gate = Gate::new();
    lab.hub.script(Rule::new(Kind::HeadManifest, Fault::Stall(gate.clone())));
    let mut waiting = lab.connect().await;
    waiting.request("GET", HUB, "/v2/library/busybox/manifests/1", &[]).await.unwrap();
    within("the upstream is asked", gate.reached(1)).await;
    let began = std::time::Instant::now();
    check_overloaded(&lab.get(HUB, "/v2/library/busybox/manifests/2").await, false);
    assert!(began.elapsed() < Duration::from_secs(5), "it waited");
    assert_eq!(lab.get(QUAY, "/v2/library/busybox/manifests/1").await.status, 404);
    let series = "wharf_requests_total{registry=\"docker.io\",kind=\"manifest\",outcome=\"overloaded\",\
                  status=\"503\"}";
    assert_eq!(count_of(&lab, series), 1);
    gate.release();
    assert_eq!(within("an answer", waiting.read_response("GET")).await.unwrap().status, 404);
}
