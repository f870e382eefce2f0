//! The token service and what its tokens open (distribution-spec registries use the "Token Authentication"
//! of the distribution project), and the challenge that sends clients there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::behaviour::Auth;
use super::credential::Credential;
use super::reply::Reply;
use super::route::{Endpoint, Kind, Route};
use super::state::State;
use crate::incoming::Incoming;

const SERVICE: &str = "fake.registry";

/// The tokens given out and not revoked.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// Tells the tokens of two registries apart.
    prefix: String,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    given: u64,
    grants: HashMap<String, Grant>,
}

#[derive(Debug)]
struct Grant {
    scopes: Vec<String>,
    expires: Option<Instant>,
}

impl Tokens {
    /// No tokens yet; `url` is that of the service.
    pub(crate) fn new(url: &str) -> Self {
        let port = url.rsplit(':').next().unwrap_or_default();
        Self { prefix: format!("token-{port}"), inner: Mutex::default() }
    }

    /// Refuses every token given out so far.
    pub(crate) fn revoke(&self) {
        self.lock().grants.clear();
    }

    fn give(&self, scopes: Vec<String>, lifetime: Option<Duration>) -> String {
        let mut inner = self.lock();
        inner.given += 1;
        let token = format!("{}-{}", self.prefix, inner.given);
        let expires = lifetime.map(|lifetime| Instant::now() + lifetime);
        inner.grants.insert(token.clone(), Grant { scopes, expires });
        token
    }

    /// Whether the token is good and opens that repository; any good token opens `/v2/`.
    fn opens(&self, token: &str, repository: Option<&str>) -> bool {
        let inner = self.lock();
        let Some(grant) = inner.grants.get(token) else { return false };
        let is_good = grant.expires.is_none_or(|expires| Instant::now() < expires);
        is_good && repository.is_none_or(|name| grant.scopes.iter().any(|scope| allows_pull(scope, name)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a scope, `repository:<name>:<actions>`, lets its holder pull.
fn allows_pull(scope: &str, repository: &str) -> bool {
    let actions = scope
        .strip_prefix("repository:")
        .and_then(|rest| rest.strip_prefix(repository))
        .and_then(|rest| rest.strip_prefix(':'));
    actions.is_some_and(|actions| actions.split(',').any(|action| action == "pull"))
}

/// The answer of the token service.
pub(crate) fn issue(state: &State, route: &Route, request: &Incoming) -> Reply {
    let behaviour = state.behaviour();
    let (Kind::Token, Auth::Bearer { credentials, anonymous }) = (route.kind, &behaviour.auth) else {
        return Reply::error(404, "UNSUPPORTED");
    };
    let is_known = match request.header("authorization").map(Credential::parse) {
        None => *anonymous,
        Some(Credential::Basic { user, password }) => credentials.as_ref() == Some(&(user, password)),
        Some(_) => false,
    };
    if !is_known {
        return Reply::error(401, "UNAUTHORIZED").refusing();
    }
    let scopes = route.query("scope").flat_map(|scopes| scopes.split(' ')).map(str::to_owned).collect();
    let token = state.tokens.give(scopes, behaviour.token_lifetime);
    let mut body = json!({ "token": token, "access_token": token });
    if let Some(expires_in) = behaviour.expires_in {
        body["expires_in"] = expires_in;
    }
    Reply::new(200, "application/json", body.to_string().into_bytes())
}

/// Whether the registry lets this request in.
pub(crate) fn is_let_in(state: &State, route: &Route, request: &Incoming) -> bool {
    let credential = request.header("authorization").map(Credential::parse);
    match (state.behaviour().auth, credential) {
        (Auth::Anonymous, _) => true,
        (Auth::Basic { user, password }, Some(Credential::Basic { user: given, password: word })) => {
            (given, word) == (user, password)
        }
        (Auth::Bearer { .. }, Some(Credential::Bearer(token))) => {
            state.tokens.opens(&token, route.repository.as_deref())
        }
        _ => false,
    }
}

/// The `WWW-Authenticate` for whoever is not let in; `None` where everybody is.
pub(crate) fn challenge(state: &State, route: &Route, request: &Incoming) -> Option<String> {
    let behaviour = state.behaviour();
    match behaviour.auth {
        Auth::Anonymous => None,
        Auth::Basic { .. } => Some(format!("Basic realm=\"{SERVICE}\"")),
        Auth::Bearer { .. } => {
            let own_realm = || format!("{}/token", state.url(Endpoint::Token));
            let realm = behaviour.realm.unwrap_or_else(own_realm);
            let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\"");
            if let Some(repository) = &route.repository {
                challenge.push_str(&format!(",scope=\"repository:{repository}:pull\""));
            }
            if request.header("authorization").is_some() {
                challenge.push_str(",error=\"invalid_token\"");
            }
            Some(challenge)
        }
    }
}
