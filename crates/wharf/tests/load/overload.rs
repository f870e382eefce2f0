//! Ten times as many clients as wharf serves at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use testkit::client::{Connection, get};
use testkit::{BlobSource, FakeRegistry, Fault, Gate, Kind, Program, Rule, TempStore, within};

use crate::crowd::{
    HUB, WHARF, check_health, check_refusal, percentile, resting_descriptors, stored_blob, take_turn,
    wait_for_descriptors,
};

const SEAT_COUNT: usize = 64;
const PULL_COUNT: usize = 40;
const SIZE: usize = 256 * 1024;

/// The pause of a refused client: a tenth of the time in `Retry-After`.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// As many clients as connections are allowed, each of which was served once.
async fn seat(program: &Program) -> Vec<Connection> {
    let mut seated = Vec::new();
    for _ in 0..SEAT_COUNT {
        let mut connection = Connection::open(program.address).await.expect("connected");
        connection.request("GET", HUB, "/v2/", &[]).await.expect("sent");
        assert_eq!(connection.read_response("GET").await.expect("an answer").status, 200);
        seated.push(connection);
    }
    seated
}

/// Each of these clients pulls its share. Returns the time.
async fn pull_all(seated: &mut [Connection], path: &str) -> Duration {
    let began = Instant::now();
    let pulls = seated.iter_mut().map(async |connection| {
        for _ in 0..PULL_COUNT {
            connection.request("GET", HUB, path, &[]).await.expect("sent");
            let answer = within("a body", connection.read_response("GET")).await.expect("a body");
            assert_eq!((answer.status, answer.complete, answer.body.len()), (200, true, SIZE));
        }
    });
    join_all(pulls).await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn f44_ten_times_the_clients_take_nothing_from_those_who_are_served() {
    let _turn = take_turn().await;
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let bounds = format!("connection_count_max = {SEAT_COUNT}\nclient_connection_count_max = {SEAT_COUNT}");
    let program = Program::start_bounded(WHARF, store.path(), &[("hub.test", &upstream)], &bounds);
    let source = BlobSource::Generated { seed: 3, len: SIZE as u64 };
    let path = stored_blob(&program, &upstream, "hub.test", source).await;
    let files = resting_descriptors(&program).await;
    let alone = pull_all(&mut seat(&program).await, &path).await;
    wait_for_descriptors(&program, files).await;

    let mut seated = seat(&program).await;
    let is_over = AtomicBool::new(false);
    let refused = (0..9 * SEAT_COUNT).map(async |_| {
        let mut ticks = tokio::time::interval(RETRY_INTERVAL);
        let mut waits = Vec::new();
        // Each client tries three times at least, however fast the others are served.
        while !is_over.load(Ordering::Relaxed) || waits.len() < 3 {
            ticks.tick().await;
            let began = Instant::now();
            let answer = within("an answer", get(program.address, HUB, &path, &[])).await.expect("an answer");
            // A client is served once the others have left.
            if !is_over.load(Ordering::Relaxed) {
                check_refusal(&answer);
                waits.push(began.elapsed());
            } else if answer.status == 200 {
                break;
            }
        }
        waits
    });
    let served = async {
        let took = pull_all(&mut seated, &path).await;
        is_over.store(true, Ordering::Relaxed);
        // Not before: a client is served now.
        drop(seated);
        took
    };
    let healthy = async {
        while !is_over.load(Ordering::Relaxed) {
            check_health(&program).await;
        }
    };
    let (crowded, waits, ()) = tokio::join!(served, join_all(refused), healthy);
    let waits: Vec<Duration> = waits.into_iter().flatten().collect();
    let goodput = |took: Duration| (SEAT_COUNT * PULL_COUNT) as f64 / took.as_secs_f64();
    println!(
        "{:.0} bodies/s alone, {:.0} beside nine times as many who are refused",
        goodput(alone),
        goodput(crowded)
    );
    let (half, most) = (percentile(waits.clone(), 50), percentile(waits.clone(), 99));
    println!("{} refusals: {half:?} in the middle, {most:?} at 99 %", waits.len());
    assert!(half < Duration::from_secs(2), "refusals took {half:?}");
    let counted = program.metric("wharf_unrouted_requests_total", "reason=\"overloaded\"").await;
    assert!(counted >= waits.len() as f64, "{counted} of {} are counted", waits.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn f44_ten_times_the_requests_for_a_slow_upstream_leave_room_for_what_is_stored() {
    let _turn = take_turn().await;
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let program =
        Program::start_bounded(WHARF, store.path(), &[("hub.test", &upstream)], "answer_count_max = 128");
    let path =
        stored_blob(&program, &upstream, "hub.test", BlobSource::Generated { seed: 4, len: 300_000 }).await;
    let gate = Gate::new();
    upstream.script(Rule::new(Kind::HeadManifest, Fault::Stall(gate.clone())));
    let ask = async |index: usize| {
        let target = format!("/v2/library/app/manifests/tag{index}");
        within("an answer", program.get("hub.test", &target)).await.expect("an answer")
    };
    // The allowed number of clients waits: from now on others are refused, and stored content is served.
    let waiting = join_all((0..32).map(&ask));
    let crowd = async {
        within("the upstream is asked", gate.reached(32)).await;
        let refusals = stream::iter(32..640).map(&ask).buffer_unordered(16).collect::<Vec<_>>();
        let stored = async {
            for _ in 0..50 {
                let answer = program.get("hub.test", &path).await.expect("an answer");
                assert_eq!((answer.status, answer.body.len()), (200, 300_000));
                check_health(&program).await;
            }
        };
        let (refusals, ()) = tokio::join!(refusals, stored);
        gate.release();
        refusals
    };
    let (waited, others) = tokio::join!(waiting, crowd);
    assert!(waited.iter().all(|answer| [404, 504].contains(&answer.status)));
    let (refused, late): (Vec<_>, Vec<_>) = others.iter().partition(|answer| answer.status == 503);
    refused.iter().for_each(|answer| check_refusal(answer));
    // On a slow machine the first ones get 504 meanwhile, and others wait in their place.
    assert!(
        late.iter().all(|answer| answer.status == 504) && refused.len() >= 300,
        "{} refused",
        refused.len()
    );
    let counted = program.metric("wharf_requests_total", "outcome=\"overloaded\"").await;
    assert_eq!(counted, refused.len() as f64);
}
