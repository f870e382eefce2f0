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
use policy::failover::order;
use policy::lru::LruMap;
use tokio::time::Instant;

use self::address::Address;
use self::round::{Given, Round};
use crate::contract::{AddressStatus, BlobStream};
use crate::error::Error;
use crate::hedge::SILENCE;
use crate::registry::Registry;

/// The most blobs whose last transfer broke off to remember.
const BROKEN_COUNT_MAX: usize = 256;
/// The time for which the next transfer of such a blob goes to another address.
const BROKEN_TTL: Duration = Duration::from_secs(60);

/// The addresses of one upstream, in order.
#[derive(Debug)]
pub(crate) struct Addresses {
    all: Vec<Arc<Address>>,
    /// The addresses at which the transfer of a blob broke off, and when.
    broken: Mutex<LruMap<Digest, (usize, Instant)>>,
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
        self.ask_avoiding(None, operation).await
    }

    /// The same for the transfer of a blob, which goes on at another address if it has just broken off.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub(crate) async fn ask_for_blob<'a, T: 'a>(
        &'a self,
        digest: &Digest,
        operation: impl Fn(&'a Registry) -> BoxFuture<'a, Result<T, Error>> + Send,
    ) -> Result<Given<T>, Error> {
        self.ask_avoiding(self.broken_at(digest), operation).await
    }

    async fn ask_avoiding<'a, T: 'a>(
        &'a self,
        broken: Option<usize>,
        operation: impl Fn(&'a Registry) -> BoxFuture<'a, Result<T, Error>> + Send,
    ) -> Result<Given<T>, Error> {
        if let [only] = &*self.all {
            let value = operation(&only.registry).await?;
            return Ok(Given { value, from: 0 });
        }
        Round::new(&self.all, self.order(broken), self.silence).run(operation).await
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
        let from = self.order(self.broken_at(digest)).first().copied().unwrap_or_default();
        let value = operation(&self.all[from].registry).await?;
        Ok(Given { value, from })
    }

    /// Returns the stream, which notes if its body breaks off.
    pub(crate) fn watched(self: &Arc<Self>, digest: &Digest, given: Given<BlobStream>) -> BlobStream {
        if self.all.len() == 1 {
            return given.value;
        }
        let (addresses, digest, from) = (Arc::clone(self), digest.clone(), given.from);
        let body: BoxStream<'static, Result<Bytes, Error>> = given
            .value
            .body
            .inspect(move |chunk| {
                if chunk.is_err() {
                    let mut broken = addresses.broken.lock();
                    *broken.get_or_insert_with(&digest, || (from, Instant::now())) = (from, Instant::now());
                }
            })
            .boxed();
        BlobStream { body, ..given.value }
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

    /// Returns the order of this moment. It starts the probes that are due, and waits for none.
    fn order(&self, broken: Option<usize>) -> Vec<usize> {
        self.all.iter().for_each(Address::probe_if_due);
        let resting: Vec<bool> = self.all.iter().map(|address| address.is_resting()).collect();
        order(&resting, broken)
    }
}
