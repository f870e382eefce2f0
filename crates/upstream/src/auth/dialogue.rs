//! Asking one host until it has nothing more to ask of us.
//!
//! A refusal is believed after everything that a patient client would try: without a token that may have died, with
//! what the challenge names, and with the login. Each is offered once, so that the number of requests is bounded.

use std::sync::Arc;

use http::StatusCode;
use reqwest::Response;
use telemetry::UpstreamKind;

use super::host::{Host, Role};
use super::schemes::Scheme;
use super::ticket::Offer;
use super::token_cache::{Held, TokenKey};
use super::wires::Wires;
use super::{Auth, Demand, Ticket};
use crate::ask::Ask;
use crate::error::{Error, ErrorKind};
use crate::location::host_of;
use crate::transport::{Outgoing, Patience};
use crate::word;

/// Tokens that one dialogue fetches because it was challenged: for one challenge that came without a token, and one
/// that an old token or one for another scope earned.
const CHALLENGE_COUNT_MAX: usize = 2;

/// A host's last word.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) response: Response,
    /// What it was shown.
    pub(crate) ticket: Ticket,
    /// Whether it speaks as a registry does: it is ours, or it has asked who we are.
    pub(crate) is_registry: bool,
}

/// What was offered already.
#[derive(Debug, Default)]
struct Tried {
    bare: bool,
    basic: bool,
    /// Whether what the host is known to want was looked up, or asked for at its root.
    known: bool,
    challenge_count: usize,
    /// Tokens that were refused and that there is no reason to fetch anew.
    spent: Vec<TokenKey>,
}

/// What is known besides the answer.
#[derive(Clone, Copy, Debug)]
struct Facts {
    status: StatusCode,
    /// Whether a login is configured that this host may see.
    may_login: bool,
    /// Whether the host is known to want something that can be offered.
    is_known: bool,
    /// Whether the root can be asked what it wants.
    has_root: bool,
}

/// What to do about an answer.
#[derive(Debug)]
enum Step {
    /// Believe it.
    Conclude,
    /// Ask without anything, and give up this token.
    Bare(Option<(TokenKey, Arc<Held>)>),
    /// Ask with the login itself.
    Basic,
    /// Ask with a token for this; give up the one held for it.
    Token(TokenKey, Option<Arc<Held>>),
    /// Ask with what the host is known to want.
    Known,
    /// Find out at the root what it wants, and ask with that.
    Root,
    /// The token service, or the host, has refused the login just now, so that the answer says nothing.
    Refused(Error),
    /// The host has refused the login in this dialogue, so that what it says without one says nothing.
    WrongLogin,
}

impl Auth {
    /// Asks `host`, as often as it takes. `kind` is that of the request in the chain of redirects that it is part of.
    ///
    /// # Errors
    /// Those of sending and of token services; [`ErrorKind::Invalid`] for a realm that cannot be asked.
    pub(crate) async fn converse(
        &self,
        wires: Wires<'_>,
        host: &Host,
        ask: &Ask,
        kind: UpstreamKind,
        patience: &mut Patience,
    ) -> Result<Said, Error> {
        let mut tried = Tried::default();
        let mut ticket = self.prepare(wires, host, patience).await?;
        loop {
            tried.note(&ticket);
            let headers = ask.headers(ticket.header());
            let outgoing = Outgoing {
                kind,
                method: ask.method.clone(),
                url: host.url.clone(),
                headers,
                path: Arc::clone(&ask.path),
                is_further: ask.is_further,
            };
            let response = wires.send(&outgoing, patience).await?;
            ticket.note(response.status());
            let is_registry = host.is_home() || tried.challenge_count > 0 || !ticket.is_bare();
            let next = match self.next_step(wires, host, &response, &ticket, &mut tried)? {
                Step::Conclude => None,
                Step::Refused(error) => return Err(error),
                Step::WrongLogin => {
                    let refusal = self.refusal(&host_of(&host.url), &ticket, 401);
                    return Err(word::weigh(
                        refusal,
                        response,
                        &ask.method,
                        patience.deadline,
                        &wires.transport.memory.documents,
                    )
                    .await);
                }
                Step::Bare(dead) => {
                    if let Some((key, held)) = dead {
                        self.tokens.give_up(&key, &held).await;
                    }
                    Some(Ticket::bare_after(&ticket))
                }
                Step::Basic => {
                    self.learn(host, &Scheme::Basic, None);
                    Some(self.basic_ticket(wires, host, patience).await?)
                }
                Step::Token(key, dead) => {
                    if let Some(held) = dead {
                        self.tokens.give_up(&key, &held).await;
                    }
                    Some(self.token_ticket(wires, key, patience).await?)
                }
                Step::Known => self.known_ticket(wires, host, patience).await?,
                Step::Root => {
                    self.ask_root(wires, host, patience).await?;
                    self.known_ticket(wires, host, patience).await?
                }
            };
            match next {
                Some(next) => ticket = next,
                None => return Ok(Said { response, ticket, is_registry }),
            }
        }
    }

    /// What the host is known to want; none where that cannot be had, so that the answer at hand stands.
    ///
    /// # Errors
    /// Those of [`prepare`](Self::prepare), and a refusal of the login, which makes the answer worthless.
    async fn known_ticket(
        &self,
        wires: Wires<'_>,
        host: &Host,
        patience: &mut Patience,
    ) -> Result<Option<Ticket>, Error> {
        let ticket = self.prepare(wires, host, patience).await?;
        match ticket.refusal {
            Some(refusal) if refusal.with_login => Err(refusal.error),
            _ if ticket.is_bare() => Ok(None),
            _ => Ok(Some(ticket)),
        }
    }

