//! Reads `[server.acme]`: the authority that signs wharf's certificates.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use acme::{Binding, Challenge, Dns, UpdateSettings};
use credentials::{ProcessSettings, Variables};
use policy::issuance::requested;
use secret::Secret;
use url::Url;

use super::challenge_kind::Kind;
use super::key::Key;
use super::keys::acme as keys;
use super::process::ServerSection;
use super::reader::{Reader, Text};
use super::registry::Registry;
use super::table::Table;

/// The directory of the state in the common root of the stores. No registry is called like this.
const STATE_DIR: &str = "_acme";

/// The longest time that a hook may run.
const HOOK_TIME_MAX: Duration = Duration::from_secs(120);

/// The longest wait for the servers of a zone.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// An authority, and the names that it signs for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acme {
    pub(crate) settings: acme::Settings,
    /// Certificates that verify the authority's server, in PEM.
    pub(crate) ca: Option<Vec<u8>>,
    /// `None`: every virtual host.
    pub(crate) names: Option<Vec<String>>,
    pub(crate) wildcard: bool,
    pub(crate) state_dir: PathBuf,
}

/// The section, if there is one. `storage_root` is the common root of the stores.
pub(crate) fn read(reader: &mut Reader<'_>, table: &Table<'_>, storage_root: &Path) -> Option<Acme> {
    if table.is_absent() {
        return None;
    }
    let agreed = keys::TERMS_AGREED.read(reader, table);
    if agreed != Some(true) && (agreed.is_some() || !table.has(keys::TERMS_AGREED.name)) {
        let place = reader.place(table, keys::TERMS_AGREED.name);
        let wrong = format!(
            "{} must be true: read the authority's terms of service, and say that you agree to them",
            keys::TERMS_AGREED.name
        );
        reader.refuse(&place, wrong);
    }
    let kind = keys::CHALLENGE.value(reader, table);
    let wildcard = keys::WILDCARD.value(reader, table);
    if wildcard && kind != Kind::Dns {
        let place = reader.place(table, keys::WILDCARD.name);
        reader.refuse(
            &place,
            "needs challenge = \"dns-01\": an authority validates a wildcard in the DNS alone",
        );
    }
    let (contact, directory) = (read_contact(reader, table), read_directory(reader, table));
    let binding = read_binding(reader, table);
    let dns = read_dns(reader, table, kind);
    let ca = keys::CA_FILE.read(reader, table);
    let names = keys::NAMES.read(reader, table).filter(|_| table.has(keys::NAMES.name));
    let names = names.map(|names| names.into_iter().map(|text| text.value).collect());
    let state_dir = keys::STATE_DIR.read(reader, table).map(|text| PathBuf::from(text.value));
    let challenge = match kind {
        Kind::Http => Challenge::Http,
        Kind::Tls => Challenge::Tls,
        Kind::Dns => dns?,
    };
    Some(Acme {
        settings: acme::Settings { directory: directory?, contact, binding, challenge },
        ca,
        names,
        wildcard,
        state_dir: state_dir.unwrap_or_else(|| storage_root.join(STATE_DIR)),
    })
}

/// Refuses a configuration under which no certificate can be obtained.
pub(crate) fn check(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    acme: Option<&Acme>,
    server: &ServerSection,
    registries: &[Registry],
) {
    let Some(acme) = acme else { return };
    if acme.settings.challenge == Challenge::Http && server.listen.is_empty() {
        let place = reader.place(table, keys::CHALLENGE.name);
        let wrong = "http-01 comes over plain HTTP to port 80 of each name, and listen of [server] is off; listen \
                     on port 80, or choose \"tls-alpn-01\"";
        reader.refuse(&place, wrong);
    }
    let own = server.domain.iter().chain(server.hosts.iter().map(|host| &host.value));
    let of_registries = registries.iter().flat_map(|registry| &registry.names.hosts);
    let hosts: Vec<String> = match &acme.names {
        Some(names) => names.clone(),
        None => own.chain(of_registries).cloned().collect(),
    };
    if requested(&hosts, None, false).0.is_empty() {
        let place = reader.place(table, keys::NAMES.name);
        let wrong = "there is no name that an authority signs for; set domain of [server] to a public name, such as \
                     \"registry.example.com\"";
        reader.refuse(&place, wrong);
    }
}

fn read_contact(reader: &mut Reader<'_>, table: &Table<'_>) -> Vec<String> {
    let mut contact = Vec::new();
    for text in keys::CONTACT.read(reader, table).unwrap_or_default() {
        let mail = text.value.strip_prefix("mailto:").unwrap_or(&text.value);
        let is_mail = mail.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
        if is_mail && mail.is_ascii() && !mail.contains(|c: char| c.is_whitespace() || c.is_control()) {
            contact.push(mail.to_owned());
        } else {
            let wrong =
                format!("{:?} is no mail address; write one such as \"ops@example.com\"", text.written);
            reader.refuse(&text.place, wrong);
        }
    }
    contact
}

