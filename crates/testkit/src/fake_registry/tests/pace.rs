use std::time::Duration;

use tokio::time::Instant;

use super::{blob, get, simple};
use crate::client::Connection;
use crate::{BlobSource, Ending, Endpoint, FakeRegistry, Fault, Gate, Kind, Rule, Valve, within};

const CONTENT: &str = "0123456789";

async fn open(registry: &FakeRegistry, target: &str) -> Connection {
    let mut connection = Connection::open(registry.address_of(Endpoint::Registry)).await.unwrap();
    connection.request("GET", "h", target, &[]).await.unwrap();
    connection
}

/// Reads exactly `count` bytes of the body.
async fn read(connection: &mut Connection, count: usize) -> String {
    let mut text = String::new();
    while text.len() < count {
        let piece = within("the next piece", connection.read_piece(count - text.len())).await;
        text.push_str(std::str::from_utf8(&piece.unwrap().unwrap()).unwrap());
    }
    text
}

#[tokio::test]
async fn a_stalled_answer_waits_for_its_gate() {
    let registry = simple().await;
    let digest = registry.put_blob(CONTENT);
    let gate = Gate::new();
    let scripted = registry.script(Rule::new(Kind::GetBlob, Fault::Stall(gate.clone())));
    let mut connection = open(&registry, &blob(&digest)).await;
    gate.reached(1).await;
    scripted.wait_applied(1).await;
    assert_eq!((registry.requests()[0].status, registry.log().body_bytes(&digest)), (None, 0));
    gate.release();
    assert_eq!(within("the answer", connection.read_response("GET")).await.unwrap().body, CONTENT);
}

#[tokio::test]
async fn a_paused_body_continues_when_released() {
    let registry = simple().await;
    let digest = registry.put_blob(CONTENT);
    let (first, second) = (Gate::new(), Gate::new());
    let rule = Rule::new(Kind::GetBlob, Fault::PauseAt(7, second.clone()));
    registry.script(rule.and(Fault::PauseAt(3, first.clone())));
    let mut connection = open(&registry, &blob(&digest)).await;
    connection.read_head("GET").await.unwrap();
    first.reached(1).await;
    assert_eq!(registry.log().body_bytes(&digest), 3);
    assert_eq!(read(&mut connection, 3).await, "012");
    first.release();
    second.reached(1).await;
    assert_eq!(registry.log().body_bytes(&digest), 7);
    assert_eq!(read(&mut connection, 4).await, "3456");
    second.release();
    let (rest, end) = connection.read_rest().await;
    assert_eq!((rest, end.is_ok()), ("789".into(), true));
}

#[tokio::test]
async fn a_pause_after_the_last_byte_holds_the_end_back() {
    let registry = simple().await;
    let digest = registry.put_blob(CONTENT);
    let gate = Gate::new();
    registry.script(Rule::new(Kind::GetBlob, Fault::Chunked).and(Fault::PauseAt(10, gate.clone())));
    let mut connection = open(&registry, &blob(&digest)).await;
    connection.read_head("GET").await.unwrap();
    assert_eq!(read(&mut connection, 10).await, CONTENT);
    gate.reached(1).await;
    assert_eq!(registry.requests()[0].ending, None);
    gate.release();
    assert!(within("the end", connection.read_piece(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_while_held() {
    let registry = simple().await;
    let digest = registry.put_blob(CONTENT);
    for fault in [Fault::Stall(Gate::new()), Fault::PauseAt(3, Gate::new())] {
        registry.log().clear();
        let gate = match &fault {
            Fault::Stall(gate) | Fault::PauseAt(_, gate) => gate.clone(),
            _ => unreachable!("both have a gate"),
        };
        registry.script(Rule::new(Kind::GetBlob, fault));
        let connection = open(&registry, &blob(&digest)).await;
        gate.reached(1).await;
        assert_eq!(registry.log().open_connections(Endpoint::Registry), 1);
        drop(connection);
        let log = registry.log();
        log.wait_until("no connection", |log| log.open_connections(Endpoint::Registry) == 0).await;
        assert_eq!(registry.requests()[0].ending, Some(Ending::ClientLeft));
    }
    assert_eq!(registry.log().connections(Endpoint::Registry), 2);
}

#[tokio::test]
async fn a_valve_lets_pieces_through_one_by_one() {
    let registry = simple().await;
    let digest = registry.put_blob(CONTENT);
    let valve = Valve::new();
    registry.script(Rule::new(Kind::GetBlob, Fault::Valved { bytes: 4, valve: valve.clone() }));
    let mut connection = open(&registry, &blob(&digest)).await;
    connection.read_head("GET").await.unwrap();
    valve.allow(1);
    assert_eq!(read(&mut connection, 4).await, "0123");
    assert_eq!(registry.log().body_bytes(&digest), 4);
    valve.open();
    assert_eq!(connection.read_rest().await.0, "456789");
}

/// The paused clock advances only when all tasks wait, to the next timer: so it shows the length of the
/// waits.
async fn time_of(fault: Fault, len: u64) -> Duration {
    let registry = simple().await;
    let digest = registry.put_blob(BlobSource::Generated { seed: 1, len });
    registry.script(Rule::new(Kind::GetBlob, fault));
    let began = Instant::now();
    assert_eq!(get(&registry, &blob(&digest)).await.body.len() as u64, len);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn drips_and_rates_take_their_time() {
    let every = Duration::from_secs(2);
    let dripped = time_of(Fault::Drip { bytes: 3, every }, 10).await;
    assert!(dripped >= Duration::from_secs(8), "{dripped:?}");
    let rated = time_of(Fault::Rate(1000), 5000).await;
    assert!(rated >= Duration::from_secs(5), "{rated:?}");
}

#[tokio::test]
async fn a_reader_that_stops_slows_the_server() {
    let registry = simple().await;
    let len = 64 << 20;
    let digest = registry.put_blob(BlobSource::Generated { seed: 2, len });
    let mut connection =
        Connection::open_slow(registry.address_of(Endpoint::Registry), 16 << 10).await.unwrap();
    connection.request("GET", "h", &blob(&digest), &[]).await.unwrap();
    connection.read_head("GET").await.unwrap();
    connection.read_piece(1).await.unwrap().unwrap();
    // Another response completes while this one fills the buffers of two sockets.
    let other = registry.put_blob("other");
    assert!(get(&registry, &blob(&other)).await.complete);
    assert!(registry.log().body_bytes(&digest) < len);
    drop(connection);
    let has_left = |log: &crate::Log| log.requests()[0].ending == Some(Ending::ClientLeft);
    registry.log().wait_until("the client has left", has_left).await;
}
