//! Sends a request to one host and answers its challenges until the answer is final.
//!
//! A refusal is final after every attempt that may help: without a token that may have been revoked, with the
//! scope that the challenge names, and with the credentials. Each is tried once, so the number of requests is
//! bounded.

use std::sync::Arc;

use http::StatusCode;
use reqwest::Response;
use telemetry::UpstreamKind;

use super::context::RequestContext;
use super::credential::CredentialKind;
use super::hop::{Hop, HopRole};
use super::schemes::Scheme;
use super::token_cache::{CachedToken, TokenKey};
use super::{Auth, Credential, Demand, may_send_login, refusal, token_key};
use crate::error::{Error, ErrorKind};
use crate::location::host_of;
use crate::negative_answer;
use crate::operation::Operation;
use crate::transport::{Allowance, Outgoing};

/// The most tokens that one request fetches after challenges: one after a request without a token, and one
/// after a request with an old token or one for another scope.
const CHALLENGE_COUNT_MAX: usize = 2;

/// A host's final answer.
#[derive(Debug)]
pub(crate) struct HostAnswer {
    pub(crate) response: Response,
    /// The authorization that the request carried.
    pub(crate) credential: Credential,
    /// Whether the host acts as a registry: it is ours, or it sent a challenge.
    pub(crate) is_registry: bool,
}

/// The attempts made so far.
#[derive(Debug, Default)]
struct Attempted {
    bare: bool,
    basic: bool,
    /// Whether the remembered demand was used, or requested at `/v2/`.
    known: bool,
    challenge_count: usize,
    /// Tokens that were refused and that a new one would not improve.
    spent: Vec<TokenKey>,
}

/// Facts beside the answer that decide the next step.
#[derive(Clone, Copy, Debug)]
struct Facts {
    status: StatusCode,
    /// Whether credentials are configured that this host may see.
    may_login: bool,
    /// Whether a demand of this host is remembered that can be met.
    is_known: bool,
    /// Whether `/v2/` can be requested for a challenge, and a login would be the answer.
    may_ask_root: bool,
}

/// The next step after an answer.
#[derive(Debug)]
enum Step {
    /// Accept it.
    Conclude,
    /// Send again without authorization, and drop this token.
    Bare(Option<(TokenKey, Arc<CachedToken>)>),
    /// Send again with the credentials.
    Basic,
    /// Send again with a token for this key; drop the cached one.
    Token(TokenKey, Option<Arc<CachedToken>>),
    /// Send again with the remembered demand.
    Known,
    /// Request `/v2/` for a challenge, and send again with that.
    Root,
    /// The token service, or the host, refused the credentials just now, so the answer proves nothing.
    Refused(Error),
    /// The host refused the credentials in this loop, so its answer without them proves nothing.
    WrongLogin,
}

impl Auth {
    /// Sends the operation to `host` until the answer is final. `kind` is the metric's kind of this hop.
    ///
    /// # Errors
    /// Errors of sending and of token services; [`ErrorKind::Invalid`] for an unusable realm.
    pub(crate) async fn send_authenticated(
        &self,
        context: RequestContext<'_>,
        host: &Hop,
        operation: &Operation,
        kind: UpstreamKind,
        allowance: &mut Allowance,
    ) -> Result<HostAnswer, Error> {
        let mut attempted = Attempted::default();
        let mut credential = self.prepare(context, host, allowance).await?;
        loop {
            attempted.note(&credential);
            let headers = operation.headers(credential.header());
            let outgoing = Outgoing {
                kind,
                method: operation.method.clone(),
                url: host.url.clone(),
                headers,
                body: None,
                target: Arc::clone(&operation.target),
                is_further: operation.is_further,
            };
            let response = context.send(&outgoing, allowance).await?;
            credential.note(response.status());
            let is_registry = host.is_home() || attempted.challenge_count > 0 || !credential.is_bare();
            let next = match self.next_step(context, host, &response, &credential, &mut attempted)? {
                Step::Conclude => None,
                Step::Refused(error) => return Err(error),
                Step::WrongLogin => {
                    let refusal = refusal(&host_of(&host.url), true, &credential, 401);
                    return Err(negative_answer::verify(
                        refusal,
                        response,
                        &operation.method,
                        allowance.deadline,
                        &context.transport.memory.documents,
                    )
                    .await);
                }
                Step::Bare(dead) => {
                    if let Some((key, held)) = dead {
                        self.tokens.give_up(&key, &held).await;
                    }
                    Some(Credential::none_after(&credential))
                }
                Step::Basic => {
                    self.learn(host, &Scheme::Basic, None);
                    Some(self.basic_credential(context, host, allowance).await?)
                }
                Step::Token(key, dead) => {
                    if let Some(held) = dead {
                        self.tokens.give_up(&key, &held).await;
                    }
                    Some(self.token_credential(context, host, key, allowance).await?)
                }
                Step::Known => self.known_credential(context, host, allowance).await?,
                Step::Root => {
                    self.ask_root(context, host, allowance).await?;
                    self.known_credential(context, host, allowance).await?
                }
            };
            match next {
                Some(next) => credential = next,
                None => return Ok(HostAnswer { response, credential, is_registry }),
            }
        }
    }

