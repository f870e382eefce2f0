//! Reads `[access]` and `[registry.access]`: who may pull.

use std::net::SocketAddr;
use std::sync::Arc;

use access::{Access, AccessTable, Logins};
use policy::access::{Repositories, Rules, Ways};
use policy::host::RegistryNames;
use policy::image::ImagePattern;

use super::keys::access::{self as keys, ACCESS, OF_A_REGISTRY};
use super::keys::home_of;
use super::keys::registry as of_a_registry;
use super::outside::Assigned;
use super::process::ServerSection;
use super::reader::Reader;
use super::registry::Registry;
use super::remark::Place;
use super::table::{Table, Value, kind};

/// `[registry.access]` of one registry, from the registry's own `table`.
pub(crate) fn table_of<'t>(reader: &mut Reader<'_>, table: &Table<'t>) -> Table<'t> {
    let mut assigned = Assigned::new();
    for (outside, key) in OF_A_REGISTRY {
        assigned.extend(table.assigned_value(outside).map(|value| (key, value)));
    }
    let (place, entries) = match reader.find(table, ACCESS.name) {
        Some((place, Value::Toml(value))) => {
            let entries = value.get_ref().as_table();
            if entries.is_none() {
                let found = kind(value);
                reader.refuse(&place, format!("expected a section, found {found}; write [registry.access]"));
            }
            (place, entries)
        }
        _ => match assigned.values().next() {
            Some(outside) => (Place::Outside(outside.name.clone()), None),
            None => return Table::absent(),
        },
    };
    let table = Table::one(place, entries, assigned.into());
    reader.refuse_unknown_keys(&table, &ACCESS.names(), home_of);
    table
}

/// Reads the rules of all registries.
pub(crate) struct AccessReader<'t> {
    common: Table<'t>,
    /// Whether certificates of clients are verified.
    has_client_authority: bool,
    table: AccessTable,
}

