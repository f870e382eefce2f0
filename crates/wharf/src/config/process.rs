//! Reads `[server]`, `[admin]`, `[log]` and `[storage]`, which concern the process and no single registry.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cache::ScrubSettings;
use policy::access::Network;
use policy::capacity::Wanted;
use policy::eviction::CommonLimits;
use server::{ListenAddress, SOCKET_FILE_PREFIX, SocketFile, TlsSettings};

use super::address::{listeners_overlap, parse_listen, parse_socket_path};
use super::environment::variable_of;
use super::form::OFF;
use super::key::Key;
use super::keys::process as keys;
use super::log::Log;
use super::pairs::{self, NamedPair, Pair, PairRule};
use super::plain::Plain;
use super::reader::{Reader, Text};
use super::remark::Place;
use super::table::Table;

/// The default directory.
pub(crate) const ROOT_DEFAULT: &str = "./wharf-data";

/// Reads the room of `[storage]`.
pub(crate) fn read_room(reader: &mut Reader<'_>, storage: &Table<'_>) -> CommonLimits {
    CommonLimits {
        max: keys::STORAGE_MAX_SIZE.value(reader, storage),
        free_min: keys::FREE_MIN.value(reader, storage),
    }
}

/// Reads the scrub of `[storage]`.
pub(crate) fn read_scrub(reader: &mut Reader<'_>, storage: &Table<'_>) -> ScrubSettings {
    ScrubSettings {
        every: keys::SCRUB_EVERY.value(reader, storage),
        bytes_per_second: keys::SCRUB_RATE.value(reader, storage),
    }
}

/// The values of `[server]`.
pub(crate) struct ServerSection {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) tls: Option<TlsSection>,
    pub(crate) domain: Option<String>,
    /// Names of wharf itself.
    pub(crate) hosts: Vec<Text>,
    pub(crate) default_registry: Option<Text>,
    /// Proxies that are believed about their clients' addresses.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Whether they speak the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    pub(crate) shutdown_grace: Duration,
    pub(crate) sendfile: bool,
    pub(crate) sandbox: bool,
    pub(crate) wanted: Wanted,
    pub(crate) body_bytes_max: usize,
}

/// The values of `[server.tls]`.
pub(crate) struct TlsSection {
    pub(crate) settings: TlsSettings,
    pub(crate) pairs: Vec<Pair>,
    /// The authorities of certificates of clients, in PEM.
    pub(crate) client_ca: Option<Vec<u8>>,
    /// Whether an authority signs further certificates.
    pub(crate) is_acme: bool,
    /// The place of the default certificate.
    pub(crate) place: Place,
}

impl ServerSection {
    /// The settings of the server.
    pub(crate) fn settings(self) -> server::Settings {
        server::Settings {
            shutdown_grace: self.shutdown_grace,
            sendfile: self.sendfile,
            tls: self.tls.map(|tls| tls.settings),
            ..server::Settings::new(self.listen)
        }
    }
}

