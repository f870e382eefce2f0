//! Decides the scope of a token request.
//!
//! A challenge names the scope that a request needs. The token request asks for that scope, and remembers it
//! for requests with the same need. It drops actions that write.

use std::collections::HashMap;

use oci::Repository;

/// The most repositories of one registry whose own scope is remembered.
const RENAMED_COUNT_MAX: usize = 256;
/// The most scopes of one challenge that are requested.
const SCOPE_COUNT_MAX: usize = 4;
/// The longest scope of a challenge that is read, in bytes.
const SCOPE_BYTES_MAX: usize = 1024;
/// The action that reading needs unless a challenge names another.
const PULL: &str = "pull";
/// Parts of the names of actions that do more than read. `*` is all of them.
const WRITING: [&str; 8] = ["*", "push", "write", "delete", "create", "update", "purge", "admin"];

/// The permissions that a request needs. Registries may demand different actions for each (such as
/// `metadata_read` for lists), so each is remembered apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Need {
    /// Manifests and blobs.
    Content,
    /// A list of tags.
    Tags,
    /// A list of referrers.
    Referrers,
}

/// The scope that a challenge demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// These actions on the requested repository.
    Own(String),
    /// A word that is the same for every repository, such as `aws`.
    Fixed(String),
    /// A scope with another name, in the form to send. It holds for this repository alone.
    Renamed(String),
}

/// The scopes that a registry's challenges named.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scopes {
    by_need: HashMap<Need, Scope>,
    renamed: HashMap<(Need, Repository), String>,
}

impl Scope {
    /// Reads the scope of a challenge to a request for `repository`.
    pub(crate) fn read(scope: Option<&str>, repository: &Repository) -> Self {
        let text = scope.filter(|scope| scope.len() <= SCOPE_BYTES_MAX).unwrap_or_default();
        let named: Vec<_> = text.split_ascii_whitespace().take(SCOPE_COUNT_MAX).map(Resource::read).collect();
        let Some(first) = named.first() else { return Self::Own(PULL.to_owned()) };
        if first.kind.is_none() {
            return Self::Fixed(first.name.to_owned());
        }
        let mut readable: Vec<_> = named.iter().filter(|resource| !resource.actions.is_empty()).collect();
        if readable.is_empty() {
            readable.push(first);
        }
        match readable[..] {
            [only] if only.kind == Some("repository") && only.name == repository.as_str() => {
                Self::Own(only.reading())
            }
            _ => {
                Self::Renamed(readable.iter().map(|resource| resource.print()).collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// Returns the scopes for `repository`, separated by blanks.
    pub(crate) fn of(&self, repository: &Repository) -> String {
        match self {
            Self::Own(actions) => format!("repository:{repository}:{actions}"),
            Self::Fixed(scope) | Self::Renamed(scope) => scope.clone(),
        }
    }
}

/// `<type>:<name>:<actions>`, where the name may hold a port, `repository:host:5000/name:pull`, so it is read
/// from both ends; or a bare word, which is the name.
struct Resource<'a> {
    kind: Option<&'a str>,
    name: &'a str,
    /// The actions that only read.
    actions: Vec<&'a str>,
}

impl<'a> Resource<'a> {
    fn read(text: &'a str) -> Self {
        let Some((kind, rest)) = text.split_once(':') else {
            // A word states no action, but `push` and `*` are the names of some.
            let actions = if is_reading(text) { vec![PULL] } else { Vec::new() };
            return Self { kind: None, name: text, actions };
        };
        let (name, actions) = rest.rsplit_once(':').unwrap_or((rest, PULL));
        let actions = actions.split(',').map(str::trim).filter(|action| is_reading(action));
        Self { kind: Some(kind), name, actions: actions.collect() }
    }

    fn reading(&self) -> String {
        if self.actions.is_empty() { PULL.to_owned() } else { self.actions.join(",") }
    }

    fn print(&self) -> String {
        match self.kind {
            Some(kind) => format!("{kind}:{}:{}", self.name, self.reading()),
            None => self.name.to_owned(),
        }
    }
}

fn is_reading(action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    !action.is_empty() && !WRITING.iter().any(|word| action.contains(word))
}

impl Scopes {
    /// Remembers the scope of a challenge.
    pub(crate) fn learn(&mut self, need: Need, repository: &Repository, scope: &Scope) {
        let key = (need, repository.clone());
        match scope {
            Scope::Renamed(text) => {
                if self.renamed.len() >= RENAMED_COUNT_MAX {
                    self.renamed.clear();
                }
                self.renamed.insert(key, text.clone());
            }
            Scope::Own(_) | Scope::Fixed(_) => {
                self.renamed.remove(&key);
                self.by_need.insert(need, scope.clone());
            }
        }
    }

    /// Returns the expected scope for `repository` before the registry names it.
    pub(crate) fn of(&self, need: Need, repository: &Repository) -> String {
        if let Some(text) = self.renamed.get(&(need, repository.clone())) {
            return text.clone();
        }
        let is_fixed = |scope: &&Scope| matches!(scope, Scope::Fixed(_));
        // A registry that names one word for every repository names it for every need.
        let scope = self.by_need.get(&need).or_else(|| self.by_need.values().find(is_fixed));
        scope.map_or_else(|| Scope::Own(PULL.to_owned()).of(repository), |scope| scope.of(repository))
    }
}

#[cfg(test)]
mod tests;
