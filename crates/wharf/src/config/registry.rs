//! `[[registry]]` and the `[defaults]` beneath it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use policy::freshness::{StaleLimit, TagRule, Upstream404};
use policy::host::RegistryNames;
use secret::Secret;
use url::Url;

use super::address::{parse_authority, parse_host, parse_proxy, parse_upstream};
use super::claims::Claims;
use super::duration::parse_duration;
use super::known;
use super::reader::{Reader, Table, Text};
use super::remark::Place;

/// The keys that only a `[[registry]]` has.
const OWN_KEYS: [&str; 5] = ["name", "aliases", "hosts", "upstream", "root"];

/// The keys that `[defaults]` may hold as well.
pub(crate) const RULE_KEYS: [&str; 20] = [
    "username",
    "password",
    "password_file",
    "ca_file",
    "client_cert",
    "client_key",
    "insecure_skip_verify",
    "trusted_hosts",
    "proxy",
    "connect_timeout",
    "header_timeout",
    "idle_timeout",
    "connections_per_blob_max",
    "connections_max",
    "tag_ttl",
    "stale_if_error",
    "on_upstream_404",
    "offline",
    "catalog",
    "auth_ttl",
];

/// More than any upstream welcomes.
const CONNECTIONS_MAX: i64 = 1000;

const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const HEADER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const AUTH_TTL_DEFAULT: Duration = Duration::from_secs(15 * 60);

/// One registry: how it is called, whom it asks, what it keeps and where.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    pub(crate) names: RegistryNames,
    pub(crate) upstream: upstream::Settings,
    pub(crate) cache: cache::Settings,
    /// The directory that this registry alone writes to.
    pub(crate) root: PathBuf,
}

pub(crate) fn registry_keys() -> Vec<&'static str> {
    OWN_KEYS.into_iter().chain(RULE_KEYS).collect()
}

/// Reads `[defaults]` for its own sake, so that a mistake in it is found even where every registry says
/// otherwise.
pub(crate) fn check_defaults(reader: &mut Reader<'_>, defaults: &Table<'_>) {
    for key in OWN_KEYS {
        if defaults.has(key) {
            let place = reader.place(defaults, key);
            reader.refuse(&place, "cannot be the same for all registries; move it to a [[registry]]");
        }
    }
    reader.warn_of_shared_credentials(defaults);
    read_rules(reader, defaults);
}

/// Reads one `[[registry]]`, whose `table` shows the defaults where it has no key of its own.
pub(crate) fn read_registry(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    storage_root: &Path,
    claims: &mut Claims,
) -> Option<Registry> {
    let name = read_name(reader, table);
    let aliases = read_list(reader, table, "aliases", parse_authority);
    let hosts = read_list(reader, table, "hosts", parse_host);
    let upstream = read_upstream(reader, table, name.as_ref());
    let rules = read_rules(reader, table);
    if let Some(upstream) = &upstream {
        warn_of_risks(reader, table, upstream, &rules);
    }
    let root = reader.path(table, "root");
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
    Some(rules.into_registry(RegistryNames { name: name.value, aliases, hosts }, upstream?.1, root.1))
}

