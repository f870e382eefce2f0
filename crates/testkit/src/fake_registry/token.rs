//! The token service and what its tokens open (distribution-spec registries use the "Token Authentication"
//! of the distribution project), and the challenge that sends clients there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::behaviour::{Auth, Behaviour, DeadToken, ScopeRules};
use super::credential::Credential;
use super::reply::Reply;
use super::route::{Endpoint, Kind, Route};
use super::state::State;
use crate::incoming::Incoming;

const SERVICE: &str = "fake.registry";

/// The issued tokens that were not revoked.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// Distinguishes the tokens of two registries.
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
    /// Without tokens; `url` is that of the service.
    pub(crate) fn new(url: &str) -> Self {
        let port = url.rsplit(':').next().unwrap_or_default();
        Self { prefix: format!("token-{port}"), inner: Mutex::default() }
    }

    /// Refuses all tokens issued so far.
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

    /// Whether the token is valid for a request that needs `scope`; `None`: any scope.
    fn worth(&self, token: &str, scope: Option<&Needed>) -> Worth {
        let inner = self.lock();
        let Some(grant) = inner.grants.get(token) else { return Worth::Dead };
        if grant.expires.is_some_and(|expires| Instant::now() >= expires) {
            return Worth::Dead;
        }
        let is_enough = scope.is_none_or(|needed| grant.scopes.iter().any(|scope| needed.is_in(scope)));
        if is_enough { Worth::Enough } else { Worth::TooLittle }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The validity of a token for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    Enough,
    TooLittle,
    Dead,
}

/// The required scope.
enum Needed {
    /// `repository:<name>:<action>`
    Action { name: String, action: String },
    /// Exactly this.
    Only(String),
}

impl Needed {
    /// The scope that the route needs; `None`: any token.
    fn of(behaviour: &Behaviour, route: &Route) -> Option<Self> {
        let ScopeRules { only, prefix, list_action, .. } = &behaviour.scopes;
        let repository = route.repository.as_ref()?;
        if let Some(only) = only {
            return Some(Self::Only(only.clone()));
        }
        let action = if route.kind == Kind::Tags { list_action } else { "pull" };
        Some(Self::Action { name: format!("{prefix}{repository}"), action: action.to_owned() })
    }

    fn is_in(&self, scope: &str) -> bool {
        let Self::Action { name, action } = self else { return scope == self.to_scope() };
        let actions = scope
            .strip_prefix("repository:")
            .and_then(|rest| rest.strip_prefix(&**name))
            .and_then(|rest| rest.strip_prefix(':'));
        actions.is_some_and(|actions| actions.split(',').any(|given| given == action))
    }

    fn to_scope(&self) -> String {
        match self {
            Self::Action { name, action } => format!("repository:{name}:{action}"),
            Self::Only(scope) => scope.clone(),
        }
    }
}

/// The response of the token service.
pub(crate) fn issue(state: &State, route: &Route, request: &Incoming) -> Reply {
    let behaviour = state.behaviour();
    let (Kind::Token, Auth::Bearer { credentials, anonymous }) = (route.kind, &behaviour.auth) else {
        return Reply::error(404, "UNSUPPORTED");
    };
    let mut account = None;
    let is_known = match request.header("authorization").map(Credential::parse) {
        None => *anonymous,
        Some(Credential::Basic { user, password }) => {
            account = behaviour.account(&user, &password);
            account.is_some() || credentials.as_ref() == Some(&(user, password))
        }
        Some(_) => false,
    };
    if !is_known {
        return Reply::error(401, "UNAUTHORIZED").refusing();
    }
    let may_pull = |scope: &&str| {
        let name = scope.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':'));
        name.is_none_or(|(name, _)| behaviour.may_pull(account, name))
    };
    let scopes = route.query("scope").flat_map(|scopes| scopes.split(' '));
    let scopes = scopes.filter(may_pull).map(str::to_owned).collect();
    let token = state.tokens.give(scopes, behaviour.token_lifetime);
    let mut body = json!({ "token": token, "access_token": token });
    if let Some(expires_in) = behaviour.expires_in {
        body["expires_in"] = expires_in;
    }
    Reply::new(200, "application/json", body.to_string().into_bytes())
}

