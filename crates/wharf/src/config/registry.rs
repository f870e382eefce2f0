//! Reads `[[registry]]` and the `[defaults]` below it.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use policy::eviction::{Cap, Limits};
use policy::freshness::{TagRule, TagTtl};
use policy::host::RegistryNames;
use policy::image::ImagePattern;
use policy::no_proxy::NoProxy;
use secret::Secret;
use upstream::{ProxySettings, UPSTREAM_ADDRESS_COUNT_MAX};
use url::Url;

use super::address::{parse_authority, parse_upstream};
use super::claims::Claims;
use super::keys::access as keys_of_access;
use super::keys::registry as keys;
use super::known;
use super::reader::{Reader, Text};
use super::remark::Place;
use super::table::Table;

/// One registry: its names, its upstream, its cache and its store.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    pub(crate) names: RegistryNames,
    pub(crate) upstream: upstream::Settings,
    pub(crate) cache: cache::Settings,
    /// The directory of its store.
    pub(crate) root: PathBuf,
    /// The room that its store may take, and the images that go and stay.
    pub(crate) limits: Limits,
    /// Whether clients get only the repositories that the upstream gives to everyone.
    pub(crate) public_only: bool,
}

/// Reads `[defaults]` alone, so that a mistake in it is found even if every registry overrides it.
pub(crate) fn check_defaults(reader: &mut Reader<'_>, defaults: &Table<'_>) {
    for key in keys::REGISTRY.own_keys().map(|key| key.name()) {
        if defaults.has(key) {
            let place = reader.place(defaults, key);
            reader.refuse(&place, "cannot be the same for all registries; move it to a [[registry]]");
        }
    }
    if defaults.has(keys_of_access::ACCESS.name) {
        let place = reader.place(defaults, keys_of_access::ACCESS.name);
        reader.refuse(&place, "write [access] for the rules of all registries");
    }
    reader.warn_of_shared_credentials(defaults);
    read_rules(reader, defaults);
}

/// Reads one `[[registry]]`, whose `table` falls back to the defaults.
pub(crate) fn read_registry(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    storage_root: &Path,
    claims: &mut Claims,
) -> Option<Registry> {
    let name = read_name(reader, table);
    let aliases = keys::ALIASES.read(reader, table).unwrap_or_default();
    let hosts = keys::HOSTS.read(reader, table).unwrap_or_default();
    let upstreams = read_upstreams(reader, table, name.as_ref());
    let mut rules = read_rules(reader, table);
    refuse_two_logins(reader, table, &rules);
    if let Some(upstreams) = &upstreams {
        refuse_several_for_clients(reader, table, upstreams.len(), rules.auth);
        warn_of_risks(reader, table, upstreams, &rules);
    }
    let root = keys::ROOT.read(reader, table);
    let name = name.filter(|name| claims.claim_name(reader, &name.place, &name.value))?;
    let root = root.map_or_else(
        || (name.place.clone(), storage_root.join(&name.value)),
        |root| (root.place, PathBuf::from(root.value)),
    );
    claims.claim_root(reader, &root.0, &root.1);
    for alias in &aliases {
        claims.claim_name(reader, &alias.place, &alias.value);
    }
    for host in &hosts {
        claims.claim_host(reader, &host.place, &host.value);
    }
    let mut aliases: Vec<String> = aliases.into_iter().map(|alias| alias.value).collect();
    for alias in known::aliases_of(&name.value) {
        if !aliases.iter().any(|given| given == alias) {
            claims.claim_name(reader, &name.place, alias);
            aliases.push((*alias).to_owned());
        }
    }
    let hosts = hosts.into_iter().map(|host| host.value).collect();
    let names = RegistryNames { name: name.value, aliases, hosts };
    let keep = kept_images(reader, table, &names, std::mem::take(&mut rules.limits.keep));
    rules.limits.keep = keep;
    let upstreams = upstreams?.into_iter().map(|(_, url)| url).collect();
    Some(rules.into_registry(names, upstreams, root.1))
}