fn read_name(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Text> {
    if !table.has("name") {
        let example = "name = \"docker.io\"";
        reader.refuse(&table.place(), format!("has no name; write what it caches, such as {example}"));
    }
    let mut name = reader.text(table, "name")?;
    match parse_authority(&name.value) {
        Ok(parsed) => name.value = parsed,
        Err(wrong) => {
            reader.refuse(&name.place, wrong);
            return None;
        }
    }
    let misnomer = if table.has("upstream") { None } else { known::name_meant_by(&name.value) };
    if let Some(right) = known::name_behind_alias(&name.value).or(misnomer) {
        let wrong = format!("{:?} is another name for {right:?}; write name = {right:?}", name.written);
        reader.refuse(&name.place, wrong);
        return None;
    }
    if let Some(near) = known::name_near(&name.value).filter(|_| !table.has("upstream")) {
        reader.warn(
            &name.place,
            format!("looks like a typo for {near:?}; correct it if that is what you meant"),
        );
    }
    Some(name)
}

fn read_list(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    key: &str,
    parse: fn(&str) -> Result<String, &'static str>,
) -> Vec<Text> {
    let mut list = Vec::new();
    for mut text in reader.texts(table, key).unwrap_or_default() {
        match parse(&text.value) {
            Ok(parsed) => {
                text.value = parsed;
                list.push(text);
            }
            Err(wrong) => reader.refuse(&text.place, format!("{:?}: {wrong}", text.written)),
        }
    }
    list
}

fn read_upstream(reader: &mut Reader<'_>, table: &Table<'_>, name: Option<&Text>) -> Option<(Place, Url)> {
    let (place, address) = if table.has("upstream") {
        let text = reader.text(table, "upstream")?;
        (text.place, text.value)
    } else {
        let name = name?;
        (name.place.clone(), known::upstream_of(&name.value))
    };
    match parse_upstream(&address) {
        Ok(url) => {
            check_host(reader, &place, name, &url);
            Some((place, url))
        }
        Err(wrong) => {
            reader.refuse(&place, wrong);
            None
        }
    }
}

/// Remarks on an address that people know of a registry, and that is not where its registry is.
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
    // `/v1/` is that of an API which is no longer there.
    if meant.answers && matches!(url.path().trim_end_matches('/'), "" | "/v2") {
        reader.warn(place, text);
    } else {
        reader.refuse(place, text);
    }
}

/// What `[defaults]` and a `[[registry]]` can both say.
struct Rules {
    login: Option<(String, Secret<String>)>,
    identity: Option<Secret<Vec<u8>>>,
    ca: Vec<Vec<u8>>,
    insecure_skip_verify: bool,
    trusted_hosts: Vec<String>,
    proxy: Option<Url>,
    connect_timeout: Duration,
    header_timeout: Duration,
    idle_timeout: Duration,
    connections_per_blob_max: Option<usize>,
    connections_max: Option<usize>,
    tags: TagRule,
    catalog: bool,
    auth_ttl: Duration,
}

fn read_rules(reader: &mut Reader<'_>, table: &Table<'_>) -> Rules {
    let trusted_hosts = read_list(reader, table, "trusted_hosts", parse_authority);
    let connect_timeout = reader.timeout(table, "connect_timeout");
    let header_timeout = reader.timeout(table, "header_timeout").unwrap_or(HEADER_TIMEOUT_DEFAULT);
    if connect_timeout.is_some_and(|it| it > upstream::connect_timeout_max(header_timeout)) {
        let text = "is more than nine tenths of header_timeout, which counts from the same moment, and gets no more \
                    than those; make header_timeout longer as well";
        reader.warn(&reader.place(table, "connect_timeout"), text);
    }
    Rules {
        login: reader.login(table),
        identity: reader.identity(table),
        ca: reader.certificates(table, "ca_file").into_iter().collect(),
        insecure_skip_verify: reader.flag(table, "insecure_skip_verify").unwrap_or(false),
        trusted_hosts: trusted_hosts.into_iter().map(|host| host.value).collect(),
        proxy: read_proxy(reader, table),
        connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT_DEFAULT),
        header_timeout,
        idle_timeout: reader.timeout(table, "idle_timeout").unwrap_or(IDLE_TIMEOUT_DEFAULT),
        connections_per_blob_max: reader.count(table, "connections_per_blob_max", CONNECTIONS_MAX),
        connections_max: reader.count(table, "connections_max", CONNECTIONS_MAX),
        tags: read_tag_rule(reader, table),
        catalog: reader.flag(table, "catalog").unwrap_or(true),
        auth_ttl: read_ttl(reader, table, "auth_ttl").unwrap_or(AUTH_TTL_DEFAULT),
    }
}