fn read_directory(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Url> {
    let text = keys::DIRECTORY.read(reader, table);
    if text.is_none() && table.has(keys::DIRECTORY.name) {
        return None;
    }
    let written = text.as_ref().map_or(keys::DIRECTORY.written(), |text| &text.value);
    let url = Url::parse(written).ok().filter(|url| {
        url.scheme() == "https" && url.has_host() && url.username().is_empty() && url.password().is_none()
    });
    if url.is_none() {
        let place = reader.place(table, keys::DIRECTORY.name);
        let wrong = format!(
            "is no https URL of a directory; write one such as {:?}",
            "https://acme-staging-v02.api.letsencrypt.org/directory"
        );
        reader.refuse(&place, wrong);
    }
    url
}

fn read_binding(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Binding> {
    let key_id = keys::EAB_KEY_ID.read(reader, table);
    let key = read_key(reader, table, &keys::EAB_KEY, &keys::EAB_KEY_FILE);
    let has_key = table.has(keys::EAB_KEY.name) || table.has(keys::EAB_KEY_FILE.name);
    if has_key != table.has(keys::EAB_KEY_ID.name) {
        let (there, missing) = if has_key {
            (keys::EAB_KEY.name, keys::EAB_KEY_ID.name)
        } else {
            (keys::EAB_KEY_ID.name, "eab_key or eab_key_file")
        };
        let place = reader.place(table, there);
        reader.refuse(&place, format!("needs {missing} as well; the authority gives out both"));
    }
    Some(Binding { key_id: key_id?.value, key: key? })
}

/// A key in base64, from one of two keys of the section.
fn read_key(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    inline: &Key<Text>,
    file: &Key<Secret<String>>,
) -> Option<Secret<Vec<u8>>> {
    if table.has(inline.name) && table.has(file.name) {
        let place = reader.place(table, file.name);
        reader.refuse(&place, format!("{} is set as well; keep one of the two", inline.name));
        return None;
    }
    let (name, text) = match inline.read(reader, table) {
        Some(text) => (inline.name, text.value),
        None => (file.name, file.read(reader, table)?.expose().clone()),
    };
    let key = acme::decode_key(&text);
    if key.is_none() {
        let place = reader.place(table, name);
        reader.refuse(&place, "is no key in base64; copy it once more from where it was given out");
    }
    key
}

/// The challenge in the DNS. Its keys have no effect with another one.
fn read_dns(reader: &mut Reader<'_>, table: &Table<'_>, kind: Kind) -> Option<Challenge> {
    let key = read_key(reader, table, &keys::DNS_KEY, &keys::DNS_KEY_FILE);
    let key_name = keys::DNS_KEY_NAME.read(reader, table);
    let algorithm = keys::DNS_KEY_ALGORITHM.value(reader, table);
    let server = read_address(reader, table, &keys::DNS_SERVER);
    let resolver = read_address(reader, table, &keys::DNS_RESOLVER);
    let hook = keys::DNS_HOOK.read(reader, table);
    let variables = keys::DNS_HOOK_VARIABLES.read(reader, table).unwrap_or_default();
    let wait = keys::DNS_WAIT.value(reader, table);
    if wait > WAIT_MAX {
        let place = reader.place(table, keys::DNS_WAIT.name);
        reader.refuse(&place, "is longer than an order may take; write at most \"10m\"");
    }
    let of_dns = [keys::DNS_SERVER.name, keys::DNS_HOOK.name].into_iter().find(|key| table.has(key));
    match (kind, of_dns) {
        (Kind::Dns, None) => {
            let place = reader.place(table, keys::CHALLENGE.name);
            reader.refuse(&place, "dns-01 needs dns_server, which takes updates, or dns_hook, a program");
        }
        (Kind::Http | Kind::Tls, Some(key)) => {
            let place = reader.place(table, key);
            reader.warn(&place, "has no effect without challenge = \"dns-01\"");
        }
        _ => {}
    }
    let by = match (server, hook) {
        (Some(_), Some(hook)) => {
            reader.refuse(&hook.place, "dns_server is set as well; keep one of the two");
            return None;
        }
        (Some(server), None) => {
            if !table.has(keys::DNS_KEY_NAME.name) {
                missing_key(reader, table, keys::DNS_KEY_NAME.name);
            }
            if !table.has(keys::DNS_KEY.name) && !table.has(keys::DNS_KEY_FILE.name) {
                missing_key(reader, table, "dns_key or dns_key_file");
            }
            let resolver = resolver.unwrap_or(server);
            Dns::Update(UpdateSettings { server, resolver, key_name: key_name?.value, algorithm, key: key? })
        }
        (None, hook) => Dns::Hook(hook_process(reader, &hook?, &variables)),
    };
    Some(Challenge::Dns { by, wait })
}

fn missing_key(reader: &mut Reader<'_>, table: &Table<'_>, what: &str) {
    let place = reader.place(table, keys::DNS_SERVER.name);
    reader.refuse(&place, format!("needs {what}: updates are signed; `tsig-keygen` makes a key"));
}

fn read_address(reader: &mut Reader<'_>, table: &Table<'_>, key: &Key<Text>) -> Option<SocketAddr> {
    let text = key.read(reader, table)?;
    let address = text.value.parse().ok();
    if address.is_none() {
        let wrong =
            format!("{:?} is no address of a server; write one such as \"192.0.2.53:53\"", text.written);
        reader.refuse(&text.place, wrong);
    }
    address
}

fn hook_process(reader: &Reader<'_>, hook: &Text, further: &[Text]) -> ProcessSettings {
    let read = reader.variables();
    let further = further.iter().map(|text| text.value.as_str());
    ProcessSettings {
        program: PathBuf::from(&hook.value),
        arguments: Vec::new(),
        variables: Variables::of_a_program(further, |name| read(name)),
        timeout: HOOK_TIME_MAX,
    }
}
