//! Many clients in one process, and their measurements.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::client::Response;
use testkit::{BlobSource, FakeRegistry, Program, within};
use tokio::sync::{Mutex, MutexGuard};

/// The program under test.
pub(crate) const WHARF: &str = env!("CARGO_BIN_EXE_wharf");

/// The host name of the registry `hub.test`.
pub(crate) const HUB: &str = "hub.test.localhost";

/// Clients that connect or read at the same time, where only their number matters.
const HASTE: usize = 64;

/// The descriptors of this process besides its clients'.
const OWN_DESCRIPTOR_COUNT: usize = 1000;

static TURN: Mutex<()> = Mutex::const_new(());

/// The tests run one after another: they share this process's descriptors.
pub(crate) async fn take_turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// The number of clients, at most `wanted`, that this process can run at once. Prints a lower number.
pub(crate) fn client_count(wanted: usize) -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a limit may be raised so far");
    let limit = maximum.map_or(usize::MAX, |limit| usize::try_from(limit).expect("64 bits"));
    // The program under test has the same limit, and keeps half of it for files.
    let count = wanted.min(limit.saturating_sub(OWN_DESCRIPTOR_COUNT) / 2 + OWN_DESCRIPTOR_COUNT / 2);
    if count < wanted {
        println!("{count} clients instead of {wanted}: this process may open {limit} files only");
    }
    count
}

/// The path of a blob.
pub(crate) fn blob(digest: &str) -> String {
    format!("/v2/library/app/blobs/{digest}")
}

/// A blob that the program has in its store; returns its path.
pub(crate) async fn stored_blob(
    program: &Program,
    upstream: &FakeRegistry,
    registry: &str,
    source: BlobSource,
) -> String {
    let path = blob(&upstream.put_blob(source));
    let answer = program.get(registry, &path).await.expect("an answer");
    assert_eq!((answer.status, answer.complete), (200, true));
    program.settle().await;
    path
}

/// The results of `count` clients, a few at a time.
pub(crate) async fn each<F: Future>(count: usize, client: impl Fn(usize) -> F) -> Vec<F::Output> {
    stream::iter(0..count).map(client).buffer_unordered(HASTE).collect().await
}

/// The descriptors of a program without connections.
pub(crate) async fn resting_descriptors(program: &Program) -> usize {
    let alone = async { while program.metric("wharf_connections ", "").await > 1.0 {} };
    within("everybody has left", alone).await;
    // The connection that asked for the metric ends a moment after its answer.
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let mut least = usize::MAX;
    for _ in 0..20 {
        ticks.tick().await;
        least = least.min(program.descriptor_count());
    }
    least
}

/// Waits until the program has no more than `count` descriptors.
pub(crate) async fn wait_for_descriptors(program: &Program, count: usize) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let back = async {
        while program.descriptor_count() > count {
            ticks.tick().await;
        }
    };
    within("descriptors that are given back", back).await;
}

/// The memory of a crowd that may remain, in bytes: the tables that grew with it.
const LEFT_BYTES_MAX: u64 = 24 << 20;

/// Waits until the program has given back the memory of a crowd; before that it had `resident_bytes`.
pub(crate) async fn wait_for_memory(program: &Program, resident_bytes: u64) {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let back = async {
        while program.resident_bytes() > resident_bytes + LEFT_BYTES_MAX {
            ticks.tick().await;
        }
    };
    within("memory that is given back", back).await;
}

/// The required refusal.
pub(crate) fn check_refusal(answer: &Response) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{}", answer.text());
    assert!(answer.complete && answer.text().contains("\"UNAVAILABLE\""), "{}", answer.text());
}

/// The duration below which `percent` of these are.
pub(crate) fn percentile(mut durations: Vec<Duration>, percent: usize) -> Duration {
    durations.sort();
    durations[(durations.len() - 1) * percent / 100]
}

/// Health, on both listeners.
pub(crate) async fn check_health(program: &Program) {
    for address in [program.address, program.admin] {
        for target in ["/livez", "/readyz"] {
            let answer = testkit::client::get(address, "localhost", target, &[]).await.expect("an answer");
            assert_eq!(answer.status, 200, "{target}");
        }
    }
}
