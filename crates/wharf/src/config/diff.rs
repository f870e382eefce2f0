//! The changes of a reload: a pure comparison of the configuration in force with the new one.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use server::{ListenAddress, TlsSettings};

use super::{Acme, Config, Registry};

/// The most names in a text; further ones are counted.
const NAMED_COUNT_MAX: usize = 8;

/// The differences between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Diff {
    /// Names of registries, in the order of the file.
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) changed: Vec<(String, RegistryChange)>,
    /// Changes of the whole process.
    pub(crate) process: Vec<&'static str>,
    /// Keys whose change needs a restart.
    pub(crate) waiting: Vec<Waiting>,
}

/// The differences between two registries of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RegistryChange {
    /// The upstream: its address, login, certificates and timeouts.
    pub(crate) upstream: bool,
    /// The rules for tags, `offline`, and the bounds.
    pub(crate) rules: bool,
    /// Aliases and hosts.
    pub(crate) names: bool,
    /// The room of its store, and the images that go and stay.
    pub(crate) room: bool,
}

/// A key whose change needs a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The key and its section.
    pub(crate) key: &'static str,
    /// The value in force until then.
    pub(crate) in_force: String,
}

impl Diff {
    /// Compares `new` with `running`, the configuration in force.
    pub(crate) fn between(running: &Config, new: &Config) -> Self {
        let find = |config: &Config, name: &str| -> Option<Registry> {
            config.registries.iter().find(|it| it.names.name == name).cloned()
        };
        let name = |registry: &Registry| registry.names.name.clone();
        let mut diff =
            Self { waiting: waiting(running, new), process: process(running, new), ..Self::default() };
        for registry in &new.registries {
            match find(running, &registry.names.name) {
                None => diff.added.push(name(registry)),
                Some(before) => {
                    let change = RegistryChange::between(&before, registry);
                    if change != RegistryChange::default() {
                        diff.changed.push((name(registry), change));
                    }
                }
            }
        }
        let is_gone = |registry: &&Registry| find(new, &registry.names.name).is_none();
        diff.removed = running.registries.iter().filter(is_gone).map(name).collect();
        diff
    }

    /// Whether nothing differs, not even a key that needs a restart.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The configuration in force after `new` replaces `running`: `new`, except for keys that need a restart.
pub(crate) fn in_force(running: &Config, new: &Config) -> Config {
    let root_of = |registry: &Registry| {
        let before = running.registries.iter().find(|it| it.names.name == registry.names.name);
        before.map_or_else(|| registry.root.clone(), |before| before.root.clone())
    };
    let registries = new.registries.iter();
    Config {
        server: server::Settings {
            listen: running.server.listen.clone(),
            tls: tls_in_force(running, new),
            ..new.server.clone()
        },
        acme: acme_in_force(running.acme.as_ref(), new.acme.as_ref()),
        admin: admin_in_force(running.admin.as_ref(), new.admin.as_ref()),
        access: new.access.clone().map(|access| match &running.access {
            Some(before) => Arc::new((*access).clone().succeeding(before)),
            None => access,
        }),
        log: super::Log { format: running.log.format, ..new.log.clone() },
        sandbox: running.sandbox,
        registries: registries.map(|it| Registry { root: root_of(it), ..it.clone() }).collect(),
        ..new.clone()
    }
}

/// The running authority with the new settings. Its task begins and ends with the process.
fn acme_in_force(running: Option<&Acme>, new: Option<&Acme>) -> Option<Acme> {
    let running = running?;
    let new = new.unwrap_or(running).clone();
    Some(Acme { state_dir: running.state_dir.clone(), ..new })
}

/// The running listener with the new certificates.
fn tls_in_force(running: &Config, new: &Config) -> Option<TlsSettings> {
    let is_same = running.client_ca == new.client_ca;
    let running = running.server.tls.as_ref()?;
    let mut tls = new.server.tls.as_ref().unwrap_or(running).clone();
    if is_same {
        // The same value, so that clients keep their sessions.
        tls.client_verifier.clone_from(&running.client_verifier);
    }
    Some(TlsSettings { listen: running.listen.clone(), ..tls })
}

/// The running listener with the new token, unless the new one is for another address.
fn admin_in_force(
    running: Option<&admin::Settings>,
    new: Option<&admin::Settings>,
) -> Option<admin::Settings> {
    match (running, new) {
        (Some(before), Some(after)) if before.listen == after.listen => Some(after.clone()),
        (before, _) => before.cloned(),
    }
}

fn waiting(running: &Config, new: &Config) -> Vec<Waiting> {
    let (before, after) = (&running.server, &new.server);
    let list = |addresses: &[std::net::SocketAddr]| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        if texts.is_empty() { "off".to_owned() } else { texts.join(", ") }
    };
    let tls = |server: &server::Settings| list(server.tls.as_ref().map_or(&[][..], |tls| &tls.listen));
    let admin = |config: &Config| match config.admin.as_ref().map(|admin| &admin.listen) {
        None => "off".to_owned(),
        Some(address @ ListenAddress::Ip(_)) => address.to_string(),
        Some(address @ ListenAddress::File(file)) => format!("{address} with socket_mode {:04o}", file.mode),
    };
    let format = |config: &Config| {
        config.log.format.map_or_else(|| "unset".to_owned(), |it| format!("{it:?}").to_lowercase())
    };
    let acme = |config: &Config| {
        let path = config.acme.as_ref().map(|acme| acme.state_dir.display().to_string());
        path.unwrap_or_else(|| "off".to_owned())
    };
    let rows = [
        ("listen of [server]", list(&before.listen), list(&after.listen)),
        ("listen of [server.tls]", tls(before), tls(after)),
        ("listen of [admin]", admin(running), admin(new)),
        ("[server.acme] with its state_dir", acme(running), acme(new)),
        ("format of [log]", format(running), format(new)),
        ("sandbox of [server]", running.sandbox.to_string(), new.sandbox.to_string()),
    ];
    let differing = rows.into_iter().filter(|(_, before, after)| before != after);
    let mut waiting: Vec<_> = differing.map(|(key, in_force, _)| Waiting { key, in_force }).collect();
    let moved = running.registries.iter().filter(|registry| {
        let after = new.registries.iter().find(|it| it.names.name == registry.names.name);
        after.is_some_and(|after| after.root != registry.root)
    });
    let moved: Vec<String> = moved.map(|it| it.root.display().to_string()).collect();
    if !moved.is_empty() {
        waiting.push(Waiting { key: "root", in_force: several(&moved) });
    }
    waiting
}

