//! The configuration: turns a TOML text into a complete and consistent value, or lists every mistake in it.
//!
//! No later stage checks again. Secrets are wrapped where they are read, so that neither the value's `Debug`
//! nor a remark can show one.

mod access;
pub(crate) mod access_rules;
mod acme;
mod address;
mod challenge_kind;
mod claims;
pub(crate) mod credential_rules;
pub(crate) mod diff;
mod duration;
mod environment;
mod expand;
mod explain;
mod file;
mod foreign;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod hint;
mod key;
pub(crate) mod keys;
mod known;
mod listed;
mod locate;
mod log;
mod login;
mod nearest;
mod outside;
pub(crate) mod pairs;
mod plain;
mod process;
mod reader;
mod registries;
mod registry;
mod remark;
mod sections;
mod size;
mod table;
pub(crate) mod tag_rules;
mod waits;
mod warm;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ::access::AccessTable;
use cache::ScrubSettings;
use policy::capacity::{Capacity, Wanted};
use policy::eviction::CommonLimits;
use policy::host::{RoutingTable, TableError};
use toml::de::DeTable;
use url::Url;

use self::access::AccessReader;
pub(crate) use self::acme::Acme;
use self::claims::Claims;
pub(crate) use self::duration::parse_duration;
pub(crate) use self::environment::Environment;
use self::explain::{Setting, Tables};
use self::process::ServerSection;
use self::reader::{Reader, Text};
use self::remark::Place;
use self::sections::Sections;
use self::table::Table;

#[cfg(any(test, fuzzing))]
pub(crate) use self::expand::Variables;
pub(crate) use self::form::{Shape, Unit};
pub(crate) use self::key::{Declared, Preset, Section};
pub(crate) use self::locate::{LoadError, PLACES, load};
pub(crate) use self::log::{Log, LogFormat};
pub(crate) use self::pairs::{Pair, PairRule};
pub(crate) use self::registry::Registry;
pub(crate) use self::remark::Remarks;
pub(crate) use self::warm::Warm;

/// The whole configuration, valid.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file's path as messages write it, or [`BUILTIN_NAME`].
    pub(crate) source: String,
    /// The server's settings, with the default limits; see [`Config::server_within`].
    pub(crate) server: server::Settings,
    /// The admin listener, if it is on.
    pub(crate) admin: Option<admin::Settings>,
    /// The TLS certificates, the default first.
    pub(crate) pairs: Vec<Pair>,
    /// The authority that signs certificates, if there is one.
    pub(crate) acme: Option<Acme>,
    /// The limits that the operator asked for.
    pub(crate) wanted: Wanted,
    /// The memory for all bodies together, in bytes.
    pub(crate) body_bytes_max: u64,
    /// The room of all stores together.
    pub(crate) room: CommonLimits,
    /// The directory of the stores that name none of their own.
    pub(crate) storage_root: PathBuf,
    /// Whether wharf confines itself.
    pub(crate) sandbox: bool,
    /// The schedule and the pace of scrubs.
    pub(crate) scrub: ScrubSettings,
    /// The domain whose subdomains are virtual hosts.
    pub(crate) domain: Option<String>,
    /// Holds indices into `registries`.
    pub(crate) routes: RoutingTable,
    /// The authorities of certificates of clients, in PEM.
    pub(crate) client_ca: Option<Vec<u8>>,
    /// Who may pull; `None`: everyone.
    pub(crate) access: Option<Arc<AccessTable>>,
    pub(crate) log: Log,
    /// The images that are fetched on a schedule.
    pub(crate) warm: Warm,
    /// In the order of the file.
    pub(crate) registries: Vec<Registry>,
    /// The variables and options that set keys.
    pub(crate) outside: Vec<String>,
    /// Every key with its value and its source.
    pub(crate) settings: Vec<Setting>,
    /// Remarks on risky settings; and the files that the configuration names.
    pub(crate) warnings: Remarks,
    /// Sentences about files and variables that wharf does not read but the operator may expect it to.
    pub(crate) notices: Vec<String>,
}

/// The configuration that applies without a file.
const BUILTIN: &str = include_str!("config/builtin.toml");

/// Its name in messages.
const BUILTIN_NAME: &str = "built-in configuration";

