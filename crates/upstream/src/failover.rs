//! The addresses of one upstream: each operation gets its answer from the first healthy one.
//!
//! Each address is a [`Registry`] of its own, so that no connection, token, pause or breaker of one address
//! is used at another. `policy::failover` says how much an answer is worth.

mod address;
mod round;

use std::sync::Arc;
use std::time::Duration;

use budget::Memory;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use oci::Digest;
use parking_lot::Mutex;
use policy::failover::{Doubts, order};
use policy::lru::LruMap;
use tokio::time::Instant;

use self::address::Address;
use self::round::{Given, Round};
use crate::contract::{AddressStatus, BlobStream, Senders};
use crate::error::Error;
use crate::hedge::SILENCE;
use crate::registry::Registry;

/// The most blobs whose last transfer broke off to remember.
const BROKEN_COUNT_MAX: usize = 256;
/// The time for which the next transfer of such a blob goes to another address.
const BROKEN_TTL: Duration = Duration::from_secs(60);
/// The most digests of which an address sent wrong bytes to remember.
const WRONG_COUNT_MAX: usize = 1024;
/// The time for which requests for such a digest go to other addresses first. After it the first address,
/// which may have revoked the content, decides again.
const WRONG_TTL: Duration = Duration::from_secs(15 * 60);

/// The addresses of one upstream, in order.
#[derive(Debug)]
pub(crate) struct Addresses {
    all: Vec<Arc<Address>>,
    /// The addresses at which the transfer of a blob broke off, and when.
    broken: Mutex<LruMap<Digest, (usize, Instant)>>,
    /// The doubts about the addresses for digests of which they sent wrong bytes, and when these began.
    doubts: Mutex<LruMap<Digest, (Doubts, Instant)>>,
    /// The silence after which the next address gets the request as well.
    silence: Duration,
}

impl Addresses {
    /// `registries` has at least one.
    pub(crate) fn new(registries: Vec<Registry>) -> Self {
        let silence = registries.iter().map(|it| it.header_timeout).min().unwrap_or_default();
        Self {
            all: registries.into_iter().map(|registry| Arc::new(Address::new(registry))).collect(),
            broken: Mutex::new(LruMap::new(BROKEN_COUNT_MAX)),
            doubts: Mutex::new(LruMap::new(WRONG_COUNT_MAX)),
            silence: silence.mul_f32(SILENCE),
        }
    }

    /// Sets the memory budget of all addresses, which no task uses yet.
    pub(crate) fn set_memory(&mut self, memory: &Memory) {
        for address in self.all.iter_mut().filter_map(Arc::get_mut) {
            if let Some(transport) = Arc::get_mut(&mut address.registry.transport) {
                transport.memory = memory.clone();
            }
        }
    }

    /// The first address, which is the registry itself.
    pub(crate) fn first(&self) -> &Registry {
        &self.all[0].registry
    }

    /// The addresses, in order.
    pub(crate) fn registries(&self) -> impl Iterator<Item = &Registry> {
        self.all.iter().map(|address| &address.registry)
    }

