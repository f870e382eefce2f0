//! Connections that are not HTTP, or malformed HTTP: other clients do not notice them, no request is smuggled
//! past the parser, and no resource leaks.

mod corpus;
mod judge;
mod mutation;

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use testkit::client::Connection;
use testkit::{FakeRegistry, Image, Program, TempStore, within};

use crate::upstream::WHARF;
use judge::{Answer, Known};

/// Connections open at once.
const CONCURRENT_COUNT: usize = 16;

/// The number of mutated connections of a normal run; `WHARF_MALFORMED_COUNT` sets another.
const COUNT: u64 = 10_000;

/// The seed of the generator; `WHARF_MALFORMED_SEED` sets another.
const SEED: u64 = 20_261_121;

/// The allowed growth of memory over a run, in bytes: buffers that the allocator keeps, and bounded tables.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

struct World {
    program: Program,
    upstream: FakeRegistry,
    known: Known,
    _store: TempStore,
}

impl World {
    /// The program with an image, a secret and a canary stored.
    async fn start() -> Self {
        let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
        let image = Image::small("malformed");
        upstream.put_image("library/app", "1", &image);
        let canary = upstream.put_blob(bytes::Bytes::from_static(judge::CANARY));
        let secret = upstream.put_blob(bytes::Bytes::from_static(judge::SECRET));
        let program = Program::start(WHARF, store.path(), &[("docker.io", &upstream)]);
        let mut known = Known::new(canary, secret);
        known.add(image.manifest.source.bytes());
        image.layers.iter().chain([&image.config]).for_each(|blob| known.add(blob.source.bytes()));
        for digest in [known.canary().to_owned(), known.secret().to_owned()] {
            let target = format!("/v2/library/app/blobs/{digest}");
            assert!(program.get("docker.io", &target).await.expect("an answer").complete);
        }
        program.settle().await;
        upstream.log().clear();
        Self { program, upstream, known, _store: store }
    }

    /// Sends the pieces, one write each, then the canary, and returns the bytes received until the end.
    async fn send(&self, pieces: &[&[u8]]) -> Result<Vec<Answer>, String> {
        let mut connection = Connection::open(self.program.address).await.expect("connected");
        let canary = self.known.canary_request();
        for piece in pieces.iter().copied().chain([canary.as_bytes()]) {
            // The server may have ended the connection by then; its answer is still read.
            if connection.send(piece).await.is_err() {
                break;
            }
        }
        let (received, _end) = within("the end of the connection", connection.read_raw_to_end()).await;
        judge::read_answers(&received)
    }

    /// A good client on another connection gets its content.
    async fn check_good_client(&self) {
        let target = format!("/v2/library/app/blobs/{}", self.known.canary());
        let answer =
            within("a good client", self.program.get("docker.io", &target)).await.expect("an answer");
        assert_eq!((answer.status, answer.complete, &answer.body[..]), (200, true, judge::CANARY));
    }

    /// Nothing panicked; connections and descriptors are as before, and memory nearly so.
    async fn check_left_nothing(&self, descriptors: usize, resident_bytes: u64) {
        self.check_good_client().await;
        assert_eq!(self.program.metric("wharf_panics_total", "").await, 0.0);
        let closed = async { while self.program.descriptor_count() > descriptors {} };
        within("the descriptors are closed", closed).await;
        let grown = self.program.resident_bytes().saturating_sub(resident_bytes);
        assert!(grown < GROWTH_BYTES_MAX, "memory grew by {grown} bytes");
    }