impl Config {
    /// Reads `text`, which messages call `source`, in an environment where no variable sets a key. Reads the
    /// files that it names and has no other effect.
    ///
    /// # Errors
    /// Every mistake in it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse(source: &str, text: &str, variables: Variables<'_>) -> Result<Self, Remarks> {
        Self::read(source, text, &Environment::without_keys(variables))
    }

    /// Reads `text`, which messages call `source`. Values of `environment` override it.
    ///
    /// # Errors
    /// Every mistake in both.
    pub(crate) fn read(source: &str, text: &str, environment: &Environment<'_>) -> Result<Self, Remarks> {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader::new(source, text, environment.variables);
        let mut mistakes = Remarks::on(source);
        let mut garbled = BTreeSet::new();
        for error in &errors {
            let line = error.span().map_or(1, |span| reader.line(span.start));
            mistakes.add(Place::line(line), describe(error));
            garbled.insert(line);
        }
        if !errors.iter().all(is_recoverable) {
            return Err(foreign::looks_like(text).map_or(mistakes, |form| foreign_format(source, form)));
        }
        let mut sections = Sections::new(&mut reader, environment);
        let builtin = DeTable::parse(BUILTIN).expect("a test reads the built-in configuration");
        let (top, builtin) = (Table::top(tree.get_ref()), Table::builtin(builtin.get_ref()));
        let config = read(&mut reader, &mut sections, source, environment.pairs, &top, &builtin);
        let (further, warnings, files) = reader.finish();
        mistakes.append(further.without_lines(&garbled));
        match config {
            Some(config) if mistakes.is_empty() => {
                Ok(Self { warnings: warnings.with_files(files), ..config })
            }
            _ => Err(mistakes.with_warnings(warnings).with_files(files)),
        }
    }

    /// Whether no file was read.
    pub(crate) fn is_builtin(&self) -> bool {
        self.source == BUILTIN_NAME
    }

    /// The configuration that applies without a file.
    ///
    /// # Errors
    /// Every mistake in `environment`.
    pub(crate) fn builtin(environment: &Environment<'_>) -> Result<Self, Remarks> {
        Self::read(BUILTIN_NAME, "", environment)
    }

    /// The server's settings within `capacity`.
    pub(crate) fn server_within(&self, capacity: &Capacity) -> server::Settings {
        server::Settings {
            connection_count_max: capacity.connections,
            client_connection_count_max: capacity.per_client,
            answer_count_max: capacity.answers,
            ..self.server.clone()
        }
    }

    /// The sources of the configuration, in words.
    pub(crate) fn origin(&self) -> String {
        let source = &self.source;
        match &self.outside[..] {
            [] => source.clone(),
            [name] => format!("{source} and {name}"),
            names => format!("{source} and {} variables", names.len()),
        }
    }
}

/// Whether the parser can tell the author's intent and read the rest of the file. After any other error it
/// would report mistakes that are not there.
fn is_recoverable(error: &toml::de::Error) -> bool {
    let message = error.message();
    message == "duplicate key" || message.starts_with("string values must be quoted")
}

/// One remark on a file in another format, instead of one on each line.
fn foreign_format(source: &str, form: &str) -> Remarks {
    let mut mistakes = Remarks::on(source);
    let text = format!(
        "this looks like {form}, perhaps of another registry; wharf reads TOML, such as the two lines \
         `[[registry]]` and `name = \"docker.io\"`, and serves public registries without any file"
    );
    mistakes.add(Place::file(), text);
    mistakes
}

/// The parser's message, without the excerpt of the file in its `Display`, which may show a secret.
fn describe(error: &toml::de::Error) -> String {
    let advice = match error.message() {
        "duplicate key" => "; keep one of them",
        message if message.starts_with("string values must be quoted") => {
            return "a string without quotes; put it in quotes".to_owned();
        }
        _ => "; correct the line, or the one before it",
    };
    format!("this is not TOML: {}{advice}", error.message())
}

