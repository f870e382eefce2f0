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

    /// The same table, which takes over from `before` the logins that were right and did not change, and the
    /// counts of failed ones.
    #[must_use]
    pub fn succeeding(self, before: &Self) -> Self {
        let mut taken = Vec::new();
        let common = self.common.map(|access| before.hand_over(access, before.common.as_ref(), &mut taken));
        let registries = self.registries.into_iter().map(|(name, access)| {
            let access = before.hand_over(access, before.of(&name), &mut taken);
            (name, access)
        });
        Self {
            registries: registries.collect(),
            common,
            trusted_proxies: self.trusted_proxies,
            proxy_protocol: self.proxy_protocol,
            verifier: Arc::clone(&before.verifier),
        }
    }

    /// Gives `access`, which takes the place of `earlier`, the logins of this table. Registries that share
    /// logins share them afterwards: `taken` has pairs of new logins and those in their place.
    fn hand_over(
        &self,
        access: Arc<Access>,
        earlier: Option<&Arc<Access>>,
        taken: &mut Vec<[Arc<Logins>; 2]>,
    ) -> Arc<Access> {
        let Some(own) = &access.logins else { return access };
        let shared = taken.iter().find(|[new, _]| Arc::ptr_eq(new, own)).map(|[_, it]| Arc::clone(it));
        let logins = shared.unwrap_or_else(|| {
            let same = self.all().filter_map(|access| access.logins.as_ref()).find(|it| *it == own);
            let earlier = || earlier.and_then(|access| access.logins.as_ref());
            let logins = match (same, earlier()) {
                (Some(same), _) => Arc::clone(same),
                (None, Some(earlier)) => Arc::new(own.succeeding(earlier)),
                (None, None) => Arc::clone(own),
            };
            taken.push([Arc::clone(own), Arc::clone(&logins)]);
            logins
        });
        Arc::new(Access { rules: access.rules.clone(), logins: Some(logins) })
    }
}