    /// The upstream got only requests that stood in some client's request, and none of its headers.
    fn check_upstream(&self, sent: &[u8]) {
        for request in self.upstream.requests() {
            let path = request.target.split('?').next().unwrap_or_default();
            assert!(matches!(&*request.method, "GET" | "HEAD"), "{request:?}");
            assert!(path.bytes().all(|byte| byte.is_ascii_graphic()) && !path.contains('%'), "{request:?}");
            let names = [&request.repository, &request.reference].into_iter().flatten();
            for name in names {
                let name = name.strip_prefix("library/").unwrap_or(name);
                assert!(judge::contains(sent, name.as_bytes()), "nobody asked for {request:?}");
            }
            let is_foreign = |(name, value): &(String, String)| {
                name.starts_with("x-") || name == "cookie" || value.contains("canary")
            };
            assert!(!request.headers.iter().any(is_foreign), "{request:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_malformed_connection_of_the_corpus_ends_as_it_must() {
    let world = World::start().await;
    let (descriptors, resident) = (world.program.descriptor_count(), world.program.resident_bytes());
    let mut sent = Vec::new();
    for case in corpus::cases(&world.known) {
        sent.extend_from_slice(&case.bytes);
        let answers = world.send(&[&case.bytes]).await;
        let answers = answers.unwrap_or_else(|wrong| panic!("{}: {wrong}", case.name));
        case.check(&world.known, &answers);
        world.check_good_client().await;
    }
    world.check_upstream(&sent);
    world.check_left_nothing(descriptors, resident).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_any_two_pieces_is_one_request() {
    let world = World::start().await;
    let request =
        b"GET /v2/library/app/manifests/1?ns=docker.io HTTP/1.1\r\nHost: docker.io.localhost\r\n\r\n";
    for at in 1..request.len() {
        let (front, back) = request.split_at(at);
        let answers = world.send(&[front, back]).await.expect("answers");
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 200], "split at {at}");
        world.known.check(&answers).expect("the right content");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_connection_leaves_nothing_behind() {
    let world = World::start().await;
    let (descriptors, resident) = (world.program.descriptor_count(), world.program.resident_bytes());
    let request = world.known.canary_request();
    let request = request.as_bytes();
    let mut resting = Vec::new();
    for end in 0..request.len() {
        let mut connection = Connection::open(world.program.address).await.expect("connected");
        connection.send(&request[..end]).await.expect("sent");
        match end % 3 {
            0 => resting.push(connection),
            1 => connection.reset().expect("reset"),
            _ => {
                connection.half_close().await.expect("half closed");
                let (received, _) = within("the end", connection.read_raw_to_end()).await;
                judge::read_answers(&received).expect("nothing, or whole answers");
            }
        }
        world.check_good_client().await;
    }
    drop(resting);
    world.check_left_nothing(descriptors, resident).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_requests_break_nothing() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (seed, count) = (number("WHARF_MALFORMED_SEED", SEED), number("WHARF_MALFORMED_COUNT", COUNT));
    let world = Arc::new(World::start().await);
    // The first ones warm up one-time allocations.
    check_mutations(&world, seed, 0..count / 8).await;
    let (descriptors, resident) = (world.program.descriptor_count(), world.program.resident_bytes());
    let mut first = count / 8;
    while first < count {
        let last = count.min(first + 5000);
        world.upstream.log().clear();
        let sent = check_mutations(&world, seed, first..last).await;
        world.check_upstream(&sent);
        world.check_good_client().await;
        first = last;
    }
    world.check_left_nothing(descriptors, resident).await;
}

/// Makes these connections of a seed, several at once, and returns the sent bytes.
async fn check_mutations(world: &Arc<World>, seed: u64, numbers: std::ops::Range<u64>) -> Vec<u8> {
    let connections = numbers.map(|number| {
        let world = Arc::clone(world);
        async move {
            let pieces = mutation::pieces(seed, number, &world.known);
            let borrowed: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let judged = world.send(&borrowed).await.and_then(|answers| world.known.check(&answers));
            let sent = pieces.concat();
            let text = || sent.escape_ascii().to_string();
            judged.unwrap_or_else(|wrong| panic!("seed {seed}, number {number}: {wrong}\n{}", text()));
            sent
        }
    });
    let sent = stream::iter(connections).buffer_unordered(CONCURRENT_COUNT);
    sent.fold(Vec::new(), async |mut all, one| {
        all.extend_from_slice(&one);
        all
    })
    .await
}
