//! Many clients, one transfer.

use testkit::client::Connection;
use testkit::{BlobSource, Endpoint, FakeRegistry, Fault, Gate, Kind, Program, Rule, TempStore, within};

use crate::upstream::{WHARF, blob, read_some};

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn f23_a_hundred_clients_on_one_cold_blob_cost_one_transfer() {
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let digest = upstream.put_blob(BlobSource::Generated { seed: 1, len: 64 * MIB });
    // On a loaded machine the blob is slow, and would get further connections. Those do not depend on the
    // number of clients, so without them the count is exact.
    let one_connection = "connections_per_blob_max = 1";
    let program = Program::start_with(WHARF, store.path(), &[("hub.test", &upstream)], one_connection);
    let before = program.resident_bytes();
    let mut slow = Connection::open_slow(program.address, 4096).await.expect("connected");
    slow.request("GET", "hub.test.localhost", &blob(&digest), &[]).await.expect("sent");
    slow.read_head("GET").await.expect("a head");
    let clients: Vec<_> =
        (0..99).map(async |_| program.open("hub.test", &blob(&digest)).await.read_digest().await).collect();
    let bodies = futures_util::future::join_all(clients);
    for body in within("ninety-nine bodies", bodies).await {
        assert_eq!(body.expect("a clean end"), digest);
    }
    let grown = program.resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "memory grew by {grown} bytes");
    assert_eq!(within("the slow body", slow.read_digest()).await.expect("a clean end"), digest);
    assert_eq!(upstream.log().count_at(Endpoint::Registry, Kind::GetBlob), 1);
    assert_eq!(upstream.log().count(Kind::HeadBlob), 0);
    assert_eq!(upstream.log().body_bytes(&digest), 64 * MIB);
    assert_eq!(program.metric("wharf_joined_total", "hub.test").await, 99.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f25_the_fill_completes_when_every_client_left_at_a_tenth() {
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let digest = upstream.put_blob(BlobSource::Generated { seed: 2, len: 16 * MIB });
    let gate = Gate::new();
    upstream.script(Rule::new(Kind::GetBlob, Fault::PauseAt(4 * MIB, gate.clone())));
    // The pause makes the blob slow, so it would get further connections on a loaded machine.
    let one_connection = "connections_per_blob_max = 1";
    let program = Program::start_with(WHARF, store.path(), &[("hub.test", &upstream)], one_connection);
    for _ in 0..8 {
        let mut leaver = program.open("hub.test", &blob(&digest)).await;
        read_some(&mut leaver, 1_600_000).await;
    }
    gate.release();
    let served =
        upstream.log().wait_until("the whole blob was sent", |log| log.body_bytes(&digest) == 16 * MIB);
    within("the fill", served).await;
    let after = program.open("hub.test", &blob(&digest)).await;
    assert_eq!(after.read_digest().await.expect("a clean end"), digest);
    assert_eq!(upstream.log().count_at(Endpoint::Registry, Kind::GetBlob), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn f05_no_client_notices_cuts_at_30_and_60_percent() {
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let size = 20 * MIB;
    let digest = upstream.put_blob(BlobSource::Generated { seed: 3, len: size });
    upstream.script(Rule::new(Kind::GetBlob, Fault::CutAt(size * 3 / 10)).once());
    upstream.script(Rule::new(Kind::GetBlob, Fault::CutAt(size * 3 / 10)).ranged().once());
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    let clients = (0..8).map(async |_| program.open("hub.test", &blob(&digest)).await.read_digest().await);
    for body in within("eight bodies", futures_util::future::join_all(clients)).await {
        assert_eq!(body.expect("a clean end"), digest);
    }
    assert_eq!(upstream.log().count_at(Endpoint::Registry, Kind::GetBlob), 3);
    // Only bytes on the way at the end of the connection may come twice.
    let resent = upstream.log().body_bytes(&digest) - size;
    assert!(resent < MIB, "{resent} bytes came twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_multi_arch_pull_costs_nine_requests_and_six_redirects_besides_its_token() {
    let (upstream, store) = (FakeRegistry::start().await, TempStore::new());
    let image = testkit::Image::generated(4, &[300_000, 200_000, 100_000, 50_000, 1_000]);
    let index = testkit::Index::of(testkit::Format::Oci, std::slice::from_ref(&image));
    upstream.put_index("library/app", "1", &index);
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    let mut targets = vec![
        "/v2/library/app/manifests/1".to_owned(),
        format!("/v2/library/app/manifests/{}", image.manifest.digest),
    ];
    targets.extend(image.blobs().map(|content| blob(&content.digest)));
    for target in &targets {
        let answer = program.get("hub.test", target).await.expect("an answer");
        assert_eq!((answer.status, answer.complete), (200, true), "{target}");
    }
    let (log, cold) = (upstream.log(), upstream.requests().len());
    let to_registry = log.count_where(|request| {
        request.endpoint == Endpoint::Registry && request.status != Some(401) && request.kind != Kind::Version
    });
    assert_eq!(to_registry, 9, "{:#?}", upstream.requests());
    assert_eq!(log.count_where(|request| request.endpoint == Endpoint::Cdn), 6);
    assert_eq!(log.count(Kind::Token), 1);
    for target in &targets {
        assert_eq!(program.get("hub.test", target).await.expect("an answer").status, 200);
    }
    assert_eq!(upstream.requests().len(), cold + 1, "a warm pull is one HEAD");
}