    /// Returns the authorization that the host is known to demand, or `None` if there is none, so that the
    /// present answer stands.
    ///
    /// # Errors
    /// Errors of [`prepare`](Self::prepare), and a refusal of the credentials, after which the answer proves
    /// nothing.
    async fn known_credential(
        &self,
        context: RequestContext<'_>,
        host: &Hop,
        allowance: &mut Allowance,
    ) -> Result<Option<Credential>, Error> {
        let credential = self.prepare(context, host, allowance).await?;
        match credential.refusal {
            Some(refusal) if refusal.with_login => Err(refusal.error),
            _ if credential.is_bare() => Ok(None),
            _ => Ok(Some(credential)),
        }
    }

    fn next_step(
        &self,
        context: RequestContext<'_>,
        host: &Hop,
        response: &Response,
        credential: &Credential,
        attempted: &mut Attempted,
    ) -> Result<Step, Error> {
        let status = response.status();
        if !matches!(status.as_u16(), 401 | 403 | 404 | 410) || host.role == HopRole::Returned {
            return Ok(Step::Conclude);
        }
        let demand = match status {
            // A host that got an authorization and answers 404 means it.
            StatusCode::NOT_FOUND | StatusCode::GONE if !credential.is_bare() => Demand::Nothing,
            _ => self.read_demand(context.transport, host, response.headers()),
        };
        let known = self.schemes.of(host);
        let facts = Facts {
            status,
            may_login: may_send_login(context.transport, host),
            is_known: known.is_some_and(|(scheme, _)| scheme != Scheme::Basic || !attempted.basic),
            may_ask_root: host.is_home() && host.login.is_some(),
        };
        let wanted = match demand {
            Demand::Bearer { realm, service, scope, is_scope_lacking } => {
                let key = token_key(host, &realm, service.clone(), scope.of(&host.repository));
                let wanted = DemandKind::Token { key: Box::new(key), is_scope_lacking };
                let step = attempted.next(&wanted, credential, facts);
                if matches!(step, Step::Token(..)) {
                    self.learn(host, &Scheme::Bearer { realm, service }, Some(&scope));
                }
                return Ok(step);
            }
            Demand::Unusable(error) if status == StatusCode::UNAUTHORIZED && credential.is_bare() => {
                let detail = format!("sends an unusable challenge: {error}");
                return Err(Error::new(ErrorKind::Invalid, host_of(&host.url), detail));
            }
            Demand::Basic => DemandKind::Basic,
            Demand::Unusable(_) | Demand::Nothing => DemandKind::Nothing,
        };
        Ok(attempted.next(&wanted, credential, facts))
    }
}

/// The parts of a demand that decide the next step.
#[derive(Debug)]
enum DemandKind {
    Nothing,
    Basic,
    Token { key: Box<TokenKey>, is_scope_lacking: bool },
}

impl Attempted {
    fn note(&mut self, credential: &Credential) {
        match &credential.offer {
            CredentialKind::Nothing => self.bare = true,
            CredentialKind::Basic { .. } => self.basic = true,
            CredentialKind::Token { .. } => {}
        }
    }