fn read<'a>(
    reader: &mut Reader<'_>,
    sections: &mut Sections,
    source: &str,
    rule: PairRule<'_>,
    top: &Table<'a>,
    builtin: &Table<'a>,
) -> Option<Config> {
    reader.refuse_unknown_keys(top, &keys::TOP, keys::home_of);
    let mut tables = read_tables(reader, sections, top, builtin);
    let (server, admin) =
        process::read_server(reader, [&tables.server, &tables.tls, &tables.acme, &tables.admin], rule);
    let log = process::read_log(reader, &tables.log);
    let storage_root = process::read_storage_root(reader, &tables.storage);
    let acme = acme::read(reader, &tables.acme, &storage_root);
    let room = process::read_room(reader, &tables.storage);
    let warm = warm::read(reader, &tables.warm);
    let scrub = process::read_scrub(reader, &tables.storage);
    registry::check_defaults(reader, &tables.defaults);

    let mut claims = Claims::default();
    let mut places = Vec::new();
    let mut registries = Vec::new();
    let mut upstreams = Vec::new();
    let mut access = AccessReader::new(reader, [&tables.access, &tables.tls], &server);
    let mut registry_tables = Vec::new();
    for table in &mut tables.registries {
        let own_access = access::table_of(reader, table);
        let place = reader.place(table, keys::registry::NAME.name);
        let upstream = reader.place(table, keys::registry::UPSTREAM.name);
        *table = table.clone().over(&tables.defaults);
        let read = registry::read_registry(reader, table, &storage_root, &mut claims);
        if let Some(mut registry) = read {
            access.add(reader, &own_access, &mut registry);
            tables.registry_accesses.push(own_access);
            registry_tables.push(table.clone());
            registry::warn_of_size(reader, table, &registry, room.max);
            upstreams.extend(addresses_of(&upstream, &registry));
            registries.push(registry);
            places.push(place);
        }
    }
    let access = access.finish();
    warn_of_access(reader, &tables, &registry_tables, (&server, &registries, access.as_ref()));
    acme::check(reader, &tables.acme, acme.as_ref(), &server, &registries);
    for host in &server.hosts {
        claims.claim_host(reader, &host.place, &host.value);
    }
    if let Some(text) = &server.default_registry {
        check_default_registry(reader, text, &claims);
    }
    check_circles(reader, &server, admin.as_ref(), &upstreams);
    let routes = make_routes(reader, &server, &registries, &places)?;
    warn_of_certificates(reader, &server, &registries);
    let client_ca = server.tls.as_ref().and_then(|tls| tls.client_ca.clone());
    Some(Config {
        settings: explain::settings(reader, &tables, source, &server.wanted, &registries),
        source: source.to_owned(),
        domain: server.domain.clone(),
        pairs: server.tls.iter().flat_map(|tls| tls.pairs.clone()).collect(),
        acme,
        body_bytes_max: server.body_bytes_max as u64,
        room,
        storage_root,
        sandbox: server.sandbox,
        scrub,
        wanted: server.wanted,
        server: waits::outlast(server.settings(), &registries),
        admin,
        client_ca,
        routes,
        access,
        log,
        warm,
        registries,
        outside: sections.assigned_names(),
        warnings: Remarks::on(source),
        notices: Vec::new(),
    })
}

fn warn_of_access(
    reader: &mut Reader<'_>,
    tables: &Tables<'_>,
    registry_tables: &[Table<'_>],
    (server, registries, access): (&ServerSection, &[Registry], Option<&Arc<AccessTable>>),
) {
    for (table, registry) in registry_tables.iter().zip(registries) {
        access::warn_of_risks(reader, table, registry, access);
    }
    let listen_place = reader.place(&tables.server, keys::process::LISTEN.name);
    access::warn_of_plain_logins(reader, &server.listen, &listen_place, access, registries);
}

fn read_tables<'a>(
    reader: &mut Reader<'_>,
    sections: &mut Sections,
    top: &Table<'a>,
    builtin: &Table<'a>,
) -> Tables<'a> {
    let builtin_server = sections.section(reader, builtin, "server", &keys::process::SERVER);
    let server = sections.section(reader, top, "server", &keys::process::SERVER);
    // If the operator lists the registries, the built-in default may not be among them.
    let is_listed = top.has("registry") || sections.registry_list().is_some();
    let server = if is_listed { server } else { server.over(&builtin_server) };
    Tables {
        tls: sections.section(reader, &server, "tls", &keys::process::TLS),
        acme: sections.section(reader, &server, "acme", &keys::acme::ACME),
        admin: sections.section(reader, top, "admin", &keys::process::ADMIN),
        storage: sections.section(reader, top, "storage", &keys::process::STORAGE),
        log: sections.section(reader, top, "log", &keys::process::LOG),
        warm: sections.section(reader, top, "warm", &keys::warm::WARM),
        access: sections.section(reader, top, "access", &keys::access::ACCESS),
        registry_accesses: Vec::new(),
        defaults: sections.section(reader, top, "defaults", &keys::registry::REGISTRY),
        registries: registries::tables(reader, sections, top, builtin),
        server,
    }
}

