//! Clients that ask for many ranges of a blob and do not read the answer.

use testkit::client::Connection;
use testkit::{BlobSource, FakeRegistry, Program, TempStore, within};

use crate::crowd::{HUB, WHARF, check_health, client_count, each, stored_blob, take_turn, wait_for_memory};

const RANGE_COUNT: u64 = 1_000;

/// The allowed memory of such an answer, in bytes: the ranges, and the connection.
const ANSWER_BYTES_MAX: u64 = 96 * 1024;

async fn unread(program: &Program, path: &str, ranges: &str) -> Connection {
    let mut connection = Connection::open_slow(program.address, 4096).await.expect("connected");
    connection.request("GET", HUB, path, &[("range", ranges)]).await.expect("sent");
    let head = within("a head", connection.read_head("GET")).await.expect("a head");
    assert_eq!(head.status, 206);
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn t05_many_ranges_for_clients_that_do_not_read_cost_little_memory() {
    let _turn = take_turn().await;
    let count = client_count(400);
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    let source = BlobSource::Generated { seed: 4, len: RANGE_COUNT * 8_192 };
    let path = stored_blob(&program, &upstream, "hub.test", source).await;
    let ranges: Vec<_> =
        (0..RANGE_COUNT).map(|number| format!("{}-{}", number * 8_192, number * 8_192 + 4_095)).collect();
    let ranges = format!("bytes={}", ranges.join(","));
    let memory = program.resident_bytes();
    let answers = each(count, async |_| unread(&program, &path, &ranges).await).await;
    let grown = program.resident_bytes().saturating_sub(memory);
    check_health(&program).await;
    drop(answers);
    wait_for_memory(&program, memory).await;
    println!("{RANGE_COUNT} ranges: {} KiB for each of {count}", grown / count as u64 / 1024);
    assert!(grown < ANSWER_BYTES_MAX * count as u64, "{grown} bytes");
}