    /// Decides the next step after a 401, 403, 404 or 410 to `credential`.
    fn next(&mut self, wanted: &DemandKind, credential: &Credential, facts: Facts) -> Step {
        match (&credential.offer, wanted) {
            (
                CredentialKind::Token { key, held, is_fresh },
                DemandKind::Token { key: asked, is_scope_lacking },
            ) if *key == **asked => {
                // The challenge asks for the token that was just sent. A new one may help only if this one is
                // old enough to have expired, or if a later one may have a larger scope.
                let lacks = *is_scope_lacking || facts.status == StatusCode::FORBIDDEN;
                let may_help = if lacks { held.may_allow_too_little() } else { held.may_be_dead() };
                let is_final = *is_fresh || !may_help;
                if is_final { Step::Conclude } else { self.answer(asked, Some(held)) }
            }
            // The host wants a token of another realm or scope. The one that was sent is spent: it is not
            // offered again, so the loop ends even if two scopes are demanded in turn.
            (offer, DemandKind::Token { key, .. }) => {
                if let CredentialKind::Token { key, .. } = offer {
                    self.spent.push(key.clone());
                }
                match &credential.refusal {
                    Some(refusal) if refusal.key.as_ref() == Some(&**key) => {
                        Step::Refused(refusal.error.clone())
                    }
                    _ => self.answer(key, None),
                }
            }
            // A token was refused without a demand for another. Some registries refuse an expired token like
            // that, so the request goes out bare once, to get a challenge.
            (CredentialKind::Token { key, held, is_fresh }, DemandKind::Basic | DemandKind::Nothing) => {
                let is_dead = !is_fresh
                    && match facts.status {
                        StatusCode::UNAUTHORIZED => held.may_be_dead(),
                        StatusCode::FORBIDDEN => held.may_allow_too_little(),
                        _ => false,
                    };
                if !is_dead {
                    self.spent.push(key.clone());
                }
                let wants_basic = matches!(wanted, DemandKind::Basic) && facts.may_login && !self.basic;
                match (self.bare, facts.status) {
                    (false, StatusCode::UNAUTHORIZED) => {
                        Step::Bare(is_dead.then(|| (key.clone(), held.clone())))
                    }
                    (false, _) if is_dead => Step::Bare(Some((key.clone(), held.clone()))),
                    (true, StatusCode::UNAUTHORIZED) if wants_basic => Step::Basic,
                    _ => Step::Conclude,
                }
            }
            (CredentialKind::Basic { .. }, DemandKind::Basic | DemandKind::Nothing) => {
                // The content may be public, so one attempt without credentials is left.
                let is_bare_left = !self.bare && facts.status == StatusCode::UNAUTHORIZED;
                if is_bare_left { Step::Bare(None) } else { Step::Conclude }
            }
            (CredentialKind::Nothing, DemandKind::Basic | DemandKind::Nothing) => {
                self.after_nothing(wanted, credential, facts)
            }
        }
    }

    fn after_nothing(&mut self, wanted: &DemandKind, credential: &Credential, facts: Facts) -> Step {
        match &credential.refusal {
            Some(refusal) if refusal.with_login => return Step::Refused(refusal.error.clone()),
            Some(_) => return Step::Conclude,
            None => {}
        }
        if matches!(wanted, DemandKind::Basic) && facts.may_login && !self.basic {
            return Step::Basic;
        }
        if self.basic && matches!(facts.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Step::WrongLogin;
        }
        if self.known {
            return Step::Conclude;
        }
        self.known = true;
        if facts.is_known {
            Step::Known
        } else if facts.may_ask_root && !credential.has_login {
            Step::Root
        } else {
            Step::Conclude
        }
    }

    fn answer(&mut self, key: &TokenKey, dead: Option<&Arc<CachedToken>>) -> Step {
        if self.challenge_count == CHALLENGE_COUNT_MAX || self.spent.contains(key) {
            return Step::Conclude;
        }
        self.challenge_count += 1;
        Step::Token(key.clone(), dead.cloned())
    }
}

#[cfg(test)]
mod tests;