fn check_default_registry(reader: &mut Reader<'_>, text: &Text, claims: &Claims) {
    if claims.has_name(&text.value.to_ascii_lowercase()) {
        return;
    }
    let advice = match nearest::nearest(&text.value, claims.names()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => "name one that has a [[registry]]".to_owned(),
    };
    reader.refuse(&text.place, format!("there is no registry {:?}; {advice}", text.written));
}

/// The addresses of a registry's upstream, with the place of the key.
fn addresses_of(place: &Place, registry: &Registry) -> Vec<(Place, Url)> {
    let addresses = registry.upstream.of_addresses().into_iter();
    addresses.map(|address| (place.clone(), address.upstream)).collect()
}

/// Refuses upstreams that lead back to wharf: each request would cause another one without end.
fn check_circles(
    reader: &mut Reader<'_>,
    server: &ServerSection,
    admin: Option<&admin::Settings>,
    upstreams: &[(Place, Url)],
) {
    let tls = server.tls.iter().flat_map(|tls| &tls.settings.listen);
    let listeners: Vec<SocketAddr> =
        server.listen.iter().chain(tls).copied().chain(admin.and_then(|it| it.listen.ip())).collect();
    let own: Vec<&str> =
        server.domain.as_deref().into_iter().chain(server.hosts.iter().map(|it| it.value.as_str())).collect();
    for (place, upstream) in upstreams {
        if address::leads_to(upstream, &listeners, &own) {
            reader.refuse(place, "leads back to wharf itself; write the registry's own address");
        }
    }
}

/// Warns of certificates of which none covers a name that clients use.
fn warn_of_certificates(reader: &mut Reader<'_>, server: &ServerSection, registries: &[Registry]) {
    let (Some(domain), Some(tls)) = (&server.domain, &server.tls) else { return };
    let certificates = tls.settings.certificates.all();
    if certificates.is_empty() || tls.is_acme {
        return;
    }
    let labels = registries.iter().flat_map(|registry| {
        let label = registry.names.name.replace(':', "-");
        [label.replace('.', "-"), label]
    });
    let below: Vec<String> = labels.map(|label| format!("{label}.{domain}")).collect();
    let hosts = registries.iter().flat_map(|registry| &registry.names.hosts);
    if below.iter().chain(hosts).chain([domain]).any(|host| certificates.iter().any(|it| it.covers(host))) {
        return;
    }
    let example = below.first().unwrap_or(domain);
    let text = format!(
        "covers none of the names that clients use, such as {example:?} or {domain:?}; use a certificate that does"
    );
    reader.warn(&tls.place, text);
}

/// Makes the routing table. Remarks on names that collide only once labels are made from them.
fn make_routes(
    reader: &mut Reader<'_>,
    server: &ServerSection,
    registries: &[Registry],
    places: &[Place],
) -> Option<RoutingTable> {
    if reader.has_mistakes() {
        return None;
    }
    let names: Vec<_> = registries.iter().map(|registry| registry.names.clone()).collect();
    let default = server.default_registry.as_ref().map(|text| text.value.as_str());
    let errors = match RoutingTable::new(server.domain.as_deref(), default, &names) {
        Ok(routes) => {
            let own_hosts = server.hosts.iter().map(|host| host.value.clone());
            return Some(routes.with_own_hosts(own_hosts));
        }
        Err(errors) => errors,
    };
    for error in errors {
        let index = match &error {
            TableError::Overlap { second: name, .. }
            | TableError::BadHost { registry: name, .. }
            | TableError::BadName { name } => names.iter().position(|names| names.name == *name),
            TableError::BadDomain(_) | TableError::UnknownDefault(_) => None,
        };
        let whole_file = Place::file();
        let place = index.and_then(|index| places.get(index)).unwrap_or(&whole_file);
        reader.refuse(place, format!("{error}; rename one, or give it other hosts"));
    }
    None
}

#[cfg(test)]
mod tests;