impl<'t> AccessReader<'t> {
    /// Reads `[access]`, whose rules hold where a registry has none of its own.
    pub(crate) fn new(
        reader: &mut Reader<'_>,
        [common, tls]: [&Table<'t>; 2],
        server: &ServerSection,
    ) -> Self {
        let mut this = Self {
            common: common.clone(),
            has_client_authority: tls.has(super::keys::process::CLIENT_CA_FILE.name),
            table: AccessTable {
                trusted_proxies: server.trusted_proxies.clone(),
                proxy_protocol: server.proxy_protocol,
                ..AccessTable::default()
            },
        };
        if !common.is_absent() {
            let access = this.read(reader, common, ACCESS.name, &RegistryNames::default());
            this.table.common = Some(Arc::new(access));
        }
        this
    }

    /// Reads the rules of one registry, whose own section is `own`.
    pub(crate) fn add(&mut self, reader: &mut Reader<'_>, own: &Table<'t>, registry: &mut Registry) {
        if own.is_absent() && self.common.is_absent() {
            return;
        }
        let name = &registry.names.name;
        let section =
            if own.is_absent() { "[access]".to_owned() } else { format!("[registry.access] of {name}") };
        let table = own.clone().over(&self.common);
        let access = self.read(reader, &table, &section, &registry.names);
        // A blob that one repository may not give to a client must not come through another one.
        registry.cache.links |= access.rules.name_repositories();
        registry.public_only &= !access.rules.say_who_may_pull();
        if registry.cache.passthrough && (access.logins.is_some() || access.rules.depend_on_logins()) {
            let key = [keys::USERS_FILE.name, keys::TOKENS_FILE.name].into_iter().find(|key| table.has(key));
            let wrong = format!(
                "asks the clients of {name} for a login of wharf's, and auth = \"passthrough\" for one of the \
                 upstream's, and a request has only one; leave one of them out"
            );
            reader.refuse(&reader.place(&table, key.unwrap_or(keys::RULE.name)), wrong);
        }
        self.table.registries.insert(name.clone(), Arc::new(access));
    }

    /// All rules; `None` if there are none.
    pub(crate) fn finish(self) -> Option<Arc<AccessTable>> {
        let AccessTable { registries, common, trusted_proxies, .. } = &self.table;
        let is_off = registries.is_empty() && common.is_none() && trusted_proxies.is_empty();
        (!is_off).then(|| Arc::new(self.table))
    }

    fn read(
        &self,
        reader: &mut Reader<'_>,
        table: &Table<'t>,
        section: &str,
        names: &RegistryNames,
    ) -> Access {
        let users = keys::USERS_FILE.read(reader, table);
        let tokens = keys::TOKENS_FILE.read(reader, table);
        let has_logins = users.is_some() || tokens.is_some();
        let mut clients = keys::RULE.read(reader, table).unwrap_or_default();
        for rule in &mut clients {
            let is_about_logins = !rule.users.is_empty() || !rule.tokens.is_empty();
            let is_set = table.has(keys::USERS_FILE.name) || table.has(keys::TOKENS_FILE.name);
            let place = reader.place(table, keys::RULE.name);
            if is_about_logins && !is_set {
                let wrong = "names users or tokens, and no file has any; set users_file or tokens_file";
                reader.refuse(&place, wrong);
            }
            if !rule.certificates.is_empty() {
                self.refuse_without_authority(reader, &place);
            }
            let patterns = std::mem::take(&mut rule.repositories);
            rule.repositories = resolve(reader, table, names, patterns, [keys::RULE.name; 2]);
        }
        let certificates = keys::CLIENT_NAMES.read(reader, table);
        if certificates.is_some() {
            let place = reader.place(table, keys::CLIENT_NAMES.name);
            self.refuse_without_authority(reader, &place);
        }
        let own = Repositories {
            allow: keys::ALLOW.read(reader, table),
            deny: keys::DENY.read(reader, table).unwrap_or_default(),
        };
        let rules = Rules {
            registry: names.name.clone(),
            section: section.to_owned(),
            ways: Ways {
                logins: has_logins,
                addresses: keys::ADDRESSES.read(reader, table),
                certificates,
                require: keys::REQUIRE.value(reader, table),
            },
            repositories: resolve(reader, table, names, own, [keys::ALLOW.name, keys::DENY.name]),
            clients,
        };
        Access { rules, logins: has_logins.then(|| self.shared(Logins::new(users, tokens))) }
    }

    /// Refuses a rule about certificates of clients where no handshake asks for one.
    fn refuse_without_authority(&self, reader: &mut Reader<'_>, place: &Place) {
        if !self.has_client_authority {
            let wrong = "is about certificates of clients, and nothing verifies them; set client_ca_file of \
                         [server.tls]";
            reader.refuse(place, wrong);
        }
    }

    /// The same logins of another registry, so that a login is checked once for both.
    fn shared(&self, logins: Logins) -> Arc<Logins> {
        let known =
            self.table.all().filter_map(|access| access.logins.as_ref()).find(|known| ***known == logins);
        known.map_or_else(|| Arc::new(logins), Arc::clone)
    }
}

/// The patterns that can name a repository of the registry, with its name in place of an alias. The keys are
/// those with the allowed and the denied ones.
fn resolve(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    names: &RegistryNames,
    patterns: Repositories,
    [allow, deny]: [&str; 2],
) -> Repositories {
    // `/v2/` of no registry asks for no repository.
    if names.name.is_empty() {
        return patterns;
    }
    let name_of = |name: &str| {
        let mut own = [&names.name].into_iter().chain(&names.aliases).chain(&names.hosts);
        own.any(|it| it.eq_ignore_ascii_case(name)).then_some(names.name.as_str())
    };
    let mut own = |list: Vec<ImagePattern>, key: &str| -> Vec<ImagePattern> {
        let mut kept = Vec::new();
        for pattern in list {
            match pattern.clone().resolved(name_of).ok().filter(|pattern| pattern.is_for(&names.name)) {
                Some(pattern) => kept.push(pattern),
                // In [access] it is for another registry.
                None if !table.has_itself(key) || table.is_one() => {}
                None => {
                    let wrong =
                        format!("\"{pattern}\" names no repository of {}; move it to [access]", names.name);
                    reader.refuse(&reader.place(table, key), wrong);
                }
            }
        }
        kept
    };
    Repositories { allow: patterns.allow.map(|list| own(list, allow)), deny: own(patterns.deny, deny) }
}

/// Warns of a registry whose account everyone may use: because it says so, or because its rules name
/// repositories and no clients.
pub(crate) fn warn_of_risks(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    registry: &Registry,
    access: Option<&Arc<AccessTable>>,
) {
    let rules = access.and_then(|access| access.of(&registry.names.name));
    let is_open = rules.is_none_or(|access| access.rules.ways == Ways::default());
    let has_login =
        !registry.upstream.credentials.is_anonymous() || registry.upstream.client_identity.is_some();
    if has_login && is_open && !registry.public_only {
        let text = "anyone who can reach wharf can pull whatever this account can; name in [access] who may \
                    pull, or use a read-only account that sees only what they may see";
        let named = [of_a_registry::SERVE_PRIVATE.name, of_a_registry::USERNAME.name];
        let others = [of_a_registry::CREDENTIALS.name, of_a_registry::CLIENT_CERT.name];
        let key = named.into_iter().chain(others).find(|key| table.has(key)).unwrap_or_default();
        reader.warn(&reader.place(table, key), text);
    }
}

/// Warns of logins that travel without TLS.
pub(crate) fn warn_of_plain_logins(
    reader: &mut Reader<'_>,
    listen: &[SocketAddr],
    place: &Place,
    access: Option<&Arc<AccessTable>>,
    registries: &[Registry],
) {
    let has_logins = access.is_some_and(|access| access.all().any(|access| access.logins.is_some()));
    if !has_logins && !registries.iter().any(|registry| registry.cache.passthrough) {
        return;
    }
    let is_open = listen.iter().any(|address| !address.ip().is_loopback());
    if is_open && access.is_none_or(|access| access.trusted_proxies.is_empty()) {
        let text = "clients send their passwords and tokens to this address without TLS, readable by anyone on \
                    the path; use [server.tls], or a TLS proxy and trusted_proxies";
        reader.warn(place, text);
    }
}
