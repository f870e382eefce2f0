//! Access control: which client may read which repository.
//!
//! The rules of one registry name the *ways* in which a client can prove who it is: a login (a user's
//! password or a bearer token), its address, a client certificate. One way is enough, or all are needed. Then
//! the patterns decide about the repository. `deny` always wins; a list of allowed repositories, where there
//! is one, must name the repository.

mod attempts;
mod forwarded;
mod name_pattern;
mod network;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use oci::{Repository, Request};

use crate::image::ImagePattern;

pub use self::attempts::{Attempts, BURST_COUNT};
pub use self::forwarded::{Forwarding, client_address};
pub use self::name_pattern::NamePattern;
pub use self::network::{Network, NetworkError, contains};

/// The client behind a request: what it has proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its address, after the rule for trusted proxies; an IPv4 address is never written as an IPv6 one.
    pub address: IpAddr,
    /// Its login.
    pub login: Option<Login>,
    /// The names in its client certificate, in lower case.
    pub certificate: Option<Arc<[String]>>,
}

/// A login that was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// The name of a user whose password the client sent.
    User(Arc<str>),
    /// The name of a bearer token.
    Token(Arc<str>),
}

impl Identity {
    /// A client of which only the address is known.
    pub fn of_address(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), login: None, certificate: None }
    }

    fn user(&self) -> Option<&str> {
        match &self.login {
            Some(Login::User(name)) => Some(name),
            _ => None,
        }
    }

    fn token(&self) -> Option<&str> {
        match &self.login {
            Some(Login::Token(name)) => Some(name),
            _ => None,
        }
    }
}

/// `user alice`, `token ci`, `certificate node-1.example`; nothing for a client that proved only its address.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.login, self.certificate.as_deref()) {
            (Some(Login::User(name)), _) => write!(f, "user {name}"),
            (Some(Login::Token(name)), _) => write!(f, "token {name}"),
            (None, Some([name, ..])) => write!(f, "certificate {name}"),
            (None, Some([]) | None) => Ok(()),
        }
    }
}

/// The rules of one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The registry's name.
    pub registry: String,
    /// The section that holds them, such as `[access]`, for messages.
    pub section: String,
    /// The ways in.
    pub ways: Ways,
    /// The repositories that every client may read.
    pub repositories: Repositories,
    /// Further rules for certain clients.
    pub clients: Vec<ClientRule>,
}

/// The ways in which a client can prove who it is. Without any, every client comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// Whether a login is a way: a user's password or a bearer token.
    pub logins: bool,
    /// The addresses that come in.
    pub addresses: Option<Vec<Network>>,
    /// The names of client certificates that come in.
    pub certificates: Option<Vec<NamePattern>>,
    /// Whether one way is enough.
    pub require: Require,
}

/// The number of ways that a client needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Require {
    /// One is enough.
    #[default]
    Any,
    /// All are needed.
    All,
}

/// Patterns of repositories. A pattern has no tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repositories {
    /// Only these may be read; `None`: all.
    pub allow: Option<Vec<ImagePattern>>,
    /// These may not be read, whatever else is said.
    pub deny: Vec<ImagePattern>,
}

/// A rule for certain clients. Its `allow` takes the place of the section's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientRule {
    /// Users by name.
    pub users: Vec<NamePattern>,
    /// Bearer tokens by name.
    pub tokens: Vec<NamePattern>,
    /// Client certificates by name.
    pub certificates: Vec<NamePattern>,
    /// Addresses.
    pub addresses: Vec<Network>,
    /// The repositories that these clients may read.
    pub repositories: Repositories,
}

/// Whether a request may be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// A login could open it.
    Challenge,
    /// It may not.
    Refuse(Refused),
}

/// The refusal of a repository to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The kind of reason.
    pub reason: Reason,
    /// The rule, such as `deny = "secret/*" of [access]`.
    pub rule: String,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client's address is none that comes in.
    Address,
    /// The client has no certificate that comes in.
    Certificate,
    /// A list of allowed repositories does not name the repository.
    NotAllowed,
    /// A pattern denies the repository.
    Denied,
}

/// Decides whether `identity` may read what it `asked`.
pub fn decide(rules: &Rules, identity: &Identity, asked: &Request) -> Decision {
    match rules.admit(identity) {
        Decision::Allow => {}
        refused => return refused,
    }
    // A catalog has no repository; `may_list` filters it.
    let Some(repository) = asked.repository() else { return Decision::Allow };
    match rules.refusal(identity, repository) {
        Some(refused) if refused.reason == Reason::NotAllowed && rules.login_opens(identity, repository) => {
            Decision::Challenge
        }
        Some(refused) => Decision::Refuse(refused),
        None => Decision::Allow,
    }
}

/// Whether a list of repositories may name this one to a client that [`decide`] let in.
pub fn may_list(rules: &Rules, identity: &Identity, repository: &Repository) -> bool {
    rules.refusal(identity, repository).is_none()
}