fn process(running: &Config, new: &Config) -> Vec<&'static str> {
    let (before, after) = (&running.server, &new.server);
    let tls = before.tls.as_ref().zip(after.tls.as_ref());
    let differs =
        |differs: fn(&TlsSettings, &TlsSettings) -> bool| tls.is_some_and(|(one, other)| differs(one, other));
    let admin = |config: &Config| {
        let admin = config.admin.as_ref();
        let token = admin.and_then(|admin| admin.token.as_ref().map(|token| token.expose().clone()));
        (token, admin.map(|admin| admin.hosts.clone()).unwrap_or_default())
    };
    let routing = |config: &Config| config.routes.map(|index| config.registries[*index].names.name.clone());
    let rows = [
        ("domain, hosts or default_registry", names_of_the_process(&routing(running), &routing(new))),
        ("certificate", differs(|one, other| one.certificates != other.certificates)),
        ("plain or redirect_to", differs(|one, other| one.redirect_port != other.redirect_port)),
        ("acme", is_other_acme(running, new)),
        ("limits", running.wanted != new.wanted),
        ("token_file or hosts of [admin]", admin(running) != admin(new)),
        ("client_ca_file", tls.is_some() && running.client_ca != new.client_ca),
        ("access", running.access != new.access),
        ("log", (running.log.level, running.log.access) != (new.log.level, new.log.access)),
        ("warm", running.warm != new.warm),
        ("body_bytes_max", running.body_bytes_max != new.body_bytes_max),
        ("max_size or free_min of [storage]", running.room != new.room),
        ("scrub_every or scrub_rate", running.scrub != new.scrub),
        ("sendfile", before.sendfile != after.sendfile),
        ("shutdown_grace", before.shutdown_grace != after.shutdown_grace),
    ];
    rows.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
}

/// Whether the authority or the names differ. The directory of the state needs a restart.
fn is_other_acme(running: &Config, new: &Config) -> bool {
    let (Some(before), Some(after)) = (&running.acme, &new.acme) else { return false };
    *before != Acme { state_dir: before.state_dir.clone(), ..after.clone() }
}

type Routes = policy::host::RoutingTable<String>;

/// Whether wharf's own names differ. Names of registries count as changes of these.
fn names_of_the_process(before: &Routes, after: &Routes) -> bool {
    !before.has_same_own_names(after)
}