    fn next_step(
        &self,
        wires: Wires<'_>,
        host: &Host,
        response: &Response,
        ticket: &Ticket,
        tried: &mut Tried,
    ) -> Result<Step, Error> {
        let status = response.status();
        if !matches!(status.as_u16(), 401 | 403 | 404 | 410) || host.role == Role::Returned {
            return Ok(Step::Conclude);
        }
        let demand = match status {
            // Whoever was shown something and says that there is nothing means it.
            StatusCode::NOT_FOUND | StatusCode::GONE if !ticket.is_bare() => Demand::Nothing,
            _ => self.read_demand(wires.transport, host, response.headers()),
        };
        let known = self.schemes.of(host);
        let facts = Facts {
            status,
            may_login: self.may_show_login(wires.transport, host),
            is_known: known.is_some_and(|(scheme, _)| scheme != Scheme::Basic || !tried.basic),
            has_root: host.is_home(),
        };
        let wanted = match demand {
            Demand::Bearer { realm, service, scope, is_scope_lacking } => {
                let key = self.key(host, &realm, service.clone(), scope.of(&host.repository));
                let wanted = Wanted::Token { key: Box::new(key), is_scope_lacking };
                let step = tried.next(&wanted, ticket, facts);
                if matches!(step, Step::Token(..)) {
                    self.learn(host, &Scheme::Bearer { realm, service }, Some(&scope));
                }
                return Ok(step);
            }
            Demand::Unusable(error) if status == StatusCode::UNAUTHORIZED && ticket.is_bare() => {
                let detail = format!("is no use: {error}");
                return Err(Error::new(ErrorKind::Invalid, host_of(&host.url), detail));
            }
            Demand::Basic => Wanted::Basic,
            Demand::Unusable(_) | Demand::Nothing => Wanted::Nothing,
        };
        Ok(tried.next(&wanted, ticket, facts))
    }
}

/// A demand, as far as the next step depends on it.
#[derive(Debug)]
enum Wanted {
    Nothing,
    Basic,
    Token { key: Box<TokenKey>, is_scope_lacking: bool },
}

impl Tried {
    fn note(&mut self, ticket: &Ticket) {
        match &ticket.offer {
            Offer::Nothing => self.bare = true,
            Offer::Basic { .. } => self.basic = true,
            Offer::Token { .. } => {}
        }
    }

    /// What to do about a 401, 403, 404 or 410 to `ticket`.
    fn next(&mut self, wanted: &Wanted, ticket: &Ticket, facts: Facts) -> Step {
        match (&ticket.offer, wanted) {
            (Offer::Token { key, held, is_fresh }, Wanted::Token { key: asked, is_scope_lacking })
                if *key == **asked =>
            {
                let lacks = *is_scope_lacking || facts.status == StatusCode::FORBIDDEN;
                let may_help = if lacks { held.may_allow_too_little() } else { held.may_be_dead() };
                let is_final = *is_fresh || !may_help;
                if is_final { Step::Conclude } else { self.answer(asked, Some(held)) }
            }
            (offer, Wanted::Token { key, .. }) => {
                if let Offer::Token { key, .. } = offer {
                    self.spent.push(key.clone());
                }
                match &ticket.refusal {
                    Some(refusal) if refusal.key.as_ref() == Some(&**key) => {
                        Step::Refused(refusal.error.clone())
                    }
                    _ => self.answer(key, None),
                }
            }
            (Offer::Token { key, held, is_fresh }, Wanted::Basic | Wanted::Nothing) => {
                let is_dead = !is_fresh
                    && match facts.status {
                        StatusCode::UNAUTHORIZED => held.may_be_dead(),
                        StatusCode::FORBIDDEN => held.may_allow_too_little(),
                        _ => false,
                    };
                if !is_dead {
                    self.spent.push(key.clone());
                }
                let wants_basic = matches!(wanted, Wanted::Basic) && facts.may_login && !self.basic;
                match (self.bare, facts.status) {
                    (false, StatusCode::UNAUTHORIZED) => {
                        Step::Bare(is_dead.then(|| (key.clone(), held.clone())))
                    }
                    (false, _) if is_dead => Step::Bare(Some((key.clone(), held.clone()))),
                    (true, StatusCode::UNAUTHORIZED) if wants_basic => Step::Basic,
                    _ => Step::Conclude,
                }
            }
            (Offer::Basic { .. }, Wanted::Basic | Wanted::Nothing) => {
                // Not everything need be private.
                let is_bare_left = !self.bare && facts.status == StatusCode::UNAUTHORIZED;
                if is_bare_left { Step::Bare(None) } else { Step::Conclude }
            }
            (Offer::Nothing, Wanted::Basic | Wanted::Nothing) => self.after_nothing(wanted, ticket, facts),
        }
    }

    fn after_nothing(&mut self, wanted: &Wanted, ticket: &Ticket, facts: Facts) -> Step {
        match &ticket.refusal {
            Some(refusal) if refusal.with_login => return Step::Refused(refusal.error.clone()),
            Some(_) => return Step::Conclude,
            None => {}
        }
        if matches!(wanted, Wanted::Basic) && facts.may_login && !self.basic {
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
        } else if facts.may_login && facts.has_root && !ticket.has_login {
            Step::Root
        } else {
            Step::Conclude
        }
    }

    fn answer(&mut self, key: &TokenKey, dead: Option<&Arc<Held>>) -> Step {
        if self.challenge_count == CHALLENGE_COUNT_MAX || self.spent.contains(key) {
            return Step::Conclude;
        }
        self.challenge_count += 1;
        Step::Token(key.clone(), dead.cloned())
    }
}

#[cfg(test)]
mod tests;
