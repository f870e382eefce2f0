//! Rules that inject faults into responses. Rules are tried from the newest to the oldest; only the first
//! that applies is used.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::fault::Fault;
use super::route::{Endpoint, Kind, Route};
use crate::deadline::within;

/// A condition on requests, and the faults of the responses to requests that satisfy it.
#[derive(Clone, Debug)]
pub struct Rule {
    kind: Kind,
    faults: Vec<Fault>,
    endpoint: Option<Endpoint>,
    repository: Option<String>,
    reference: Option<String>,
    user: Option<String>,
    is_ranged: bool,
    is_before_auth: bool,
    nth: u64,
    times: u64,
}

impl Rule {
    /// `fault` for every request of this kind at the endpoint that serves the content: the CDN for blobs
    /// while redirects are on, otherwise the only endpoint of the kind.
    pub fn new(kind: Kind, fault: Fault) -> Self {
        Self {
            kind,
            faults: vec![fault],
            endpoint: None,
            repository: None,
            reference: None,
            user: None,
            is_ranged: false,
            is_before_auth: false,
            nth: 1,
            times: u64::MAX,
        }
    }

    /// Adds a fault for the same responses; applied after the earlier ones.
    #[must_use]
    pub fn and(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Only at this endpoint: for a blob at [`Endpoint::Registry`], that is the request that gets redirected.
    #[must_use]
    pub fn at(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// For this repository only.
    #[must_use]
    pub fn repository(mut self, name: &str) -> Self {
        self.repository = Some(name.to_owned());
        self
    }

    /// For this tag or digest only, as in the path.
    #[must_use]
    pub fn reference(mut self, reference: &str) -> Self {
        self.reference = Some(reference.to_owned());
        self
    }

    /// For requests with the Basic credential of this user only.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// For requests with a `Range` header only.
    #[must_use]
    pub fn ranged(mut self) -> Self {
        self.is_ranged = true;
        self
    }

    /// Also for requests without a valid credential. Without this, challenges are not affected and not
    /// counted, so that the first request is the first that would get content.
    #[must_use]
    pub fn before_auth(mut self) -> Self {
        self.is_before_auth = true;
        self
    }

    /// Skips the first `nth - 1` requests that satisfy the conditions.
    #[must_use]
    pub fn from_nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// Applies `times` times, then no more.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Applies once.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    fn is_met(&self, request: &Candidate<'_>) -> bool {
        let route = request.route;
        let is_wanted = |wanted: &Option<String>, actual: &Option<String>| {
            wanted.is_none() || wanted.as_ref() == actual.as_ref()
        };
        self.kind == route.kind
            && route.endpoint == self.endpoint.unwrap_or(request.content_endpoint)
            && is_wanted(&self.repository, &route.repository)
            && is_wanted(&self.reference, &route.reference)
            && is_wanted(&self.user, &request.user)
            && (request.is_ranged || !self.is_ranged)
            && (request.is_authorized || self.is_before_auth)
    }
}

/// The properties of a request that rules check.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) route: &'a Route,
    /// The endpoint that currently serves content for requests of this kind.
    pub(crate) content_endpoint: Endpoint,
    /// The name in the Basic credential, if it has one.
    pub(crate) user: Option<String>,
    pub(crate) is_ranged: bool,
    pub(crate) is_authorized: bool,
}

/// All rules in force.
#[derive(Debug, Default)]
pub(crate) struct Script(Mutex<Vec<Arc<Entry>>>);

#[derive(Debug)]
struct Entry {
    rule: Rule,
    /// Requests that satisfied the conditions; guarded by the script's lock.
    met: Mutex<u64>,
    applied: watch::Sender<u64>,
}

impl Script {
    pub(crate) fn add(self: &Arc<Self>, rule: Rule) -> Scripted {
        let entry = Arc::new(Entry { rule, met: Mutex::new(0), applied: watch::Sender::new(0) });
        self.lock().push(entry.clone());
        Scripted { script: self.clone(), entry }
    }

    /// The faults for this request: those of the newest rule that applies. Counts the request.
    pub(crate) fn faults(&self, request: &Candidate<'_>) -> Vec<Fault> {
        let entries = self.lock();
        let applies = entries.iter().rev().find(|entry| entry.rule.is_met(request) && entry.applies());
        applies.map(|entry| entry.rule.faults.clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Counts a request that satisfies the conditions, and returns whether the rule applies to it.
    fn applies(&self) -> bool {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        *met += 1;
        if *met < self.rule.nth {
            return false;
        }
        self.applied.send_if_modified(|applied| {
            let is_left = *applied < self.rule.times;
            *applied += u64::from(is_left);
            is_left
        })
    }
}

/// A rule in force. Dropping this leaves it in force.
#[derive(Debug)]
pub struct Scripted {
    script: Arc<Script>,
    entry: Arc<Entry>,
}

impl Scripted {
    /// How many responses it was applied to so far.
    pub fn applied(&self) -> u64 {
        *self.entry.applied.borrow()
    }

    /// Returns once it was applied `count` times; the response itself may still be in flight.
    ///
    /// # Panics
    /// When that does not happen within half a minute.
    pub async fn wait_applied(&self, count: u64) {
        let mut applied = self.entry.applied.subscribe();
        let what = format!("{count} times {:?}", self.entry.rule);
        let came = within(&what, applied.wait_for(|applied| *applied >= count)).await;
        assert!(came.is_ok(), "the rule holds the sender");
    }

    /// Removes the rule from the script.
    pub fn remove(self) {
        self.script.lock().retain(|entry| !Arc::ptr_eq(entry, &self.entry));
    }
}
