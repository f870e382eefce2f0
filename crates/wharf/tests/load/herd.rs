//! A thousand clients that each pull the layers of one cold image in parallel, as Docker does, and as many on
//! a transfer that never delivers a byte.

use std::time::Instant;

use futures_util::future::join_all;
use testkit::client::Connection;
use testkit::{BlobSource, FakeRegistry, Fault, Gate, Kind, Program, Rule, TempStore, within};
use tokio::sync::Semaphore;

use crate::crowd::{
    HUB, WHARF, blob, check_health, check_refusal, client_count, each, stored_blob, take_turn,
};

/// Layers of the image, in bytes. They are larger than blobs that are verified before the first byte.
const LAYERS: [usize; 5] = [300_000, 290_000, 280_000, 270_000, 263_000];

/// The offset at which the upstream pauses in each of them, so that all answers run at the same time.
const PAUSED_AT: u64 = 100_000;

/// Answers at once, where a registry hangs.
const ANSWER_COUNT: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn f23_a_thousand_clients_that_pull_five_layers_each_are_all_served_and_cost_one_image() {
    let _turn = take_turn().await;
    let count = client_count(1000 * LAYERS.len());
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let layers: Vec<Vec<u8>> = (1..).zip(LAYERS).map(|(byte, length)| vec![byte; length]).collect();
    let digests: Vec<String> = layers.iter().map(|layer| upstream.put_blob(layer.clone())).collect();
    let gate = Gate::new();
    upstream.script(Rule::new(Kind::GetBlob, Fault::PauseAt(PAUSED_AT, gate.clone())));
    // A thousand clients have one address here; otherwise these are the defaults.
    let bounds = "client_connection_count_max = 10_000";
    let program = Program::start_bounded(WHARF, store.path(), &[("hub.test", &upstream)], bounds);
    let answers = each(count, async |index| {
        let mut connection = Connection::open(program.address).await.expect("connected");
        let path = blob(&digests[index % LAYERS.len()]);
        connection.request("GET", HUB, &path, &[]).await.expect("sent");
        let head = within("a head", connection.read_head("GET")).await.expect("a head");
        assert_eq!(head.status, 200, "client {}", index / LAYERS.len());
        (index, connection)
    });
    let answers = answers.await;
    gate.release();
    let bodies = answers.into_iter().map(async |(index, mut connection)| {
        let (body, end) = within("a body", connection.read_rest()).await;
        assert!(end.is_ok() && body == layers[index % LAYERS.len()], "client {}", index / LAYERS.len());
    });
    join_all(bodies).await;
    for (digest, layer) in digests.iter().zip(&layers) {
        assert_eq!(upstream.log().body_bytes(digest), layer.len() as u64);
    }
    assert_eq!(program.metric("wharf_joined_total", "hub.test").await, (count - LAYERS.len()) as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn f49_a_herd_on_a_transfer_without_a_byte_leaves_room_for_everybody_else() {
    let _turn = take_turn().await;
    let (hung, well, store) =
        (FakeRegistry::start_anonymous().await, FakeRegistry::start_anonymous().await, TempStore::new());
    let registries = [("hung.test", &hung), ("well.test", &well)];
    let program = Program::start_bounded(
        WHARF,
        store.path(),
        &registries,
        &format!("answer_count_max = {ANSWER_COUNT}"),
    );
    let held =
        stored_blob(&program, &hung, "hung.test", BlobSource::Generated { seed: 6, len: 300_000 }).await;
    let cold: Vec<String> = (0..50).map(|n| blob(&well.put_blob(vec![n; 10_000]))).collect();
    let gate = Gate::new();
    hung.script(Rule::new(Kind::GetBlob, Fault::Stall(gate.clone())));
    let wanted = hung.put_blob(vec![1; 300_000]);
    let path = blob(&wanted);
    let refusals = Semaphore::new(0);
    let asked = join_all((0..ANSWER_COUNT).map(async |_| {
        let answer = within("an answer", program.get("hung.test", &path)).await.expect("an answer");
        if answer.status == 503 {
            check_refusal(&answer);
            refusals.add_permits(1);
        }
        answer.status
    }));
    let others = async {
        // Three quarters of all answers wait for the transfer; other clients of it are refused meanwhile.
        let refused = refusals.acquire_many(ANSWER_COUNT as u32 / 4);
        let _refused = within("refusals", refused).await.expect("an open semaphore");
        let began = Instant::now();
        for cold in &cold {
            for (registry, path, length) in [("hung.test", &held, 300_000), ("well.test", cold, 10_000)] {
                let answer = program.get(registry, path).await.expect("an answer");
                assert_eq!((answer.status, answer.body.len()), (200, length), "{registry}");
            }
        }
        check_health(&program).await;
        println!("100 pulls beside those who wait: {:?}", began.elapsed());
        gate.release();
    };
    let (statuses, ()) = tokio::join!(asked, others);
    let count = |wanted: &[u16]| statuses.iter().filter(|status| wanted.contains(status)).count();
    // On a slow machine the transfer fails before the gate opens.
    assert_eq!((count(&[200, 504]), count(&[503])), (ANSWER_COUNT / 4 * 3, ANSWER_COUNT / 4));
    assert!(hung.log().body_bytes(&wanted) <= 300_000);
}