impl RegistryChange {
    /// Compares two registries of one name.
    pub(crate) fn between(before: &Registry, after: &Registry) -> Self {
        Self {
            upstream: !is_same_upstream(&before.upstream, &after.upstream),
            rules: !is_same_rules(&before.cache, &after.cache) || before.public_only != after.public_only,
            names: before.names != after.names,
            room: before.limits != after.limits,
        }
    }
}

/// Destructured, so that no setting can be forgotten.
fn is_same_upstream(one: &upstream::Settings, other: &upstream::Settings) -> bool {
    let upstream::Settings {
        name,
        upstream,
        stand_ins,
        credentials,
        ca,
        client_identity,
        insecure_skip_verify,
        trusted_hosts,
        proxy,
        connect_timeout,
        header_timeout,
        idle_timeout,
    } = one;
    let identity =
        |settings: &upstream::Settings| settings.client_identity.as_ref().map(|it| it.expose().clone());
    *credentials == other.credentials
        && client_identity.is_some() == other.client_identity.is_some()
        && identity(one) == identity(other)
        && (name, upstream, stand_ins, ca) == (&other.name, &other.upstream, &other.stand_ins, &other.ca)
        && (insecure_skip_verify, trusted_hosts, proxy)
            == (&other.insecure_skip_verify, &other.trusted_hosts, &other.proxy)
        && (connect_timeout, header_timeout, idle_timeout)
            == (&other.connect_timeout, &other.header_timeout, &other.idle_timeout)
}

/// Destructured likewise. Leaves out values that depend on the machine.
fn is_same_rules(one: &cache::Settings, other: &cache::Settings) -> bool {
    let cache::Settings {
        tags,
        tag_ttls,
        links,
        auth_ttl,
        passthrough,
        catalog,
        hub_names,
        verify_first_bytes_max,
        negative_ttl,
        manifest_deadline,
        far_range_wait,
        transfers_per_fill_max,
        connections_per_blob_max,
        connections_max,
        read_ahead_count,
        upstream_bandwidth,
        client_bandwidth,
        fill_stall_max,
        drip_max,
        waiting_count_max: _,
        asking_count_max: _,
        wall_clock: _,
    } = one;
    (tags, tag_ttls) == (&other.tags, &other.tag_ttls)
        && (links, auth_ttl, catalog, hub_names)
            == (&other.links, &other.auth_ttl, &other.catalog, &other.hub_names)
        && *passthrough == other.passthrough
        && (upstream_bandwidth, client_bandwidth) == (&other.upstream_bandwidth, &other.client_bandwidth)
        && (verify_first_bytes_max, negative_ttl, manifest_deadline, far_range_wait)
            == (
                &other.verify_first_bytes_max,
                &other.negative_ttl,
                &other.manifest_deadline,
                &other.far_range_wait,
            )
        && (
            transfers_per_fill_max,
            connections_per_blob_max,
            connections_max,
            read_ahead_count,
            fill_stall_max,
            drip_max,
        ) == (
            &other.transfers_per_fill_max,
            &other.connections_per_blob_max,
            &other.connections_max,
            &other.read_ahead_count,
            &other.fill_stall_max,
            &other.drip_max,
        )
}

impl fmt::Display for RegistryChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words =
            [(self.upstream, "upstream"), (self.rules, "rules"), (self.names, "names"), (self.room, "room")];
        let words: Vec<&str> =
            words.into_iter().filter(|(differs, _)| *differs).map(|(_, word)| word).collect();
        f.write_str(&words.join(", "))
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} needs a restart; until then it is {}", self.key, self.in_force)
    }
}

/// One line: `added quay.io; changed docker.io (upstream); certificate`.
impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (word, names) in [("added", &self.added), ("removed", &self.removed)] {
            if !names.is_empty() {
                parts.push(format!("{word} {}", several(names)));
            }
        }
        let changed: Vec<String> =
            self.changed.iter().map(|(name, change)| format!("{name} ({change})")).collect();
        if !changed.is_empty() {
            parts.push(format!("changed {}", several(&changed)));
        }
        if !self.process.is_empty() {
            parts.push(format!("changed {}", self.process.join(", ")));
        }
        f.write_str(if parts.is_empty() { "nothing changed" } else { "" })?;
        f.write_str(&parts.join("; "))
    }
}

fn several(names: &[String]) -> String {
    let mut text = names[..names.len().min(NAMED_COUNT_MAX)].join(", ");
    if names.len() > NAMED_COUNT_MAX {
        // Writing to a string does not fail.
        let _ = write!(text, " and {} more", names.len() - NAMED_COUNT_MAX);
    }
    text
}

#[cfg(test)]
mod tests;
