//! The registry's log: every request, connection, credential and body byte, in order.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::credential::Credential;
use super::route::{Endpoint, Kind, Route};
use crate::deadline::patiently;
use crate::incoming::Incoming;

/// One request, and its progress so far.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// Counts from zero over all endpoints, and continues after [`Log::clear`].
    pub number: u64,
    /// The number of its connection, counted from zero over all endpoints.
    pub connection: u64,
    /// The server that got it.
    pub endpoint: Endpoint,
    /// The kind of the request.
    pub kind: Kind,
    /// As sent.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// The repository in the path, if any.
    pub repository: Option<String>,
    /// The tag or digest in the path, if any.
    pub reference: Option<String>,
    /// All headers in order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `Authorization` header.
    pub credential: Option<Credential>,
    /// The status, set just before the head of the response is sent.
    pub status: Option<u16>,
    /// Body bytes sent so far, without the framing of chunks. Counted just before they are sent: a client
    /// never has more, and one that leaves may have up to a piece (64 KiB) less.
    pub body_bytes: u64,
    /// How the response ended, once it did. A client may read the last byte a moment earlier: wait for it.
    pub ending: Option<Ending>,
}

impl RequestRecord {
    /// The first header of that name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The complete response was sent.
    Whole,
    /// A rule ended it early.
    Broken,
    /// The client closed first.
    ClientLeft,
}

/// The log of a registry. Its waits are notified of every change.
#[derive(Debug, Default)]
pub struct Log {
    inner: Mutex<Inner>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    records: Vec<RequestRecord>,
    /// The number of the first record kept.
    first: u64,
    connections: [u64; 3],
    open: [u64; 3],
    body_bytes: HashMap<String, u64>,
    refused_credentials: u64,
}