fn read_proxy(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Url> {
    let text = reader.text_or_nothing(table, "proxy")?;
    match parse_proxy(&text.value) {
        Ok(url) => Some(url),
        Err(wrong) => {
            reader.refuse(&text.place, wrong);
            None
        }
    }
}

fn read_tag_rule(reader: &mut Reader<'_>, table: &Table<'_>) -> TagRule {
    let missing = [("404", Upstream404::NotFound), ("serve", Upstream404::Serve)];
    TagRule {
        ttl: read_ttl(reader, table, "tag_ttl").unwrap_or(Duration::ZERO),
        stale_if_error: reader.length_or_forever(table, "stale_if_error").unwrap_or(StaleLimit::Forever),
        on_upstream_404: reader.choice(table, "on_upstream_404", &missing).unwrap_or(Upstream404::NotFound),
        offline: reader.flag(table, "offline").unwrap_or(false),
    }
}

/// For how long an answer holds; no end is more than any clock will show.
fn read_ttl(reader: &mut Reader<'_>, table: &Table<'_>, key: &str) -> Option<Duration> {
    reader.length_or_forever(table, key).map(|length| match length {
        StaleLimit::Forever => Duration::MAX,
        StaleLimit::For(length) => length,
        StaleLimit::Never => Duration::ZERO,
    })
}

impl Reader<'_> {
    /// A length of time that may have no end; `0s` is none at all.
    fn length_or_forever(&mut self, table: &Table<'_>, key: &str) -> Option<StaleLimit> {
        let text = self.duration_text(table, key)?;
        let limit = match text.value.as_str() {
            "forever" => Some(StaleLimit::Forever),
            "0s" => Some(StaleLimit::Never),
            length => parse_duration(length).map(StaleLimit::For),
        };
        if limit.is_none() {
            let wrong = format!(
                "{:?} is not a length of time; write one such as \"0s\", \"60s\", \"1h\" or \"forever\"",
                text.written
            );
            self.refuse(&text.place, wrong);
        }
        limit
    }
}

/// What is allowed but should be known to whoever starts this.
fn warn_of_risks(reader: &mut Reader<'_>, table: &Table<'_>, upstream: &(Place, Url), rules: &Rules) {
    let (place, url) = upstream;
    if url.scheme() == "http" {
        let text = "the upstream is asked without TLS, so anyone on the way can change what a tag means; \
                    use https if it offers that";
        reader.warn(place, text);
        if rules.login.is_some() {
            reader.warn(place, "credentials go to this upstream without TLS, readable to anyone on the way");
        }
    }
    if rules.insecure_skip_verify {
        let text = "anyone can pose as this upstream and is shown its credentials; give its ca_file instead";
        reader.warn(&reader.place(table, "insecure_skip_verify"), text);
    }
    if rules.login.is_some() {
        let text = "anyone who can reach wharf can pull whatever this account can; \
                    use a read-only account that sees only what they may see";
        reader.warn(&reader.place(table, "username"), text);
    }
}

impl Rules {
    fn into_registry(self, names: RegistryNames, upstream: Url, root: PathBuf) -> Registry {
        let defaults = cache::Settings::new(self.tags);
        let cache = cache::Settings {
            // What one repository was granted through an account proves nothing for another.
            links: self.login.is_some() || self.identity.is_some(),
            auth_ttl: self.auth_ttl,
            catalog: self.catalog,
            hub_names: names.name == known::DOCKER_HUB,
            connections_per_blob_max: self
                .connections_per_blob_max
                .unwrap_or(defaults.connections_per_blob_max),
            connections_max: self.connections_max.unwrap_or(defaults.connections_max),
            ..defaults.waiting(self.header_timeout, self.idle_timeout)
        };
        let upstream = upstream::Settings {
            name: names.name.clone(),
            upstream,
            credentials: self.login,
            ca: self.ca,
            client_identity: self.identity,
            insecure_skip_verify: self.insecure_skip_verify,
            trusted_hosts: self.trusted_hosts,
            proxy: self.proxy,
            connect_timeout: self.connect_timeout,
            header_timeout: self.header_timeout,
            idle_timeout: self.idle_timeout,
        };
        Registry { names, upstream, cache, root }
    }
}
