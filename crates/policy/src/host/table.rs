//! Makes the routing table from the registries' names.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use super::{RegistryNames, RoutingTable, TableError, longest_label};
use crate::docker_hub;
use crate::host_port::{HostPort, parse_host};

impl RoutingTable {
    /// Builds the table, or reports every mistake in the names. It holds each registry's index in
    /// `registries`; [`map`](RoutingTable::map) replaces the index with another value.
    ///
    /// `domain` is the domain whose subdomains are virtual hosts; `default_registry` is a name or alias.
    ///
    /// # Errors
    /// Every [`TableError`] found, in the order of the registries.
    pub fn new(
        domain: Option<&str>,
        default_registry: Option<&str>,
        registries: &[RegistryNames],
    ) -> Result<Self, Vec<TableError>> {
        Builder::new(registries).build(domain, default_registry)
    }
}

/// An unfinished table, and the mistakes found so far.
struct Builder<'a> {
    registries: &'a [RegistryNames],
    table: RoutingTable,
    /// Hosts of names with a port. They become labels if nothing else claims them.
    portless: Vec<(String, usize)>,
    errors: Vec<TableError>,
}

impl<'a> Builder<'a> {
    fn new(registries: &'a [RegistryNames]) -> Self {
        let table = RoutingTable {
            registries: (0..registries.len()).collect(),
            domain: None,
            default: None,
            names: HashMap::new(),
            prefixes: HashMap::new(),
            labels: HashMap::new(),
            hosts: HashMap::new(),
            own_hosts: HashSet::new(),
        };
        Self { registries, table, portless: Vec::new(), errors: Vec::new() }
    }

    fn build(
        mut self,
        domain: Option<&str>,
        default_registry: Option<&str>,
    ) -> Result<RoutingTable, Vec<TableError>> {
        for index in 0..self.registries.len() {
            self.add_names(index);
        }
        self.add_portless_labels();
        if let Some(domain) = domain {
            self.set_domain(domain);
        }
        for index in 0..self.registries.len() {
            self.add_hosts(index, domain.is_none());
        }
        if let Some(name) = default_registry {
            self.table.default = self.table.names.get(&name.to_ascii_lowercase()).copied();
            if self.table.default.is_none() {
                self.errors.push(TableError::UnknownDefault(name.to_owned()));
            }
        }
        if self.errors.is_empty() { Ok(self.table) } else { Err(self.errors) }
    }

    fn add_names(&mut self, index: usize) {
        let registry = &self.registries[index];
        if !self.add_name(index, &registry.name) {
            return;
        }
        for alias in &registry.aliases {
            self.add_name(index, alias);
        }
        // A registry with one of Docker Hub's names has all of them.
        let hub_names = [docker_hub::NAME].into_iter().chain(docker_hub::ALIASES);
        let is_hub = hub_names.clone().any(|name| self.table.names.get(name) == Some(&index));
        for name in hub_names.filter(|_| is_hub) {
            self.add_name(index, name);
        }
    }

    /// Adds a name or alias with its labels. Returns false if that is not possible.
    fn add_name(&mut self, index: usize, name: &str) -> bool {
        // `v2` as a registry's name would make the API's own paths ambiguous.
        let parsed = HostPort::parse(name).filter(|it| !it.host().is_empty() && it.host() != "v2");
        let Some(parsed) = parsed else {
            self.errors.push(TableError::BadName { name: name.to_owned() });
            return false;
        };
        if !self.claim(|table| &mut table.names, parsed.to_string(), index) {
            return false;
        }
        let port = parsed.port();
        let host = parsed.into_host();
        let label = port.map_or_else(|| host.clone(), |port| format!("{host}-{port}"));
        if host.starts_with('[') {
            // An IPv6 address cannot be part of a host name, or of a path segment that clients write.
            return true;
        }
        let is_free = self.claim(|table| &mut table.labels, label.clone(), index)
            && self.claim(|table| &mut table.labels, label.replace('.', "-"), index);
        if port.is_some() {
            self.table.prefixes.insert(label, index);
            self.portless.push((host, index));
        }
        is_free
    }

    /// Allows a name with a port to be written without it, if that is unambiguous. This skips addresses and
    /// one-part names: `10.0.0.5.nip.io` more likely means the machine at that address.
    fn add_portless_labels(&mut self) {
        for (host, index) in &self.portless {
            let is_shared = self.portless.iter().any(|(other, owner)| other == host && owner != index);
            let is_domain_name = host.contains('.') && host.parse::<Ipv4Addr>().is_err();
            if is_shared || !is_domain_name || self.table.names.contains_key(host) {
                continue;
            }
            if let Entry::Vacant(entry) = self.table.labels.entry(host.clone()) {
                entry.insert(*index);
                self.table.prefixes.insert(host.clone(), *index);
                self.table.labels.entry(host.replace('.', "-")).or_insert(*index);
            }
        }
    }

    fn set_domain(&mut self, domain: &str) {
        let host = HostPort::parse(domain).filter(|it| it.port().is_none()).map(HostPort::into_host);
        match host {
            Some(host) if !host.is_empty() && !host.starts_with('[') => {
                let full = |(label, index): (&String, &usize)| (format!("{label}.{host}"), *index);
                self.table.hosts = self.table.labels.iter().map(full).collect();
                self.table.domain = Some(host);
            }
            _ => self.errors.push(TableError::BadDomain(domain.to_owned())),
        }
    }

    fn add_hosts(&mut self, index: usize, has_label_hosts: bool) {
        let registry = &self.registries[index];
        for text in &registry.hosts {
            let Some(host) = parse_host(text).filter(|host| !host.is_empty()) else {
                let (registry, host) = (registry.name.clone(), text.clone());
                self.errors.push(TableError::BadHost { registry, host });
                continue;
            };
            match longest_label(&self.table.labels, &host).filter(|owner| has_label_hosts && *owner != index)
            {
                Some(owner) => self.report_overlap(host, owner, index),
                None => {
                    self.claim(|table| &mut table.hosts, host, index);
                }
            }
        }
    }

    /// Gives `key` to a registry in one of the maps. Returns false and adds an error if another registry has
    /// it.
    fn claim(
        &mut self,
        map: impl FnOnce(&mut RoutingTable) -> &mut HashMap<String, usize>,
        key: String,
        index: usize,
    ) -> bool {
        let owner = *map(&mut self.table).entry(key.clone()).or_insert(index);
        if owner != index {
            self.report_overlap(key, owner, index);
        }
        owner == index
    }

    fn report_overlap(&mut self, name: String, first: usize, second: usize) {
        let [first, second] = [first, second].map(|index| self.registries[index].name.clone());
        self.errors.push(TableError::Overlap { name, first, second });
    }
}