    /// Runs the operation at the first healthy address. The next address gets it if this one cannot be
    /// reached, fails, throttles or pauses; and beside this one if it stays silent. A definite answer ends
    /// it.
    ///
    /// # Errors
    /// The first address's own no. Otherwise the first address's failure, which names those of the others:
    /// the no of a stand-in proves nothing about the first address.
    pub(crate) async fn ask<'a, T: 'a>(
        &'a self,
        operation: impl Fn(&'a Registry) -> BoxFuture<'a, Result<T, Error>> + Send,
    ) -> Result<Given<T>, Error> {
        self.ask_in(None, operation).await
    }

    /// The same for the bytes of a digest. They go on at another address if their transfer has just broken
    /// off, and come from one that sent wrong bytes only if no other address can answer.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub(crate) async fn ask_for_bytes<'a, T: 'a>(
        &'a self,
        digest: &Digest,
        operation: impl Fn(&'a Registry) -> BoxFuture<'a, Result<T, Error>> + Send,
    ) -> Result<Given<T>, Error> {
        self.ask_in(Some(digest), operation).await
    }

    async fn ask_in<'a, T: 'a>(
        &'a self,
        digest: Option<&Digest>,
        operation: impl Fn(&'a Registry) -> BoxFuture<'a, Result<T, Error>> + Send,
    ) -> Result<Given<T>, Error> {
        if let [only] = &*self.all {
            let value = operation(&only.registry).await?;
            return Ok(Given { value, from: 0 });
        }
        Round::new(&self.all, self.order(digest), self.silence).run(operation).await
    }

    /// Runs the operation at one healthy address and at no other: a further connection for a blob.
    ///
    /// # Errors
    /// Those of the operation.
    pub(crate) async fn ask_one<'a, T: 'a>(
        &'a self,
        digest: &Digest,
        operation: impl Fn(&'a Registry) -> BoxFuture<'a, Result<T, Error>> + Send,
    ) -> Result<Given<T>, Error> {
        let from = self.order(Some(digest)).0.first().copied().unwrap_or_default();
        let value = operation(&self.all[from].registry).await?;
        Ok(Given { value, from })
    }

    /// Returns the stream, which notes if its body breaks off.
    pub(crate) fn watched(self: &Arc<Self>, digest: &Digest, given: Given<BlobStream>) -> BlobStream {
        let from = given.from;
        let (stream, sent_by) = given.apart();
        if self.all.len() == 1 {
            return stream;
        }
        let (addresses, digest) = (Arc::clone(self), digest.clone());
        let body: BoxStream<'static, Result<Bytes, Error>> = stream
            .body
            .inspect(move |chunk| {
                if chunk.is_err() {
                    let mut broken = addresses.broken.lock();
                    *broken.get_or_insert_with(&digest, || (from, Instant::now())) = (from, Instant::now());
                }
            })
            .boxed();
        BlobStream { body, sent_by, ..stream }
    }

    /// Notes that these addresses sent wrong bytes for the digest. Returns whether a retry is worthwhile.
    pub(crate) fn note_wrong(&self, digest: &Digest, senders: &Senders) -> bool {
        if self.all.len() == 1 || senders.addresses.is_empty() {
            return false;
        }
        let senders_at: Vec<usize> = senders.addresses.iter().map(|address| address.get()).collect();
        let none = || (Doubts::of(self.all.len()), Instant::now());
        let mut all = self.doubts.lock();
        let entry = all.get_or_insert_with(digest, none);
        if entry.1.elapsed() >= WRONG_TTL {
            *entry = none();
        }
        let doubts = &mut entry.0;
        let before = doubts.clone();
        let is_worthwhile = doubts.note(&senders_at, senders.are_all);
        for (at, address) in self.all.iter().enumerate() {
            if doubts.is_proved(at) && !before.is_proved(at) {
                address.say_wrong(digest);
            }
        }
        is_worthwhile
    }

    pub(crate) fn statuses(&self) -> Vec<AddressStatus> {
        self.all.iter().map(|address| address.status()).collect()
    }

    fn broken_at(&self, digest: &Digest) -> Option<usize> {
        if self.all.len() == 1 {
            return None;
        }
        let mut broken = self.broken.lock();
        let (from, at) = *broken.get_mut(digest)?;
        if at.elapsed() < BROKEN_TTL {
            return Some(from);
        }
        broken.remove(digest);
        None
    }

    fn doubts_about(&self, digest: &Digest) -> Doubts {
        let mut all = self.doubts.lock();
        let known = all.get_mut(digest).filter(|(_, since)| since.elapsed() < WRONG_TTL);
        known.map_or_else(Doubts::default, |(doubts, _)| doubts.clone())
    }

    /// Returns the order of this moment for the bytes of a digest or for anything else, and the doubts that
    /// it regards. It starts the probes that are due, and waits for none.
    fn order(&self, digest: Option<&Digest>) -> (Vec<usize>, Doubts) {
        self.all.iter().for_each(Address::probe_if_due);
        let resting: Vec<bool> = self.all.iter().map(|address| address.is_resting()).collect();
        let doubts = digest.map_or_else(Doubts::default, |digest| self.doubts_about(digest));
        let broken = digest.and_then(|digest| self.broken_at(digest));
        (order(&resting, broken, &doubts), doubts)
    }
}
