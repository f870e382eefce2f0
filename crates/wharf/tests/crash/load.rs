//! Clients that pull at the same time, independently, and check everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use fastrand::Rng;
use testkit::client::{self, Broken, Connection};
use testkit::{Blob, Program, within};
use tokio::task::JoinSet;

use crate::library::{Library, REGISTRY, REPOSITORY, Received, target_of};
use crate::schedule::Cycle;

const CLIENT_COUNT: usize = 5;

/// The number of bytes that a leaving client has read.
const TASTE_BYTES: usize = 200_000;

/// Answers must be whole and right.
const ON: u8 = 0;
/// The same, and clients leave after the current answer.
const LAST: u8 = 1;
/// Anything may fail, and nothing is promised any more.
const OVER: u8 = 2;

/// Clients at work.
pub(crate) struct Load {
    clients: JoinSet<Received>,
    stage: Arc<AtomicU8>,
}

struct Client {
    address: SocketAddr,
    library: Arc<Library>,
    stage: Arc<AtomicU8>,
    rng: Rng,
}

impl Load {
    /// Starts clients of `program`, and moves a tag meanwhile.
    pub(crate) fn start(program: &Program, library: &Arc<Library>, cycle: &mut Cycle<'_>) -> Self {
        let stage = Arc::new(AtomicU8::new(ON));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENT_COUNT {
            let (library, stage) = (library.clone(), stage.clone());
            let client = Client { address: program.address, library, stage, rng: cycle.fork() };
            clients.spawn(client.pull());
        }
        library.move_a_tag(&mut cycle.rng);
        Self { clients, stage }
    }

    /// Lets them pull for `time`.
    pub(crate) async fn run_for(&mut self, time: Duration) {
        if let Ok(left) = tokio::time::timeout(time, self.clients.join_next()).await {
            panic!("a client left while all was well: {left:?}");
        }
    }

    /// From here on anything may fail. To be called before it does.
    pub(crate) fn expect_the_worst(&self) {
        self.stage.store(OVER, Ordering::SeqCst);
    }

    /// Lets each client finish its answer. Returns the received content.
    pub(crate) async fn finish(self) -> Received {
        // The end is final.
        self.stage.fetch_max(LAST, Ordering::SeqCst);
        let mut received = Received::default();
        for client in within("the clients", self.clients.join_all()).await {
            received.extend(client);
        }
        received
    }
}

impl Client {
    async fn pull(mut self) -> Received {
        let mut received = Received::default();
        while self.is(ON) {
            let answered = self.ask(&mut received).await;
            if let Err(broken) = answered {
                assert!(self.is(OVER), "an answer broke off while all was well: {broken:?}");
            }
        }
        received
    }

    async fn ask(&mut self, received: &mut Received) -> Result<(), Broken> {
        let blob = self.library.blobs[self.rng.usize(..self.library.blobs.len())].clone();
        match self.rng.u8(..10) {
            0 => {
                let tag = Library::any_tag(&mut self.rng);
                self.manifest(tag, Some(tag), received).await
            }
            1 => {
                let number = self.rng.usize(..self.library.images.len());
                let digest = self.library.images[number].digest().to_owned();
                self.manifest(&digest, None, received).await
            }
            2 => self.taste(&blob).await,
            3..6 if self.library.is_ranged(&blob) => self.range(&blob).await,
            _ => self.whole(&blob, received).await,
        }
    }

    async fn whole(&self, blob: &Blob, received: &mut Received) -> Result<(), Broken> {
        let Some(connection) = self.open(blob).await? else { return Ok(()) };
        let digest = connection.read_digest().await?;
        assert_eq!(digest, blob.digest, "a whole body of other bytes");
        // An empty blob has no bytes to store before it has its name.
        if !self.is(OVER) && !self.library.is_ranged(blob) && blob.size() > 0 {
            received.blobs.insert(digest);
        }
        Ok(())
    }

    /// Reads some bytes and leaves.
    async fn taste(&self, blob: &Blob) -> Result<(), Broken> {
        let Some(mut connection) = self.open(blob).await? else { return Ok(()) };
        let piece = connection.read_piece(TASTE_BYTES).await?.unwrap_or_default();
        assert_eq!(piece, blob.source.read(0, piece.len()), "the first bytes are others");
        Ok(())
    }

    async fn range(&mut self, blob: &Blob) -> Result<(), Broken> {
        let start = self.rng.u64(..blob.size());
        let end = self.rng.u64(start..blob.size());
        let range = format!("bytes={start}-{end}");
        let (host, target) = (host(), target_of(&blob.digest));
        let answer = client::get(self.address, &host, &target, &[("range", &range)]).await?;
        if !self.expect(206, answer.status) || !answer.complete {
            return self.cut_short();
        }
        assert_eq!(answer.body.len() as u64, end - start + 1, "{range} of {blob:?}");
        assert_eq!(answer.body, blob.source.read(start, answer.body.len()), "{range} of {blob:?}");
        Ok(())
    }

    async fn manifest(
        &self,
        reference: &str,
        tag: Option<&'static str>,
        received: &mut Received,
    ) -> Result<(), Broken> {
        let target = format!("/v2/{REPOSITORY}/manifests/{reference}");
        let answer = client::get(self.address, &host(), &target, &[]).await?;
        if !self.expect(200, answer.status) || !answer.complete {
            return self.cut_short();
        }
        let image = self.library.images.iter().find(|image| image.manifest.bytes() == answer.body);
        let digest = image.expect("a manifest of ours").digest();
        assert_eq!(answer.header("docker-content-digest"), Some(digest));
        assert!(tag.is_some() || reference == digest, "{reference} was answered with {digest}");
        if !self.is(OVER) {
            received.manifests.insert(digest.to_owned());
            if let Some(tag) = tag {
                self.library.heard(tag, digest);
                received.tags.insert(tag);
            }
        }
        Ok(())
    }

    /// A connection that has received the head of a whole blob; `None` if it was refused after the end.
    async fn open(&self, blob: &Blob) -> Result<Option<Connection>, Broken> {
        let mut connection = Connection::open(self.address).await?;
        connection.request("GET", &host(), &target_of(&blob.digest), &[]).await?;
        let head = connection.read_head("GET").await?;
        Ok(self.expect(200, head.status).then_some(connection))
    }

    fn expect(&self, wanted: u16, status: u16) -> bool {
        assert!(
            status == wanted || self.is(OVER),
            "answered {status} instead of {wanted} while all was well"
        );
        status == wanted
    }

    fn cut_short(&self) -> Result<(), Broken> {
        if self.is(OVER) { Ok(()) } else { Err(Broken::Closed) }
    }

    fn is(&self, stage: u8) -> bool {
        self.stage.load(Ordering::SeqCst) == stage
    }
}

fn host() -> String {
    format!("{REGISTRY}.localhost")
}
