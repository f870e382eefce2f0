//! Through wharf, a large blob from an upstream that throttles each answer arrives faster than directly.

use std::time::{Duration, Instant};

use testkit::client::Connection;
use testkit::{BlobSource, Endpoint, FakeRegistry, Fault, Kind, Program, Rule, TempStore, within};

use crate::upstream::{WHARF, blob};

const MIB: u64 = 1 << 20;

/// A registry whose every answer with a blob has `rate` bytes per second, and a blob of `size` bytes in it.
async fn throttled(size: u64, rate: u64) -> (FakeRegistry, String) {
    let upstream = FakeRegistry::start_anonymous().await;
    let digest = upstream.put_blob(BlobSource::Generated { seed: 21, len: size });
    upstream.script(Rule::new(Kind::GetBlob, Fault::Rate(rate)));
    (upstream, digest)
}

/// The time to the first byte and to the last.
async fn time_of(connection: Connection, digest: &str, since: Instant) -> (Duration, Duration) {
    let first = since.elapsed();
    let body = within("the body", connection.read_digest()).await;
    assert_eq!(body.expect("a clean end"), digest);
    (first, since.elapsed())
}

/// A pull from the upstream itself.
async fn direct(upstream: &FakeRegistry, digest: &str) -> (Duration, Duration) {
    let since = Instant::now();
    let mut connection = Connection::open(upstream.address_of(Endpoint::Registry)).await.expect("connected");
    connection.request("GET", &upstream.host_of(Endpoint::Registry), &blob(digest), &[]).await.expect("sent");
    let head = connection.read_head("GET").await.expect("a head");
    let target = head.header("location").expect("a redirect").to_owned();
    let cdn = upstream.host_of(Endpoint::Cdn);
    let (_, path) = target.split_once(&cdn).expect("the content network");
    let mut connection = Connection::open(upstream.address_of(Endpoint::Cdn)).await.expect("connected");
    connection.request("GET", &cdn, path, &[]).await.expect("sent");
    assert_eq!(connection.read_head("GET").await.expect("a head").status, 200);
    time_of(connection, digest, since).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_pull_beats_a_direct_one_where_the_upstream_throttles_each_answer() {
    let size = 24 * MIB;
    let (upstream, digest) = throttled(size, 4 * MIB).await;
    let (_, alone) = direct(&upstream, &digest).await;
    upstream.log().clear();
    let store = TempStore::new();
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    let since = Instant::now();
    let through = time_of(program.open("hub.test", &blob(&digest)).await, &digest, since).await.1;
    assert!(through * 4 < alone * 3, "{through:?} through wharf, {alone:?} without");
    program.settle().await;
    let sent = upstream.log().body_bytes(&digest);
    // One answer is left in the middle, some time before the first part starts. Only its bytes on the way at
    // that time, more on a busy machine than on an idle one, may come twice.
    assert!(sent >= size && sent - size < MIB, "{sent} bytes for {size}");
    assert!(program.metric("wharf_parts_total", "hub.test").await >= 2.0);
    assert_eq!(program.open("hub.test", &blob(&digest)).await.read_digest().await.expect("a hit"), digest);
    assert_eq!(upstream.log().body_bytes(&digest), sent);
}

/// The figures of a larger pull. `WHARF_LONG=1` prints them: `cargo test -p wharf --release --test promises
/// figures_of_a_large_pull -- --nocapture`.
#[tokio::test(flavor = "multi_thread")]
async fn figures_of_a_large_pull() {
    if std::env::var_os("WHARF_LONG").is_none() {
        println!("skipped: it takes half a minute; set WHARF_LONG=1");
        return;
    }
    let (size, rate) = (200 * MIB, 20_000_000);
    let (upstream, digest) = throttled(size, rate).await;
    let (first, last) = direct(&upstream, &digest).await;
    println!("direct: first byte {first:?}, all {last:?}");
    for connections in [1, 2, 4, 8] {
        upstream.log().clear();
        let store = TempStore::new();
        let defaults = format!("connections_per_blob_max = {connections}");
        let program = Program::start_with(WHARF, store.path(), &[("hub.test", &upstream)], &defaults);
        let since = Instant::now();
        let connection = program.open("hub.test", &blob(&digest)).await;
        let (first, through) = time_of(connection, &digest, since).await;
        program.settle().await;
        let log = upstream.log();
        let surplus = log.body_bytes(&digest) as f64 / size as f64;
        let requests = log.count_at(Endpoint::Cdn, Kind::GetBlob);
        println!(
            "up to {connections}: first byte {first:?}, all {through:?}, {requests} requests, {surplus:.4} bytes per byte"
        );
        assert!(surplus < 1.05);
    }
}
