//! Which request meets which faults. Rules are tried from the newest to the oldest; the first that applies
//! decides alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::fault::Fault;
use super::route::{Endpoint, Kind, Route};
use crate::deadline::within;

/// A condition on requests and the faults that those who meet it get.
#[derive(Clone, Debug)]
pub struct Rule {
    kind: Kind,
    faults: Vec<Fault>,
    endpoint: Option<Endpoint>,
    repository: Option<String>,
    reference: Option<String>,
    is_ranged: bool,
    is_before_auth: bool,
    nth: u64,
    times: u64,
}

impl Rule {
    /// `fault` for every request of this kind where it is answered with content: blobs at the CDN while
    /// redirects are on, all else at its only endpoint.
    pub fn new(kind: Kind, fault: Fault) -> Self {
        Self {
            kind,
            faults: vec![fault],
            endpoint: None,
            repository: None,
            reference: None,
            is_ranged: false,
            is_before_auth: false,
            nth: 1,
            times: u64::MAX,
        }
    }

    /// One more fault for the same answers; applied after those already there.
    #[must_use]
    pub fn and(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// At this endpoint: a blob at [`Endpoint::Registry`] is the request that gets redirected.
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

    /// For this tag or digest only, as it stands in the path.
    #[must_use]
    pub fn reference(mut self, reference: &str) -> Self {
        self.reference = Some(reference.to_owned());
        self
    }

    /// For requests with a `Range` header only.
    #[must_use]
    pub fn ranged(mut self) -> Self {
        self.is_ranged = true;
        self
    }

    /// Also for requests that are refused for want of a good credential. Without this, challenges stay as
    /// they are and are not counted, so that the first request is the first that would get content.
    #[must_use]
    pub fn before_auth(mut self) -> Self {
        self.is_before_auth = true;
        self
    }

    /// Leaves the first `nth - 1` requests that meet the conditions alone.
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
            && (request.is_ranged || !self.is_ranged)
            && (request.is_authorized || self.is_before_auth)
    }
}

/// What rules look at.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) route: &'a Route,
    /// Where a request of this kind is answered with content at present.
    pub(crate) content_endpoint: Endpoint,
    pub(crate) is_ranged: bool,
    pub(crate) is_authorized: bool,
}

/// All rules in force.
#[derive(Debug, Default)]
pub(crate) struct Script(Mutex<Vec<Arc<Entry>>>);

#[derive(Debug)]
struct Entry {
    rule: Rule,
    /// Requests that met the conditions; guarded by the script's lock.
    met: Mutex<u64>,
    applied: watch::Sender<u64>,
}

impl Script {
    pub(crate) fn add(self: &Arc<Self>, rule: Rule) -> Scripted {
        let entry = Arc::new(Entry { rule, met: Mutex::new(0), applied: watch::Sender::new(0) });
        self.lock().push(entry.clone());
        Scripted { script: self.clone(), entry }
    }

    /// The faults that this request meets: those of the newest rule that applies. Counts it.
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
    /// Counts one more request that meets the conditions, and says whether the rule applies to it.
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
    /// How many answers it has spoilt so far.
    pub fn applied(&self) -> u64 {
        *self.entry.applied.borrow()
    }

    /// Returns once it has been applied `count` times; the answer itself may still be under way.
    ///
    /// # Panics
    /// When that does not happen within half a minute.
    pub async fn wait_applied(&self, count: u64) {
        let mut applied = self.entry.applied.subscribe();
        let what = format!("{count} times {:?}", self.entry.rule);
        let came = within(&what, applied.wait_for(|applied| *applied >= count)).await;
        assert!(came.is_ok(), "the rule holds the sender");
    }

    /// Takes the rule out of the script.
    pub fn remove(self) {
        self.script.lock().retain(|entry| !Arc::ptr_eq(entry, &self.entry));
    }
}
