//! The access of all registries.

use std::collections::HashMap;
use std::sync::Arc;

use policy::access::{Network, Rules};

use crate::logins::Logins;
use crate::verifier::Verifier;

/// The rules and the logins of one registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The rules.
    pub rules: Rules,
    /// The logins, if a login is a way in.
    pub logins: Option<Arc<Logins>>,
}

/// The rules and the logins of each registry, and the proxies that tell the addresses of clients.
#[derive(Clone, Debug)]
pub struct AccessTable {
    /// By the registries' names. A registry that is not in it is open to all.
    pub registries: HashMap<String, Arc<Access>>,
    /// For `/v2/` where a request names no registry: the rules of `[access]`.
    pub common: Option<Arc<Access>>,
    /// The proxies whose word about the addresses of their clients counts.
    pub trusted_proxies: Vec<Network>,
    /// Whether these proxies begin each connection with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Bounds the checks of passwords.
    pub verifier: Arc<Verifier>,
}

impl Default for AccessTable {
    fn default() -> Self {
        Self {
            registries: HashMap::new(),
            common: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            verifier: Verifier::new(),
        }
    }
}

impl PartialEq for AccessTable {
    fn eq(&self, other: &Self) -> bool {
        (&self.registries, &self.common, &self.trusted_proxies, self.proxy_protocol)
            == (&other.registries, &other.common, &other.trusted_proxies, other.proxy_protocol)
    }
}

impl AccessTable {
    /// The rules of a registry; `None`: it is open to all.
    pub fn of(&self, registry: &str) -> Option<&Arc<Access>> {
        self.registries.get(registry)
    }

    /// Every set of rules.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Access>> {
        self.common.iter().chain(self.registries.values())
    }

    /// The same table, which takes over from `before` what its unchanged files have proved, and the counts of
    /// failed logins.
    #[must_use]
    pub fn succeeding(self, before: &Self) -> Self {
        let known: Vec<&Arc<Logins>> = before.all().filter_map(|access| access.logins.as_ref()).collect();
        let keep = |access: Arc<Access>| {
            let same = access.logins.as_ref().and_then(|own| known.iter().find(|it| **it == own));
            match same {
                Some(logins) => {
                    Arc::new(Access { logins: Some(Arc::clone(logins)), rules: access.rules.clone() })
                }
                None => access,
            }
        };
        Self {
            registries: self.registries.into_iter().map(|(name, access)| (name, keep(access))).collect(),
            common: self.common.map(keep),
            trusted_proxies: self.trusted_proxies,
            proxy_protocol: self.proxy_protocol,
            verifier: Arc::clone(&before.verifier),
        }
    }
}