/// The patterns of `keep` that can name an image of the registry, with its name in place of an alias.
fn kept_images(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    names: &RegistryNames,
    patterns: Vec<ImagePattern>,
) -> Vec<ImagePattern> {
    let name_of = |name: &str| {
        let mut own = [&names.name].into_iter().chain(&names.aliases).chain(&names.hosts);
        own.any(|it| it.eq_ignore_ascii_case(name)).then_some(names.name.as_str())
    };
    let mut kept = Vec::new();
    for pattern in patterns {
        let resolved = pattern.clone().resolved(name_of).ok().filter(|pattern| pattern.is_for(&names.name));
        match resolved {
            Some(pattern) => kept.push(pattern),
            // In [defaults] it is for the other registry.
            None if !table.has_itself(keys::KEEP.name) => {}
            None => {
                let (name, other) = (&names.name, pattern.registry().unwrap_or_default());
                let wrong = format!(
                    "\"{pattern}\" names images of {other}, which this registry does not have; move it to the \
                     [[registry]] of {other}, or write \"{name}/{pattern}\" if it is a repository of {name}"
                );
                reader.refuse(&reader.place(table, keys::KEEP.name), wrong);
            }
        }
    }
    kept
}

fn read_name(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Text> {
    if !table.has(keys::NAME.name) {
        let example = "name = \"docker.io\"";
        reader.refuse(
            &table.place(),
            format!("has no name; write the name of the registry to cache, such as {example}"),
        );
    }
    let mut name = keys::NAME.read(reader, table)?;
    match parse_authority(&name.value) {
        Ok(parsed) => name.value = parsed,
        Err(wrong) => {
            reader.refuse(&name.place, wrong);
            return None;
        }
    }
    let misnomer = if table.has(keys::UPSTREAM.name) { None } else { known::name_meant_by(&name.value) };
    if let Some(right) = known::name_behind_alias(&name.value).or(misnomer) {
        let wrong = format!("{:?} is another name for {right:?}; write name = {right:?}", name.written);
        reader.refuse(&name.place, wrong);
        return None;
    }
    if let Some(near) = known::name_near(&name.value).filter(|_| !table.has(keys::UPSTREAM.name)) {
        reader.warn(
            &name.place,
            format!("looks like a typo for {near:?}; correct it if that is what you meant"),
        );
    }
    Some(name)
}

/// The addresses of the upstream, at least one.
fn read_upstreams(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    name: Option<&Text>,
) -> Option<Vec<(Place, Url)>> {
    let addresses: Vec<(Place, String)> = if table.has(keys::UPSTREAM.name) {
        let texts = keys::UPSTREAM.read(reader, table)?;
        texts.into_iter().map(|text| (text.place, text.value)).collect()
    } else {
        let name = name?;
        vec![(name.place.clone(), known::upstream_of(&name.value))]
    };
    if addresses.is_empty() || addresses.len() > UPSTREAM_ADDRESS_COUNT_MAX {
        let place = reader.place(table, keys::UPSTREAM.name);
        let count = addresses.len();
        reader.refuse(
            &place,
            format!("lists {count} addresses; write at least one and at most {UPSTREAM_ADDRESS_COUNT_MAX}"),
        );
        return None;
    }
    let mut upstreams: Vec<(Place, Url)> = Vec::new();
    let address_count = addresses.len();
    for (place, address) in addresses {
        match parse_upstream(&address) {
            Ok(url) if upstreams.iter().any(|(_, other)| *other == url) => {
                reader.refuse(&place, format!("{url} is listed twice; leave one out"));
            }
            Ok(url) => {
                check_host(reader, &place, name, &url);
                upstreams.push((place, url));
            }
            Err(wrong) => reader.refuse(&place, wrong),
        }
    }
    (upstreams.len() == address_count).then_some(upstreams)
}

/// Remarks on a well-known address that is not the address of a registry.
fn check_host(reader: &mut Reader<'_>, place: &Place, name: Option<&Text>, url: &Url) {
    let host = url.host_str().filter(|_| url.port().is_none());
    let Some(meant) = host.and_then(known::registry_meant_by_host) else { return };
    let called = if meant.name == known::DOCKER_HUB { "Docker Hub" } else { meant.name };
    let right = known::upstream_of(meant.name);
    let advice = match name {
        Some(name) if name.value == meant.name => "leave the key out".to_owned(),
        _ => format!("write upstream = {right:?}"),
    };
    let text = format!("{called}'s registry is {right}; {advice}");
    // `/v1/` belongs to an API that no longer exists.
    if meant.answers && matches!(url.path().trim_end_matches('/'), "" | "/v2") {
        reader.warn(place, text);
    } else {
        reader.refuse(place, text);
    }
}

/// The values that both `[defaults]` and a `[[registry]]` can set.
struct Rules {
    credentials: credentials::Settings,
    identity: Option<Secret<Vec<u8>>>,
    ca: Vec<Vec<u8>>,
    insecure_skip_verify: bool,
    trusted_hosts: Vec<String>,
    proxy: Option<Url>,
    no_proxy: NoProxy,
    connect_timeout: Duration,
    header_timeout: Duration,
    idle_timeout: Duration,
    connections_per_blob_max: usize,
    connections_max: usize,
    read_ahead: usize,
    upstream_bandwidth: Option<NonZeroU64>,
    client_bandwidth: Option<NonZeroU64>,
    tags: TagRule,
    tag_ttls: Vec<TagTtl>,
    catalog: bool,
    auth_ttl: Duration,
    serve_private: bool,
    auth: keys::Auth,
    limits: Limits,
}

fn read_rules(reader: &mut Reader<'_>, table: &Table<'_>) -> Rules {
    let trusted_hosts = keys::TRUSTED_HOSTS.read(reader, table).unwrap_or_default();
    let connect_timeout = keys::CONNECT_TIMEOUT.value(reader, table);
    let header_timeout = keys::HEADER_TIMEOUT.value(reader, table);
    let is_cut_short = connect_timeout > upstream::connect_timeout_max(header_timeout);
    if is_cut_short && table.has(keys::CONNECT_TIMEOUT.name) {
        let text = "is more than nine tenths of header_timeout, which starts at the same moment, and is cut to \
                    that; raise header_timeout as well";
        reader.warn(&reader.place(table, keys::CONNECT_TIMEOUT.name), text);
    }
    Rules {
        credentials: reader.credentials(table),
        identity: reader.identity(table),
        ca: keys::CA_FILE.read(reader, table).into_iter().collect(),
        insecure_skip_verify: keys::INSECURE_SKIP_VERIFY.value(reader, table),
        trusted_hosts: trusted_hosts.into_iter().map(|host| host.value).collect(),
        proxy: keys::PROXY.read(reader, table),
        no_proxy: NoProxy(keys::NO_PROXY.read(reader, table).unwrap_or_default()),
        connect_timeout,
        header_timeout,
        idle_timeout: keys::IDLE_TIMEOUT.value(reader, table),
        connections_per_blob_max: keys::CONNECTIONS_PER_BLOB.value(reader, table),
        connections_max: keys::CONNECTIONS.value(reader, table),
        read_ahead: keys::READ_AHEAD.value(reader, table),
        upstream_bandwidth: keys::UPSTREAM_BANDWIDTH.value(reader, table),
        client_bandwidth: keys::CLIENT_BANDWIDTH.value(reader, table),
        tags: TagRule {
            ttl: keys::TAG_TTL.value(reader, table),
            stale_if_error: keys::STALE_IF_ERROR.value(reader, table),
            on_upstream_404: keys::ON_UPSTREAM_404.value(reader, table),
            offline: keys::OFFLINE.value(reader, table),
        },
        tag_ttls: keys::TAG.read(reader, table).unwrap_or_default(),
        catalog: keys::CATALOG.value(reader, table),
        auth_ttl: keys::AUTH_TTL.value(reader, table),
        serve_private: keys::SERVE_PRIVATE.value(reader, table),
        auth: keys::AUTH.value(reader, table),
        limits: Limits {
            max: keys::MAX_SIZE.value(reader, table),
            unused_for: keys::UNUSED_FOR.value(reader, table),
            keep_tags: keys::KEEP_TAGS.value(reader, table).and_then(|count| u32::try_from(count).ok()),
            keep: keys::KEEP.read(reader, table).unwrap_or_default(),
        },
    }
}

/// Warns of a `max_size` that the registry never reaches, because that of all stores together is smaller.
/// Bytes and shares of a file system are not compared.
pub(crate) fn warn_of_size(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    registry: &Registry,
    all: Option<Cap>,
) {
    let is_larger = match (registry.limits.max, all) {
        (Some(Cap::Bytes(own)), Some(Cap::Bytes(all))) => own > all,
        (Some(Cap::Percent(own)), Some(Cap::Percent(all))) => own > all,
        _ => false,
    };
    if is_larger {
        let text = "is more than max_size of [storage], which holds for all registries together; lower it, or \
                    raise that one";
        reader.warn(&reader.place(table, keys::MAX_SIZE.name), text);
    }
}

/// Refuses an account where clients pull with their own logins: its rights would mix with theirs.
fn refuse_two_logins(reader: &mut Reader<'_>, table: &Table<'_>, rules: &Rules) {
    let has_login = !rules.credentials.is_anonymous() || rules.identity.is_some();
    if rules.auth == keys::Auth::Passthrough && has_login {
        let wrong = "lets each client pull with its own login, and this registry has a login of wharf's own; keep one \
                     of the two";
        reader.refuse(&reader.place(table, keys::AUTH.name), wrong);
    }
}

/// Refuses several addresses for logins of clients: a login is for one registry and its token service, and a
/// stand-in does not say what the registry lets a client read.
fn refuse_several_for_clients(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    address_count: usize,
    auth: keys::Auth,
) {
    if auth == keys::Auth::Passthrough && address_count > 1 {
        let wrong = format!(
            "lists {address_count} addresses, and with auth = \"passthrough\" a client's login goes to one registry \
             and its token service alone; write one address, or leave auth = \"passthrough\" out"
        );
        reader.refuse(&reader.place(table, keys::UPSTREAM.name), wrong);
    }
}

/// Warns of settings that are allowed but risky.
fn warn_of_risks(reader: &mut Reader<'_>, table: &Table<'_>, upstreams: &[(Place, Url)], rules: &Rules) {
    for (place, _) in upstreams.iter().filter(|(_, url)| url.scheme() == "http") {
        let text = "requests to this upstream go without TLS, so anyone on the path can change what a tag names; \
                    use https if the upstream offers it";
        reader.warn(place, text);
        if rules.auth == keys::Auth::Passthrough {
            reader.warn(
                place,
                "logins of clients go to this upstream without TLS, readable by anyone on the path",
            );
        }
        if !rules.credentials.is_anonymous() {
            reader.warn(place, "credentials go to this upstream without TLS, readable by anyone on the path");
        }
    }
    if rules.proxy.is_none() && !rules.no_proxy.0.is_empty() {
        let text = "has no effect without proxy; for the proxies of the environment set NO_PROXY instead";
        reader.warn(&reader.place(table, keys::NO_PROXY.name), text);
    }
    if rules.insecure_skip_verify {
        let text = "anyone can pose as this upstream and receive its credentials; set ca_file instead";
        reader.warn(&reader.place(table, keys::INSECURE_SKIP_VERIFY.name), text);
    }
}

impl Rules {
    fn into_registry(self, names: RegistryNames, mut upstreams: Vec<Url>, root: PathBuf) -> Registry {
        let has_login = !self.credentials.is_anonymous() || self.identity.is_some();
        let public_only = has_login && !self.serve_private;
        let defaults = cache::Settings::new(self.tags);
        let tag_ttls = self.tag_ttls.into_iter();
        let cache = cache::Settings {
            tag_ttls: tag_ttls
                .map(|rule| TagTtl { pattern: rule.pattern.within(&names.name), ..rule })
                .collect(),
            // A grant to one repository through an account proves nothing for another one.
            links: has_login || self.auth == keys::Auth::Passthrough,
            passthrough: self.auth == keys::Auth::Passthrough,
            auth_ttl: self.auth_ttl,
            catalog: self.catalog,
            hub_names: names.name == known::DOCKER_HUB,
            connections_per_blob_max: self.connections_per_blob_max,
            connections_max: self.connections_max,
            read_ahead_count: self.read_ahead,
            upstream_bandwidth: self.upstream_bandwidth,
            client_bandwidth: self.client_bandwidth,
            ..defaults.waiting(self.header_timeout, self.idle_timeout)
        };
        let upstream = upstream::Settings {
            name: names.name.clone(),
            upstream: upstreams.remove(0),
            stand_ins: upstreams,
            credentials: self.credentials.within(&names.name),
            ca: self.ca,
            client_identity: self.identity,
            insecure_skip_verify: self.insecure_skip_verify,
            trusted_hosts: self.trusted_hosts,
            proxy: self.proxy.map(|url| ProxySettings { url, no_proxy: self.no_proxy }),
            connect_timeout: self.connect_timeout,
            header_timeout: self.header_timeout,
            idle_timeout: self.idle_timeout,
        };
        Registry { names, upstream, cache, root, limits: self.limits, public_only }
    }
}
