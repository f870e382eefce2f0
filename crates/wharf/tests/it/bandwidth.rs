//! Limits on bytes per second, over real sockets. Each test compares two bodies that move at the same time:
//! the limited one may not be through when the other one is. How exact a limit is, a test of `cache` shows on
//! paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use testkit::client::Connection;
use testkit::{BlobSource, FakeRegistry, within};

use crate::program::{Program, configuration, registry};

/// The size of each body: far more than sockets on loopback take ahead.
const BODY_BYTES: u64 = 32 << 20;

/// A body of that size takes a quarter of an hour.
const SLOW: &str = "40KB/s";

/// More than any body needs: this limit is on, and hinders nothing.
const FAST: &str = "100GB/s";

/// Two registries with a key of their own each, and a blob of their own each.
struct Pair {
    program: Program,
    upstreams: [FakeRegistry; 2],
    digests: [String; 2],
}

const NAMES: [&str; 2] = ["slow.test", "fast.test"];

impl Pair {
    async fn new(key: &str) -> Self {
        let upstreams = [FakeRegistry::start().await, FakeRegistry::start().await];
        let blob = |seed| BlobSource::Generated { seed, len: BODY_BYTES };
        let digests = [0, 1].map(|at| upstreams[at].put_blob_in("team/app", blob(at as u64)));
        let text = [SLOW, FAST]
            .iter()
            .zip(NAMES)
            .zip(&upstreams)
            .map(|((rate, name), upstream)| format!("{}{key} = \"{rate}\"\n", registry(name, upstream)));
        let program = Program::start(&configuration(&text.collect::<String>()));
        Self { program, upstreams, digests }
    }

    /// Whether the store has the slow blob.
    async fn is_stored(&self) -> bool {
        let series = format!("wharf_stored_bytes{{registry=\"{}\",kind=\"blob\"}} {BODY_BYTES}", NAMES[0]);
        self.program.metrics().await.lines().any(|line| line == series)
    }

    /// The bytes that a client has got of the slow blob, and those that its upstream has sent, when another
    /// client has the fast blob whole.
    async fn race(&self) -> (u64, u64) {
        let mut slow = self.open(0).await;
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let reading = tokio::spawn(async move {
            while let Some(piece) = slow.read_piece(1 << 20).await.unwrap() {
                counted.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        });
        let fast = self.open(1).await.read_digest();
        assert_eq!(within("the fast body", fast).await.unwrap(), self.digests[1]);
        let sent = self.upstreams[0].log().body_bytes(&self.digests[0]);
        let came = count.load(Ordering::Relaxed);
        reading.abort();
        (came, sent)
    }

    /// Asks for a registry's blob, and reads the head of the answer.
    async fn open(&self, at: usize) -> Connection {
        let mut connection = Connection::open(self.program.address).await.unwrap();
        let (host, target) =
            (format!("{}.localhost", NAMES[at]), format!("/v2/team/app/blobs/{}", self.digests[at]));
        connection.request("GET", &host, &target, &[]).await.unwrap();
        assert_eq!(within("a head", connection.read_head("GET")).await.unwrap().status, 200);
        connection
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_towards_the_upstream_slows_its_registry_and_no_other() {
    let pair = Pair::new("upstream_bandwidth").await;
    let (came, sent) = pair.race().await;
    assert!(came < BODY_BYTES / 2, "{came} bytes came through a limit of {SLOW}");
    assert!(sent < BODY_BYTES / 2, "the upstream has sent {sent} bytes through a limit of {SLOW}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_towards_clients_slows_its_registry_and_no_other_and_not_the_fill() {
    let pair = Pair::new("client_bandwidth").await;
    let (came, _) = pair.race().await;
    assert!(came < BODY_BYTES / 2, "{came} bytes came through a limit of {SLOW}");
    let stored = async { while !pair.is_stored().await {} };
    within("the slow blob is stored at full speed", stored).await;
    let (came, sent) = pair.race().await;
    assert!(came < BODY_BYTES / 2, "{came} stored bytes came through a limit of {SLOW}");
    // Redirects and connections that are left for others cost some bytes.
    assert!(sent < BODY_BYTES + BODY_BYTES / 2, "{sent} bytes came from the upstream for one blob");
}
