//! Clients that pull images, each on its own, and check every byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use testkit::client::{self, Broken, Connection};
use testkit::{Blob, Image, Program, within};
use tokio::task::JoinSet;

use super::shelf::{Product, Shelf};

const CLIENT_COUNT: usize = 6;

/// The number of bytes that a leaving client has read.
const TASTE_BYTES: usize = 100_000;

/// Clients at work.
pub(crate) struct Crowd {
    clients: JoinSet<u64>,
    /// From then on anything may fail.
    is_over: Arc<AtomicBool>,
    is_last: Arc<AtomicBool>,
}

struct Client {
    address: SocketAddr,
    shelf: Arc<Shelf>,
    is_over: Arc<AtomicBool>,
    is_last: Arc<AtomicBool>,
    rng: Rng,
}

impl Crowd {
    pub(crate) fn start(program: &Program, shelf: &Arc<Shelf>, rng: &mut Rng) -> Self {
        let (is_over, is_last) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let mut clients = JoinSet::new();
        for _ in 0..CLIENT_COUNT {
            let (shelf, is_over, is_last) = (Arc::clone(shelf), Arc::clone(&is_over), Arc::clone(&is_last));
            let client = Client { address: program.address, shelf, is_over, is_last, rng: rng.fork() };
            clients.spawn(client.work());
        }
        Self { clients, is_over, is_last }
    }

    /// Lets them pull for `time`.
    pub(crate) async fn run_for(&mut self, time: Duration) {
        if let Ok(left) = tokio::time::timeout(time, self.clients.join_next()).await {
            panic!("a client left while all was well: {left:?}");
        }
    }

    /// From here on anything may fail. To be called before it does.
    pub(crate) fn expect_the_worst(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Lets each client finish its image. Returns how many were pulled whole.
    pub(crate) async fn finish(self) -> u64 {
        self.is_last.store(true, Ordering::SeqCst);
        within("the clients", self.clients.join_all()).await.into_iter().sum()
    }
}

impl Client {
    async fn work(mut self) -> u64 {
        let mut count = 0;
        while !self.is_over() && !self.is_last.load(Ordering::SeqCst) {
            let shelf = Arc::clone(&self.shelf);
            match self.pull(&shelf).await {
                Ok(is_whole) => count += u64::from(is_whole),
                Err(broken) => {
                    assert!(self.is_over(), "an answer broke off while all was well: {broken:?}");
                }
            }
        }
        count
    }

    /// Pulls an image, or leaves in the middle. Returns whether it came whole.
    async fn pull(&mut self, shelf: &Shelf) -> Result<bool, Broken> {
        let product = shelf.any(&mut self.rng);
        let tag = &product.tags[self.rng.usize(..product.tags.len())];
        if !self.manifest(product, tag, product.digest()).await? {
            return Ok(false);
        }
        let image = &product.images[self.rng.usize(..product.images.len())];
        if product.index.is_some() && !self.manifest(product, image.digest(), image.digest()).await? {
            return Ok(false);
        }
        match self.rng.u8(..12) {
            // It has the layers already.
            0 => Ok(false),
            1 => self.taste(product, image).await.map(|()| false),
            _ => self.blobs(product, image).await,
        }
    }

    async fn manifest(&self, product: &Product, reference: &str, digest: &str) -> Result<bool, Broken> {
        let host = host(product);
        let answer = client::get(self.address, &host, &product.manifest_target(reference), &[]).await?;
        let is_whole = answer.status == 200 && answer.complete;
        if !is_whole && self.is_over() {
            return Ok(false);
        }
        assert!(is_whole, "answered {} while all was well: {}", answer.status, answer.text());
        assert_eq!(answer.header("docker-content-digest"), Some(digest), "{reference}");
        assert_eq!(testkit::digest_of(&answer.body), digest, "{reference}");
        Ok(true)
    }

    async fn blobs(&self, product: &Product, image: &Image) -> Result<bool, Broken> {
        for blob in image.blobs() {
            let Some(connection) = self.open(product, blob).await? else { return Ok(false) };
            assert_eq!(connection.read_digest().await?, blob.digest, "a whole body of other bytes");
        }
        Ok(true)
    }

    /// Reads some bytes of the last layer and leaves.
    async fn taste(&self, product: &Product, image: &Image) -> Result<(), Broken> {
        let blob = image.layers.last().expect("it has layers");
        if let Some(mut connection) = self.open(product, blob).await? {
            connection.read_piece(TASTE_BYTES).await?;
        }
        Ok(())
    }

    async fn open(&self, product: &Product, blob: &Blob) -> Result<Option<Connection>, Broken> {
        let mut connection = Connection::open(self.address).await?;
        connection.request("GET", &host(product), &product.blob_target(blob), &[]).await?;
        let head = connection.read_head("GET").await?;
        if head.status != 200 && !self.is_over() {
            let said = connection.read_rest().await.0;
            panic!("answered {} while all was well: {}", head.status, String::from_utf8_lossy(&said));
        }
        Ok((head.status == 200).then_some(connection))
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

fn host(product: &Product) -> String {
    format!("{}.localhost", product.registry_name())
}