/// Reads `[server]`, `[server.tls]` and `[admin]`, whose tables these are, with that of `[server.acme]`.
pub(crate) fn read_server(
    reader: &mut Reader<'_>,
    [server, tls, acme, admin]: [&Table<'_>; 4],
    rule: PairRule<'_>,
) -> (ServerSection, Option<admin::Settings>) {
    let mut taken: Vec<(SocketAddr, Place)> = Vec::new();
    let is_tls = !tls.is_absent() || !acme.is_absent();
    let section = ServerSection {
        listen: read_plain_listen(reader, server, is_tls, &mut taken),
        tls: if is_tls { read_tls(reader, tls, !acme.is_absent(), rule, &mut taken) } else { None },
        domain: keys::DOMAIN.read(reader, server).map(|text| text.value),
        hosts: keys::HOSTS.read(reader, server).unwrap_or_default(),
        default_registry: keys::DEFAULT_REGISTRY.read(reader, server).filter(|text| text.value != OFF),
        proxy_protocol: read_proxy_protocol(reader, server),
        trusted_proxies: keys::TRUSTED_PROXIES.read(reader, server).unwrap_or_default(),
        shutdown_grace: keys::SHUTDOWN_GRACE.value(reader, server),
        sendfile: keys::SENDFILE.value(reader, server),
        sandbox: keys::SANDBOX.value(reader, server),
        wanted: Wanted {
            connections: keys::CONNECTION_COUNT_MAX.read(reader, server),
            per_client: keys::CLIENT_CONNECTION_COUNT_MAX.read(reader, server),
            answers: keys::ANSWER_COUNT_MAX.read(reader, server),
        },
        body_bytes_max: keys::BODY_BYTES_MAX.value(reader, server),
    };
    (section, read_admin(reader, admin, &mut taken))
}

fn read_proxy_protocol(reader: &mut Reader<'_>, server: &Table<'_>) -> bool {
    let is_on = keys::PROXY_PROTOCOL.value(reader, server);
    if is_on && !server.has(keys::TRUSTED_PROXIES.name) {
        let place = reader.place(server, keys::PROXY_PROTOCOL.name);
        reader.refuse(
            &place,
            "believes the proxies of trusted_proxies, and there is none; name their addresses",
        );
    }
    is_on
}

/// The addresses without TLS; none if they are off and there is TLS.
fn read_plain_listen(
    reader: &mut Reader<'_>,
    server: &Table<'_>,
    is_tls: bool,
    taken: &mut Vec<(SocketAddr, Place)>,
) -> Vec<SocketAddr> {
    let is_off = keys::LISTEN.read(reader, server).is_some_and(|texts| match &texts[..] {
        [] => true,
        [text] => text.value == OFF,
        _ => false,
    });
    if !is_off {
        return read_listen(reader, server, &keys::LISTEN, taken);
    }
    if !is_tls {
        let place = reader.place(server, keys::LISTEN.name);
        let wrong = format!(
            "is off, and without [server.tls] nothing would listen; write an address such as {:?}",
            keys::LISTEN.written()
        );
        reader.refuse(&place, wrong);
    }
    Vec::new()
}

/// The addresses of `[server]` or of `[server.tls]`.
fn read_listen(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    key: &Key<Vec<Text>>,
    taken: &mut Vec<(SocketAddr, Place)>,
) -> Vec<SocketAddr> {
    let Some(texts) = key.read(reader, table) else { return vec![listen_default(key.written(), taken)] };
    if texts.is_empty() {
        let place = reader.place(table, key.name);
        reader.refuse(&place, format!("is an empty list; write an address such as {:?}", key.written()));
    }
    texts.iter().filter_map(|text| claim_listener(reader, text, taken)).collect()
}

/// `[server.tls]`. With an authority (`is_acme`) it needs no pair.
fn read_tls(
    reader: &mut Reader<'_>,
    tls: &Table<'_>,
    is_acme: bool,
    rule: PairRule<'_>,
    taken: &mut Vec<(SocketAddr, Place)>,
) -> Option<TlsSection> {
    let listen = read_listen(reader, tls, &keys::TLS_LISTEN, taken);
    let has_pair = tls.has(keys::CERT_FILE.name) || tls.has(keys::KEY_FILE.name);
    let default = if is_acme && !has_pair { Some(None) } else { read_default_pair(reader, tls).map(Some) };
    let further = keys::CERTIFICATE.read(reader, tls).unwrap_or_default();
    let redirect_port = read_redirect(reader, tls, &listen);
    let client_ca = keys::CLIENT_CA_FILE.read(reader, tls);
    let named: Vec<NamedPair> = default?.into_iter().chain(further).collect();
    let pairs = reader.pairs(&named, rule);
    let client_verifier = client_ca.as_deref().and_then(|pem| match certificates::client::verifier(pem) {
        Ok(verifier) => Some(verifier),
        Err(error) => {
            let place = reader.place(tls, keys::CLIENT_CA_FILE.name);
            reader.refuse_value(&place, &format!("{error}; name the certificates of authorities"))
        }
    });
    let settings =
        TlsSettings { redirect_port, client_verifier, ..TlsSettings::new(listen, pairs::set_of(&pairs)) };
    Some(TlsSection { settings, pairs, client_ca, is_acme, place: reader.place(tls, keys::CERT_FILE.name) })
}

fn read_default_pair(reader: &mut Reader<'_>, tls: &Table<'_>) -> Option<NamedPair> {
    let has = |key: &str| tls.has(key);
    let [certificate, key] = [keys::CERT_FILE.name, keys::KEY_FILE.name];
    for key in [certificate, key].into_iter().filter(|key| !has(key)) {
        let place = tls.place();
        let also = match &place {
            Place::Outside(_) => format!(" with {}", variable_of(keys::TLS.name, key)),
            Place::Line { .. } => String::new(),
        };
        reader.refuse(&place, format!("{key} is missing; name a file in PEM form{also}"));
    }
    // Half a pair is not loaded, but its own mistakes are told.
    if has(certificate) != has(key) {
        let _ = if has(certificate) {
            reader.certificates(tls, certificate)
        } else {
            reader.private_key(tls, key)
        };
        return None;
    }
    let (certificate, key) = (keys::CERT_FILE.read(reader, tls), keys::KEY_FILE.read(reader, tls));
    Some(NamedPair { certificate: certificate?, key: key? })
}

/// The port to which the plain listeners redirect, if they do.
fn read_redirect(reader: &mut Reader<'_>, tls: &Table<'_>, listen: &[SocketAddr]) -> Option<u16> {
    let port = keys::REDIRECT_TO.read(reader, tls).and_then(|port| u16::try_from(port).ok());
    match keys::PLAIN.value(reader, tls) {
        Plain::Redirect => port.or_else(|| listen.first().map(SocketAddr::port)),
        Plain::Serve => {
            if port.is_some() {
                let place = reader.place(tls, keys::REDIRECT_TO.name);
                reader.warn(
                    &place,
                    "has no effect without plain = \"redirect\"; add it, or leave this key out",
                );
            }
            None
        }
    }
}

fn read_admin(
    reader: &mut Reader<'_>,
    admin: &Table<'_>,
    taken: &mut Vec<(SocketAddr, Place)>,
) -> Option<admin::Settings> {
    let hosts = keys::ADMIN_HOSTS.read(reader, admin).unwrap_or_default();
    let token = keys::TOKEN_FILE.read(reader, admin);
    let listen = match keys::ADMIN_LISTEN.read(reader, admin) {
        Some(text) if text.value == OFF => return None,
        Some(text) => match text.value.strip_prefix(SOCKET_FILE_PREFIX) {
            Some(path) => ListenAddress::File(read_socket_file(reader, admin, &text, path)?),
            None => claim_listener(reader, &text, taken)?.into(),
        },
        None if admin.has(keys::ADMIN_LISTEN.name) => return None,
        None => {
            let default =
                keys::ADMIN_LISTEN.written().parse().expect("the default addresses are well formed");
            if let Some((other, place)) = taken.iter().find(|(other, _)| listeners_overlap(other, &default)) {
                let wrong = format!(
                    "{other} is the default address of the admin listener; set listen of [admin] to another \
                     address or to \"off\", or change this port"
                );
                let place = place.clone();
                reader.refuse(&place, wrong);
                return None;
            }
            listen_default(keys::ADMIN_LISTEN.written(), taken).into()
        }
    };
    if listen.file().is_none() && admin.has(keys::SOCKET_MODE.name) {
        let place = reader.place(admin, keys::SOCKET_MODE.name);
        reader.warn(&place, "has no effect without listen = \"unix:/PATH\"; leave it out");
    }
    if listen.ip().is_some_and(|it| !it.ip().is_loopback()) && !admin.has(keys::TOKEN_FILE.name) {
        let place = reader.place(admin, keys::ADMIN_LISTEN.name);
        let wrong = "can be reached from other machines and needs a token; \
                     add token_file, or listen on 127.0.0.1";
        reader.refuse(&place, wrong);
    }
    Some(admin::Settings { listen, token, hosts: hosts.into_iter().map(|host| host.value).collect() })
}

/// The socket file of the admin listener. The commands find it from any working directory.
fn read_socket_file(
    reader: &mut Reader<'_>,
    admin: &Table<'_>,
    text: &Text,
    path: &str,
) -> Option<SocketFile> {
    let mode = keys::SOCKET_MODE.value(reader, admin);
    match parse_socket_path(path) {
        Ok(path) => Some(SocketFile { path, mode }),
        Err(wrong) => reader.refuse_value(&text.place, &format!("{:?}: {wrong}", text.written)),
    }
}

/// An address that no other listener uses.
fn claim_listener(
    reader: &mut Reader<'_>,
    text: &Text,
    taken: &mut Vec<(SocketAddr, Place)>,
) -> Option<SocketAddr> {
    let address = match parse_listen(&text.value) {
        Ok(address) => address,
        Err(wrong) => {
            reader.refuse(&text.place, format!("{:?}: {wrong}", text.written));
            return None;
        }
    };
    if let Some((other, place)) = taken.iter().find(|(other, _)| listeners_overlap(other, &address)) {
        let wrong = format!(
            "{address} is already taken by {other} ({}); leave one out, or change a port",
            place.name()
        );
        reader.refuse(&text.place, wrong);
        return None;
    }
    taken.push((address, text.place.clone()));
    Some(address)
}

fn listen_default(address: &str, taken: &mut Vec<(SocketAddr, Place)>) -> SocketAddr {
    let address = address.parse().expect("the default addresses are well formed");
    taken.push((address, Place::Outside("the default".to_owned())));
    address
}

pub(crate) fn read_log(reader: &mut Reader<'_>, log: &Table<'_>) -> Log {
    Log {
        level: keys::LEVEL.value(reader, log),
        format: keys::FORMAT.read(reader, log),
        access: keys::ACCESS.value(reader, log),
    }
}

/// The variable with the default of `root`. An image sets it, so that a configuration file which is added
/// later keeps the store. `WHARF_STORAGE_ROOT` overrides the file; the file overrides this one.
pub(crate) const ROOT_VARIABLE: &str = "WHARF_ROOT";

/// The directory for the stores of registries that set no `root`.
pub(crate) fn read_storage_root(reader: &mut Reader<'_>, storage: &Table<'_>) -> PathBuf {
    let root = keys::STORAGE_ROOT.read(reader, storage).filter(|root| {
        if root.value.is_empty() {
            reader.refuse(&root.place, "is empty; write a directory, or leave the key out");
        }
        !root.value.is_empty()
    });
    let default = || reader.variable(ROOT_VARIABLE).unwrap_or_else(|| ROOT_DEFAULT.to_owned());
    PathBuf::from(root.map_or_else(default, |root| root.value))
}
