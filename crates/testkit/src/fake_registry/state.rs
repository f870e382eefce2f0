//! The state that the three servers share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::behaviour::Behaviour;
use super::content::Content;
use super::log::Log;
use super::route::{Endpoint, Kind, Route, cdn_target};
use super::script::Script;
use super::token::Tokens;

/// The shared state of one registry.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) log: Arc<Log>,
    pub(crate) script: Arc<Script>,
    pub(crate) tokens: Tokens,
    behaviour: Mutex<Behaviour>,
    content: Mutex<Content>,
    /// Without a trailing slash, by [`Endpoint::index`].
    urls: [String; 3],
    /// The number of the next signature.
    signatures: AtomicU64,
    /// Signatures below this are refused.
    valid_from: AtomicU64,
}

impl State {
    pub(crate) fn new(behaviour: Behaviour, log: Arc<Log>, urls: [String; 3]) -> Self {
        Self {
            log,
            script: Arc::default(),
            tokens: Tokens::new(&urls[Endpoint::Token.index()]),
            behaviour: Mutex::new(behaviour),
            content: Mutex::default(),
            urls,
            signatures: AtomicU64::new(0),
            valid_from: AtomicU64::new(0),
        }
    }

    /// A copy of the registry's current behaviour.
    pub(crate) fn behaviour(&self) -> Behaviour {
        self.lock_behaviour().clone()
    }

    pub(crate) fn lock_behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock_content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn url(&self, endpoint: Endpoint) -> &str {
        &self.urls[endpoint.index()]
    }

    /// A freshly signed URL of a blob at the CDN.
    pub(crate) fn sign(&self, repository: &str, digest: &str) -> String {
        let signature = self.signatures.fetch_add(1, Ordering::Relaxed);
        format!("{}{}", self.url(Endpoint::Cdn), cdn_target(repository, digest, signature))
    }

    /// Whether a request to the CDN has a signature that was issued and is still valid.
    pub(crate) fn is_signed(&self, route: &Route) -> bool {
        let valid = self.valid_from.load(Ordering::Relaxed)..self.signatures.load(Ordering::Relaxed);
        let signature = route.query("signature").next().and_then(|text| text.parse().ok());
        signature.is_some_and(|number: u64| valid.contains(&number))
    }

    /// Refuses all signatures issued so far.
    pub(crate) fn expire_signatures(&self) {
        self.valid_from.store(self.signatures.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The endpoint that currently serves content for requests of this kind.
    pub(crate) fn content_endpoint(&self, kind: Kind) -> Endpoint {
        match kind {
            Kind::Token => Endpoint::Token,
            Kind::HeadBlob | Kind::GetBlob if self.lock_behaviour().redirects => Endpoint::Cdn,
            _ => Endpoint::Registry,
        }
    }
}