impl Log {
    /// Every request since the start or the last [`Log::clear`], in order of arrival.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.lock().records.clone()
    }

    /// How many requests of this kind came, at any endpoint.
    pub fn count(&self, kind: Kind) -> usize {
        self.count_where(|record| record.kind == kind)
    }

    /// How many requests of this kind came to one endpoint.
    pub fn count_at(&self, endpoint: Endpoint, kind: Kind) -> usize {
        self.count_where(|record| record.endpoint == endpoint && record.kind == kind)
    }

    /// How many requests of this kind named this tag or digest, at any endpoint.
    pub fn count_for(&self, kind: Kind, reference: &str) -> usize {
        self.count_where(|record| record.kind == kind && record.reference.as_deref() == Some(reference))
    }

    /// How many requests satisfy `is_meant`.
    pub fn count_where(&self, is_meant: impl Fn(&RequestRecord) -> bool) -> usize {
        self.lock().records.iter().filter(|record| is_meant(record)).count()
    }

    /// Connections accepted so far, with or without requests. Never cleared.
    pub fn connections(&self, endpoint: Endpoint) -> u64 {
        self.lock().connections[endpoint.index()]
    }

    /// Connections that neither side has closed.
    pub fn open_connections(&self, endpoint: Endpoint) -> u64 {
        self.lock().open[endpoint.index()]
    }

    /// Body bytes sent in answers about this tag or digest, all requests and endpoints together.
    pub fn body_bytes(&self, reference: &str) -> u64 {
        self.lock().body_bytes.get(reference).copied().unwrap_or_default()
    }

    /// The credential of every request to one endpoint that had one, in order.
    pub fn credentials(&self, endpoint: Endpoint) -> Vec<Credential> {
        let inner = self.lock();
        let records = inner.records.iter().filter(|record| record.endpoint == endpoint);
        records.filter_map(|record| record.credential.clone()).collect()
    }

    /// Requests that the CDN refused because they carried a credential.
    pub fn refused_credentials(&self) -> u64 {
        self.lock().refused_credentials
    }

    /// Clears requests, bytes and refused credentials; requests in flight are not recorded any more.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.first += inner.records.len() as u64;
        inner.records.clear();
        inner.body_bytes.clear();
        inner.refused_credentials = 0;
    }

    /// Returns once `is_so` holds; it is evaluated after every change.
    ///
    /// # Panics
    /// When it does not hold within half a minute, with `what` and all requests in the message.
    pub async fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            while !is_so(self) {
                assert!(changes.changed().await.is_ok(), "the log holds the sender");
            }
        };
        assert!(patiently(waiting).await.is_some(), "waited in vain: {what}; seen:{}", self.listing());
    }

    /// Returns once `count` requests have come in all.
    ///
    /// # Panics
    /// As [`Log::wait_until`].
    pub async fn wait_for_requests(&self, count: usize) {
        let what = format!("{count} requests");
        self.wait_until(&what, |log| log.lock().records.len() >= count).await;
    }

    /// Returns once `count` requests of this kind have come, at any endpoint.
    ///
    /// # Panics
    /// As [`Log::wait_until`].
    pub async fn wait_for(&self, kind: Kind, count: usize) {
        let what = format!("{count} requests of kind {kind:?}");
        self.wait_until(&what, |log| log.count(kind) >= count).await;
    }

    /// Notes a connection, open until the value is dropped.
    pub(crate) fn connected(self: &Arc<Self>, endpoint: Endpoint) -> Connected {
        let number = self.change(|inner| {
            let number = inner.connections.iter().sum();
            inner.connections[endpoint.index()] += 1;
            inner.open[endpoint.index()] += 1;
            number
        });
        Connected { log: self.clone(), endpoint, number }
    }

    /// Records a request and returns its number.
    pub(crate) fn arrived(&self, connection: u64, route: &Route, incoming: &Incoming) -> u64 {
        let credential = incoming.header("authorization").map(Credential::parse);
        self.change(|inner| {
            let number = inner.first + inner.records.len() as u64;
            if route.endpoint == Endpoint::Cdn && credential.is_some() {
                inner.refused_credentials += 1;
            }
            inner.records.push(RequestRecord {
                number,
                connection,
                endpoint: route.endpoint,
                kind: route.kind,
                method: incoming.method.clone(),
                target: incoming.target.clone(),
                repository: route.repository.clone(),
                reference: route.reference.clone(),
                headers: incoming.headers.clone(),
                range: incoming.header("range").map(str::to_owned),
                credential,
                status: None,
                body_bytes: 0,
                ending: None,
            });
            number
        })
    }

    /// Notes that the head of an answer is being sent.
    pub(crate) fn answered(&self, number: u64, status: u16) {
        self.update(number, |record| record.status = Some(status));
    }

    /// Notes body bytes of an answer.
    pub(crate) fn sent(&self, number: u64, bytes: u64) {
        self.change(|inner| {
            let Some(record) = inner.record(number) else { return };
            record.body_bytes += bytes;
            if let Some(reference) = record.reference.clone() {
                *inner.body_bytes.entry(reference).or_default() += bytes;
            }
        });
    }

    /// Notes the end of an answer.
    pub(crate) fn ended(&self, number: u64, ending: Ending) {
        self.update(number, |record| record.ending = Some(ending));
    }

    fn update(&self, number: u64, change: impl FnOnce(&mut RequestRecord)) {
        self.change(|inner| inner.record(number).map(change));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.send_replace(());
        result
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listing(&self) -> String {
        let mut text = String::new();
        for record in &self.lock().records {
            let RequestRecord { endpoint, method, target, status, body_bytes, ending, .. } = record;
            let line = format!("{endpoint:?} {method} {target} {status:?} {body_bytes} {ending:?}");
            write!(text, "\n  {line}").expect("writing to a String cannot fail");
        }
        text
    }
}

impl Inner {
    /// The record with this number, unless it was cleared.
    fn record(&mut self, number: u64) -> Option<&mut RequestRecord> {
        let index = number.checked_sub(self.first)?;
        self.records.get_mut(usize::try_from(index).ok()?)
    }
}

/// A connection that counts as open while this exists.
#[derive(Debug)]
pub(crate) struct Connected {
    log: Arc<Log>,
    endpoint: Endpoint,
    pub(crate) number: u64,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.log.change(|inner| inner.open[self.endpoint.index()] -= 1);
    }
}
