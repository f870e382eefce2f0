//! The configuration: a TOML text becomes a value that is whole and consistent, or a list of all that is
//! wrong.
//!
//! Nothing downstream checks again. Secrets are wrapped where they are read, so that neither the value's
//! `Debug` nor a remark can show one.

mod address;
mod claims;
mod credentials;
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
mod locate;
mod nearest;
mod process;
mod reader;
mod registries;
mod registry;
mod remark;
mod table;
mod waits;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use policy::capacity::Wanted;
use policy::host::{RoutingTable, TableError};
use toml::de::DeTable;
use url::Url;

use self::claims::Claims;
pub(crate) use self::environment::Environment;
use self::explain::{Setting, Tables};
use self::process::ServerSection;
use self::reader::{Reader, Text};
use self::remark::Place;
use self::table::Table;

pub(crate) use self::form::{Shape, Unit};
pub(crate) use self::key::{Declared, Preset};
pub(crate) use self::locate::{LoadError, PLACES, load};
pub(crate) use self::process::{Log, LogFormat};
#[cfg(any(test, fuzzing))]
pub(crate) use self::reader::Variables;
pub(crate) use self::registry::Registry;
pub(crate) use self::remark::Remarks;

/// Everything that wharf is told, valid as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where it was read, as messages call it.
    pub(crate) source: String,
    /// With the default bounds on what is served at once: [`Config::wanted`] and the machine decide on these.
    pub(crate) server: server::Settings,
    /// The admin listener; none: there is no such listener.
    pub(crate) admin: Option<admin::Settings>,
    /// The bounds that the operator asked for.
    pub(crate) wanted: Wanted,
    /// What bodies may take of memory in all, in bytes.
    pub(crate) body_bytes_max: u64,
    /// The domain whose subdomains are virtual hosts.
    pub(crate) domain: Option<String>,
    pub(crate) routes: RoutingTable,
    pub(crate) log: Log,
    /// In the order of the file; `routes` speaks of them by index.
    pub(crate) registries: Vec<Registry>,
    /// The variables and options that set keys.
    pub(crate) outside: Vec<String>,
    /// Every key with its value and where that was said.
    pub(crate) settings: Vec<Setting>,
    /// What is allowed but risky; and the files that the configuration points to.
    pub(crate) warnings: Remarks,
    /// What was found beside the file and looks as if it was meant for wharf, one sentence each.
    pub(crate) notices: Vec<String>,
}

/// The configuration of someone who has none.
const BUILTIN: &str = include_str!("config/builtin.toml");

/// What messages call it.
const BUILTIN_NAME: &str = "built-in configuration";

impl Config {
    /// Reads `text`, which messages call `source`, in an environment where no variable sets a key. Files that
    /// it names are read; nothing else is touched.
    ///
    /// # Errors
    /// Every mistake in it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse(source: &str, text: &str, variables: Variables<'_>) -> Result<Self, Remarks> {
        Self::read(source, text, &Environment::without_keys(variables))
    }

    /// Reads `text`, which messages call `source`, and what `environment` sets above it.
    ///
    /// # Errors
    /// Every mistake in both.
    pub(crate) fn read(source: &str, text: &str, environment: &Environment<'_>) -> Result<Self, Remarks> {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader::new(source, text, environment);
        let mut mistakes = Remarks::on(source);
        let mut garbled = BTreeSet::new();
        for error in &errors {
            let line = error.span().map_or(1, |span| reader.line(span.start));
            mistakes.add(Place::line(line), describe(error));
            garbled.insert(line);
        }
        if !errors.iter().all(is_recoverable) {
            return Err(foreign::looks_like(text).map_or(mistakes, |form| is_no_toml(source, form)));
        }
        let builtin = DeTable::parse(BUILTIN).expect("a test reads the built-in configuration");
        let config =
            read(&mut reader, source, &Table::top(tree.get_ref()), &Table::builtin(builtin.get_ref()));
        let (further, warnings, files) = reader.finish();
        mistakes.append(further.without_lines(&garbled));
        match config {
            Some(config) if mistakes.is_empty() => {
                Ok(Self { warnings: warnings.with_files(files), ..config })
            }
            _ => Err(mistakes.with_warnings(warnings).with_files(files)),
        }
    }

    /// Whether there is no file.
    pub(crate) fn is_builtin(&self) -> bool {
        self.source == BUILTIN_NAME
    }

    /// Everything that applies without any file.
    ///
    /// # Errors
    /// Every mistake in `environment`.
    pub(crate) fn builtin(environment: &Environment<'_>) -> Result<Self, Remarks> {
        Self::read(BUILTIN_NAME, "", environment)
    }

    /// Where it was read, in words.
    pub(crate) fn origin(&self) -> String {
        let source = &self.source;
        match &self.outside[..] {
            [] => source.clone(),
            [name] => format!("{source} and {name}"),
            names => format!("{source} and {} variables", names.len()),
        }
    }
}

/// After these the parser knows what was meant and the rest of the file can be judged; after any other, what
/// follows would be full of mistakes that nobody made.
fn is_recoverable(error: &toml::de::Error) -> bool {
    let message = error.message();
    message == "duplicate key" || message.starts_with("string values must be quoted")
}