impl Rules {
    /// Whether the rules name repositories at all.
    pub fn name_repositories(&self) -> bool {
        let of_clients = self.clients.iter().map(|rule| &rule.repositories);
        [&self.repositories].into_iter().chain(of_clients).any(|it| *it != Repositories::default())
    }

    /// Whether the rules say who may pull, or what everyone may pull. Rules that only deny do not.
    pub fn say_who_may_pull(&self) -> bool {
        self.ways != Ways::default() || self.repositories.allow.is_some()
    }

    /// Whether a client that already comes in may gain or lose by its login.
    pub fn depend_on_logins(&self) -> bool {
        self.clients.iter().any(ClientRule::is_about_logins)
    }

    /// Whether the client comes in, whatever it asks for.
    pub fn admit(&self, identity: &Identity) -> Decision {
        let Ways { logins, addresses, certificates, require } = &self.ways;
        let login = logins.then(|| identity.login.is_some());
        let address = addresses.as_ref().map(|networks| contains(networks, identity.address));
        let certificate = certificates.as_ref().map(|patterns| {
            let names = identity.certificate.as_deref().unwrap_or_default();
            names.iter().any(|name| patterns.iter().any(|pattern| pattern.matches(name)))
        });
        let ways = [address, certificate, login];
        let mut configured = ways.into_iter().flatten();
        let is_in = match require {
            Require::All => configured.all(|is_met| is_met),
            Require::Any => ways == [None; 3] || configured.any(|is_met| is_met),
        };
        if is_in {
            return Decision::Allow;
        }
        // A login helps unless another way is needed too and missing.
        let is_beyond_help = *require == Require::All && [address, certificate].contains(&Some(false));
        if login == Some(false) && !is_beyond_help {
            return Decision::Challenge;
        }
        let (reason, key) = match address {
            Some(false) => (Reason::Address, "addresses"),
            _ => (Reason::Certificate, "client_names"),
        };
        Decision::Refuse(Refused { reason, rule: format!("{key} of {}", self.section) })
    }

    /// Refuses the repository to a client that has come in; `None` if it may read it.
    fn refusal(&self, identity: &Identity, repository: &Repository) -> Option<Refused> {
        let names =
            |pattern: &&ImagePattern| pattern.names_repository_of(&self.registry, repository.as_str());
        let rules = || self.clients.iter().enumerate().filter(|(_, rule)| rule.names(identity));
        let own = self.repositories.deny.iter().find(names).map(|pattern| (pattern, self.section.clone()));
        let denied = own.or_else(|| {
            rules().find_map(|(index, rule)| {
                let pattern = rule.repositories.deny.iter().find(names)?;
                Some((pattern, self.place_of(index)))
            })
        });
        if let Some((pattern, place)) = denied {
            let rule = format!("deny = \"{pattern}\" of {place}");
            return Some(Refused { reason: Reason::Denied, rule });
        }
        let mut lists =
            rules().filter_map(|(index, rule)| Some((index, rule.repositories.allow.as_ref()?))).peekable();
        let not_allowed = |place| Refused { reason: Reason::NotAllowed, rule: format!("allow of {place}") };
        if let Some((first, _)) = lists.peek() {
            let place = self.place_of(*first);
            let is_allowed = lists.any(|(_, allow)| allow.iter().any(|pattern| names(&pattern)));
            return (!is_allowed).then(|| not_allowed(place));
        }
        let allow = self.repositories.allow.as_ref()?;
        let is_allowed = allow.iter().any(|pattern| names(&pattern));
        (!is_allowed).then(|| not_allowed(self.section.clone()))
    }

    /// Whether a rule for users or tokens opens the repository to a client that has come in without a login.
    fn login_opens(&self, identity: &Identity, repository: &Repository) -> bool {
        let names = |pattern: &ImagePattern| pattern.names_repository_of(&self.registry, repository.as_str());
        self.ways.logins
            && identity.login.is_none()
            && self.clients.iter().any(|rule| {
                let Repositories { allow, deny } = &rule.repositories;
                rule.is_about_logins() && allow.iter().flatten().any(names) && !deny.iter().any(names)
            })
    }

    fn place_of(&self, index: usize) -> String {
        format!("rule {} of {}", index + 1, self.section)
    }
}

impl ClientRule {
    fn is_about_logins(&self) -> bool {
        !self.users.is_empty() || !self.tokens.is_empty()
    }

    /// Whether the rule is about this client.
    fn names(&self, identity: &Identity) -> bool {
        let is_named = |patterns: &[NamePattern], name: Option<&str>| {
            name.is_some_and(|name| patterns.iter().any(|pattern| pattern.matches(name)))
        };
        let certificate = identity.certificate.as_deref().unwrap_or_default();
        is_named(&self.users, identity.user())
            || is_named(&self.tokens, identity.token())
            || certificate.iter().any(|name| is_named(&self.certificates, Some(name)))
            || contains(&self.addresses, identity.address)
    }
}

#[cfg(test)]
mod tests;