/// Whether the registry admits this request.
pub(crate) fn is_let_in(state: &State, route: &Route, request: &Incoming) -> bool {
    let credential = request.header("authorization").map(Credential::parse);
    match (state.behaviour().auth, credential) {
        (Auth::Anonymous, _) => true,
        (Auth::Basic { user, password }, Some(Credential::Basic { user: given, password: word })) => {
            let behaviour = state.behaviour();
            let account = behaviour.account(&given, &word);
            let may_pull = |name: &String| behaviour.may_pull(account, name);
            account.is_some() && route.repository.as_ref().is_none_or(may_pull)
                || (given, word) == (user, password)
        }
        (Auth::Bearer { .. }, Some(Credential::Bearer(token))) => {
            let needed = Needed::of(&state.behaviour(), route);
            state.tokens.worth(&token, needed.as_ref()) == Worth::Enough
        }
        _ => false,
    }
}

/// Returns the answer to a client without access.
pub(crate) fn refuse(state: &State, route: &Route, request: &Incoming) -> Reply {
    let behaviour = state.behaviour();
    let credential = request.header("authorization").map(Credential::parse);
    let worth = match &credential {
        Some(Credential::Bearer(token)) => {
            Some(state.tokens.worth(token, Needed::of(&behaviour, route).as_ref()))
        }
        _ => None,
    };
    let basic = format!("Basic realm=\"{SERVICE}\"");
    let (status, challenge) = match (worth, behaviour.dead_token, behaviour.hidden) {
        (None, _, Some(status)) if credential.is_none() && route.repository.is_some() => (status, None),
        (Some(Worth::Dead), DeadToken::Unchallenged, _) => (401, None),
        (Some(Worth::Dead), DeadToken::Basic, _) => (401, Some(basic)),
        (Some(Worth::Dead), DeadToken::Forbidden, _) => (403, None),
        (Some(Worth::Dead), DeadToken::Absent, _) => (404, None),
        (Some(Worth::TooLittle), ..) => {
            (behaviour.scopes.lacking.unwrap_or(401), challenge(state, route, request))
        }
        _ => (401, challenge(state, route, request)),
    };
    let code = match status {
        401 => "UNAUTHORIZED",
        403 => "DENIED",
        _ => "NOT_FOUND",
    };
    let refusal = Reply::error(status, code).refusing();
    match challenge {
        Some(challenge) => refusal.with("www-authenticate", challenge),
        None => refusal,
    }
}

/// Returns the `WWW-Authenticate` for a client without access; `None` if every client has it.
pub(crate) fn challenge(state: &State, route: &Route, request: &Incoming) -> Option<String> {
    let behaviour = state.behaviour();
    match behaviour.auth {
        Auth::Anonymous => None,
        Auth::Basic { .. } => Some(format!("Basic realm=\"{SERVICE}\"")),
        Auth::Bearer { .. } => {
            let needed = Needed::of(&behaviour, route);
            let own_realm = || format!("{}/token", state.url(Endpoint::Token));
            let realm = behaviour.realm.unwrap_or_else(own_realm);
            let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\"");
            if let Some(needed) = &needed {
                challenge.push_str(&format!(",scope=\"{}\"", needed.to_scope()));
            }
            if let Some(Credential::Bearer(token)) = request.header("authorization").map(Credential::parse) {
                let is_lacking = behaviour.scopes.lacking.is_some()
                    && state.tokens.worth(&token, needed.as_ref()) == Worth::TooLittle;
                let error = if is_lacking { "insufficient_scope" } else { "invalid_token" };
                challenge.push_str(&format!(",error=\"{error}\""));
            }
            Some(challenge)
        }
    }
}