/// One remark on a file in another form: its lines are all wrong, and none of them more than another.
fn is_no_toml(source: &str, form: &str) -> Remarks {
    let mut mistakes = Remarks::on(source);
    let text = format!(
        "this looks like {form}, perhaps of another registry; wharf reads TOML, such as the two lines \
         `[[registry]]` and `name = \"docker.io\"`, and serves public registries without any file"
    );
    mistakes.add(Place::file(), text);
    mistakes
}

/// The parser's message, without the excerpt of the file that its `Display` adds.
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

fn read<'a>(reader: &mut Reader<'_>, source: &str, top: &Table<'a>, builtin: &Table<'a>) -> Option<Config> {
    reader.refuse_unknown_keys(top, &keys::TOP);
    let builtin_server = reader.section(builtin, "server", &keys::process::SERVER);
    let server = reader.section(top, "server", &keys::process::SERVER);
    // Where the operator names the registries, the default is one that the operator names too.
    let is_named = top.has("registry") || reader.registry_list().is_some();
    let mut tables = Tables {
        server: if is_named { server } else { server.over(&builtin_server) },
        admin: reader.section(top, "admin", &keys::process::ADMIN),
        storage: reader.section(top, "storage", &keys::process::STORAGE),
        log: reader.section(top, "log", &keys::process::LOG),
        defaults: reader.section(top, "defaults", &keys::registry::REGISTRY),
        registries: registries::tables(reader, top, builtin),
    };
    let (server, admin) = process::read_server(reader, &tables.server, &tables.admin);
    let log = process::read_log(reader, &tables.log);
    let storage_root = process::read_storage_root(reader, &tables.storage);
    registry::check_defaults(reader, &tables.defaults);

    let mut claims = Claims::default();
    let mut places = Vec::new();
    let mut registries = Vec::new();
    let mut upstreams = Vec::new();
    for table in &mut tables.registries {
        let place = reader.place(table, keys::registry::NAME.name);
        let upstream = reader.place(table, keys::registry::UPSTREAM.name);
        *table = table.clone().over(&tables.defaults);
        let read = registry::read_registry(reader, table, &storage_root, &mut claims);
        if let Some(registry) = read {
            upstreams.push((upstream, registry.upstream.upstream.clone()));
            registries.push(registry);
            places.push(place);
        }
    }
    for host in &server.hosts {
        claims.claim_host(reader, &host.place, &host.value);
    }
    if let Some(text) = &server.default_registry {
        check_default_registry(reader, text, &claims);
    }
    check_circles(reader, &server, admin.as_ref(), &upstreams);
    let routes = make_routes(reader, &server, &registries, &places)?;
    warn_of_certificate(reader, &server, &registries);
    let config = Config {
        source: source.to_owned(),
        domain: server.domain.clone(),
        body_bytes_max: server.body_bytes_max as u64,
        wanted: server.wanted,
        server: waits::outlast(server.settings(), &registries),
        admin,
        routes,
        log,
        registries,
        outside: reader.assigned_names(),
        settings: Vec::new(),
        warnings: Remarks::on(source),
        notices: Vec::new(),
    };
    Some(Config { settings: explain::settings(reader, &tables, &config), ..config })
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

/// Refuses upstreams that are wharf itself: each request would become another one, until there is room for no
/// more.
fn check_circles(
    reader: &mut Reader<'_>,
    server: &ServerSection,
    admin: Option<&admin::Settings>,
    upstreams: &[(Place, Url)],
) {
    let tls = server.tls.iter().flat_map(|(tls, _)| &tls.listen);
    let listeners: Vec<SocketAddr> =
        server.listen.iter().chain(tls).copied().chain(admin.map(|it| it.listen)).collect();
    let own: Vec<&str> =
        server.domain.as_deref().into_iter().chain(server.hosts.iter().map(|it| it.value.as_str())).collect();
    for (place, upstream) in upstreams {
        if address::leads_to(upstream, &listeners, &own) {
            reader.refuse(place, "leads back to wharf itself; write the registry's own address");
        }
    }
}

/// Warns of a certificate that no client will take, whichever registry it asks for.
fn warn_of_certificate(reader: &mut Reader<'_>, server: &ServerSection, registries: &[Registry]) {
    let (Some(domain), Some((tls, place))) = (&server.domain, &server.tls) else { return };
    let labels = registries.iter().flat_map(|registry| {
        let label = registry.names.name.replace(':', "-");
        [label.replace('.', "-"), label]
    });
    let below: Vec<String> = labels.map(|label| format!("{label}.{domain}")).collect();
    let hosts = registries.iter().flat_map(|registry| &registry.names.hosts);
    if below.iter().chain(hosts).chain([domain]).any(|host| tls.identity.covers(host)) {
        return;
    }
    let example = below.first().unwrap_or(domain);
    let text = format!(
        "is for none of the names that clients would use, such as {example:?} or {domain:?}; give one that is"
    );
    reader.warn(place, text);
}

/// The table of names, or what makes it ambiguous beyond the names as they are written: labels made from them
/// can collide too.
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
        let culprit = match &error {
            TableError::Overlap { second: name, .. }
            | TableError::BadHost { registry: name, .. }
            | TableError::BadName { name } => names.iter().position(|names| names.name == *name),
            TableError::BadDomain(_) | TableError::UnknownDefault(_) => None,
        };
        let whole_file = Place::file();
        let place = culprit.and_then(|index| places.get(index)).unwrap_or(&whole_file);
        reader.refuse(place, format!("{error}; rename one, or give it other hosts"));
    }
    None
}

#[cfg(test)]
mod tests;
