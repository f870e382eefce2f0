//! Connections that are idle between two requests, as those of many nodes are.

use testkit::client::Connection;
use testkit::{BlobSource, FakeRegistry, Program, TempStore, within};

use crate::crowd::{
    HUB, WHARF, check_health, client_count, each, resting_descriptors, stored_blob, take_turn,
    wait_for_descriptors, wait_for_memory,
};

/// The allowed memory of an idle connection, in bytes.
const IDLE_BYTES_MAX: u64 = 20 * 1024;

async fn rest(program: &Program) -> Connection {
    let mut connection = Connection::open(program.address).await.expect("connected");
    connection.request("GET", HUB, "/v2/", &[]).await.expect("sent");
    let answer = within("an answer", connection.read_response("GET")).await.expect("an answer");
    assert_eq!(answer.status, 200);
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn f44_ten_thousand_connections_rest_and_clients_are_served_beside_them() {
    let _turn = take_turn().await;
    let count = client_count(10_000);
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let bounds =
        "client_connection_count_max = 10_100\nconnection_count_max = 10_100\nanswer_count_max = 1000";
    let program = Program::start_bounded(WHARF, store.path(), &[("hub.test", &upstream)], bounds);
    let source = BlobSource::Generated { seed: 1, len: 300_000 };
    let path = stored_blob(&program, &upstream, "hub.test", source).await;
    let (files, memory) = (resting_descriptors(&program).await, program.resident_bytes());
    for round in 1..=2 {
        let resting = each(count, async |_| rest(&program).await).await;
        let open = program.descriptor_count();
        assert!((files + count..=files + count + 8).contains(&open), "one descriptor each, not {open}");
        let grown = program.resident_bytes().saturating_sub(memory);
        let answer = program.get("hub.test", &path).await.expect("an answer");
        assert_eq!((answer.status, answer.body.len()), (200, 300_000));
        check_health(&program).await;
        drop(resting);
        wait_for_descriptors(&program, files).await;
        wait_for_memory(&program, memory).await;
        println!("round {round}: {count} idle connections: {} KiB each", grown / count as u64 / 1024);
        assert!(grown < IDLE_BYTES_MAX * count as u64, "{grown} bytes");
    }
}
