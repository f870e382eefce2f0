//! `[server]`, `[admin]`, `[log]` and `[storage]`: what belongs to the process and to no registry.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use server::{AdminSettings, TlsIdentity, TlsSettings};

use super::address::{listeners_overlap, parse_host, parse_listen};
use super::reader::{Reader, Table, Text};
use super::remark::Place;

pub(crate) const SERVER_KEYS: [&str; 11] = [
    "listen",
    "domain",
    "hosts",
    "default_registry",
    "shutdown_grace",
    "sendfile",
    "connection_count_max",
    "client_connection_count_max",
    "answer_count_max",
    "body_bytes_max",
    "tls",
];
pub(crate) const TLS_KEYS: [&str; 3] = ["listen", "cert_file", "key_file"];
pub(crate) const ADMIN_KEYS: [&str; 3] = ["listen", "token_file", "hosts"];
pub(crate) const STORAGE_KEYS: [&str; 1] = ["root"];
pub(crate) const LOG_KEYS: [&str; 3] = ["level", "format", "access"];

const LISTEN_DEFAULT: &str = "0.0.0.0:5000";
const TLS_LISTEN_DEFAULT: &str = "0.0.0.0:5443";
const ADMIN_LISTEN_DEFAULT: &str = "127.0.0.1:5001";
/// What stands in place of an address where nothing is to listen.
const OFF: &str = "off";
const ROOT_DEFAULT: &str = "./wharf-data";
/// The highest bound that can be set: more than one process has descriptors for.
const COUNT_MAX: i64 = 1 << 24;

/// The least that bodies must have of memory, in bytes: a quarter of it has room for one manifest of the largest size.
const BODY_BYTES_MIN: usize = 16 << 20;
/// The most that can be set: more than machines have.
const BODY_BYTES_MAX: i64 = 1 << 40;

const SHUTDOWN_GRACE_DEFAULT: Duration = Duration::from_secs(60);

/// `[server]`, apart from what the server's own settings hold.
pub(crate) struct ServerSection {
    pub(crate) listen: Vec<SocketAddr>,
    /// With the place of its certificate.
    pub(crate) tls: Option<(TlsSettings, Place)>,
    pub(crate) domain: Option<String>,
    /// Names of wharf itself.
    pub(crate) hosts: Vec<Text>,
    /// The names by which the admin listener is asked for, beside addresses and `localhost`.
    pub(crate) admin_hosts: Vec<String>,
    pub(crate) default_registry: Option<Text>,
    pub(crate) shutdown_grace: Duration,
    pub(crate) sendfile: bool,
    pub(crate) connection_count_max: Option<usize>,
    pub(crate) client_connection_count_max: Option<usize>,
    pub(crate) answer_count_max: Option<usize>,
    pub(crate) body_bytes_max: Option<usize>,
}

/// How the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) level: tracing::Level,
    /// None: whatever suits who reads it.
    pub(crate) format: Option<LogFormat>,
    /// Whether each request gets a line.
    pub(crate) access: bool,
}

/// The shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
    /// For people: what matters first, and no more than fits on a screen.
    Short,
}

const LEVELS: [(&str, tracing::Level); 5] = [
    ("error", tracing::Level::ERROR),
    ("warn", tracing::Level::WARN),
    ("info", tracing::Level::INFO),
    ("debug", tracing::Level::DEBUG),
    ("trace", tracing::Level::TRACE),
];

impl ServerSection {
    /// The settings of the server that this section and `admin` make.
    pub(crate) fn settings(self, admin: Option<AdminSettings>) -> server::Settings {
        let defaults = server::Settings::new(self.listen);
        let connection_count_max = self.connection_count_max.unwrap_or(defaults.connection_count_max);
        server::Settings {
            admin,
            admin_hosts: self.admin_hosts,
            shutdown_grace: self.shutdown_grace,
            sendfile: self.sendfile,
            tls: self.tls.map(|(tls, _)| tls),
            connection_count_max,
            // However many one client opens, as many are left for the others.
            client_connection_count_max: self
                .client_connection_count_max
                .unwrap_or(connection_count_max.div_ceil(2)),
            answer_count_max: self.answer_count_max.unwrap_or(defaults.answer_count_max),
            ..defaults
        }
    }
}

pub(crate) fn read_server(
    reader: &mut Reader<'_>,
    server: &Table<'_>,
    admin: &Table<'_>,
) -> (ServerSection, Option<AdminSettings>) {
    let mut taken: Vec<(SocketAddr, Place)> = Vec::new();
    let listen = read_plain_listen(reader, server, &mut taken);
    let tls = read_tls(reader, server, &mut taken);
    let domain = reader.text_or_nothing(server, "domain").and_then(|text| match parse_host(&text.value) {
        Ok(domain) => Some(domain),
        Err(wrong) => {
            reader.refuse(&text.place, wrong);
            None
        }
    });
    let section = ServerSection {
        listen,
        tls,
        domain,
        hosts: read_hosts(reader, server),
        admin_hosts: read_hosts(reader, admin).into_iter().map(|host| host.value).collect(),
        default_registry: reader.text_or_nothing(server, "default_registry"),
        shutdown_grace: reader.duration(server, "shutdown_grace").unwrap_or(SHUTDOWN_GRACE_DEFAULT),
        sendfile: reader.flag(server, "sendfile").unwrap_or(true),
        connection_count_max: reader.count(server, "connection_count_max", COUNT_MAX),
        client_connection_count_max: reader.count(server, "client_connection_count_max", COUNT_MAX),
        answer_count_max: reader.count(server, "answer_count_max", COUNT_MAX),
        body_bytes_max: read_body_bytes(reader, server),
    };
    (section, read_admin(reader, admin, &mut taken))
}

/// Where clients connect without TLS: nowhere, if that is said and there is TLS.
fn read_plain_listen(
    reader: &mut Reader<'_>,
    server: &Table<'_>,
    taken: &mut Vec<(SocketAddr, Place)>,
) -> Vec<SocketAddr> {
    let is_off = reader.texts(server, "listen").is_some_and(|texts| match &texts[..] {
        [] => true,
        [text] => text.value == OFF,
        _ => false,
    });
    if !is_off {
        return read_listen(reader, server, LISTEN_DEFAULT, taken);
    }
    if !server.has("tls") {
        let place = reader.place(server, "listen");
        let wrong = format!(
            "is off, and without [server.tls] nothing would listen; write an address such as {LISTEN_DEFAULT:?}"
        );
        reader.refuse(&place, wrong);
    }
    Vec::new()
}

fn read_body_bytes(reader: &mut Reader<'_>, server: &Table<'_>) -> Option<usize> {
    let bytes = reader.count(server, "body_bytes_max", BODY_BYTES_MAX)?;
    if bytes < BODY_BYTES_MIN {
        let place = reader.place(server, "body_bytes_max");
        let wrong = format!("is too little for a large manifest; write at least {BODY_BYTES_MIN} (16 MiB)");
        reader.refuse(&place, wrong);
    }
    Some(bytes)
}

/// The public listener's addresses, of `[server]` or of `[server.tls]`.
fn read_listen(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    default: &str,
    taken: &mut Vec<(SocketAddr, Place)>,
) -> Vec<SocketAddr> {
    let Some(texts) = reader.texts(table, "listen") else { return vec![listen_default(default, taken)] };
    if texts.is_empty() {
        let place = reader.place(table, "listen");
        reader.refuse(&place, format!("is an empty list; write an address such as {default:?}"));
    }
    texts.iter().filter_map(|text| claim_listener(reader, text, taken)).collect()
}

/// The names in `hosts`.
fn read_hosts(reader: &mut Reader<'_>, table: &Table<'_>) -> Vec<Text> {
    let mut hosts = Vec::new();
    for text in reader.texts(table, "hosts").unwrap_or_default() {
        match parse_host(&text.value) {
            Ok(value) => hosts.push(Text { value, ..text }),
            Err(wrong) => reader.refuse(&text.place, format!("{:?}: {wrong}", text.written)),
        }
    }
    hosts
}

/// `[server.tls]`; without that section, no TLS is spoken.
fn read_tls(
    reader: &mut Reader<'_>,
    server: &Table<'_>,
    taken: &mut Vec<(SocketAddr, Place)>,
) -> Option<(TlsSettings, Place)> {
    if !server.has("tls") {
        return None;
    }
    let tls = reader.section(server, "tls", &TLS_KEYS);
    let listen = read_listen(reader, &tls, TLS_LISTEN_DEFAULT, taken);
    for key in ["cert_file", "key_file"] {
        if !tls.has(key) {
            reader.refuse(&tls.place(), format!("{key} is missing; name a file in PEM form"));
        }
    }
    let chain = reader.certificates(&tls, "cert_file");
    let key = reader.private_key(&tls, "key_file");
    match TlsIdentity::from_pem(&chain?, &key?) {
        Ok(identity) => Some((TlsSettings { listen, identity }, reader.place(&tls, "cert_file"))),
        Err(error) => {
            let place = reader.place(&tls, "key_file");
            reader.refuse(&place, format!("{error}; name the key that the certificate was made for"));
            None
        }
    }
}

fn read_admin(
    reader: &mut Reader<'_>,
    admin: &Table<'_>,
    taken: &mut Vec<(SocketAddr, Place)>,
) -> Option<AdminSettings> {
    let token = if admin.has("token_file") { reader.secret_file(admin, "token_file") } else { None };
    let listen = match reader.text(admin, "listen") {
        Some(text) if text.value == OFF => return None,
        Some(text) => claim_listener(reader, &text, taken)?,
        None if admin.has("listen") => return None,
        None => {
            let default = ADMIN_LISTEN_DEFAULT.parse().expect("the default addresses are well formed");
            if let Some((other, place)) = taken.iter().find(|(other, _)| listeners_overlap(other, &default)) {
                let wrong = format!(
                    "{other} is where the admin listener is by default; set listen of [admin] to another \
                     address or to \"off\", or change this port"
                );
                let place = place.clone();
                reader.refuse(&place, wrong);
                return None;
            }
            listen_default(ADMIN_LISTEN_DEFAULT, taken)
        }
    };
    if !listen.ip().is_loopback() && !admin.has("token_file") {
        let place = reader.place(admin, "listen");
        let wrong = "can be reached from other machines and needs a token; \
                     add token_file, or listen on 127.0.0.1";
        reader.refuse(&place, wrong);
    }
    Some(AdminSettings { listen, token })
}

/// An address nobody listens on yet.
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
        let wrong =
            format!("{address} is taken by {other} ({}) already; leave one out, or change a port", place.key);
        reader.refuse(&text.place, wrong);
        return None;
    }
    taken.push((address, text.place.clone()));
    Some(address)
}

fn listen_default(address: &str, taken: &mut Vec<(SocketAddr, Place)>) -> SocketAddr {
    let address = address.parse().expect("the default addresses are well formed");
    taken.push((address, Place { line: 1, key: "the default".to_owned() }));
    address
}

pub(crate) fn read_log(reader: &mut Reader<'_>, log: &Table<'_>) -> Log {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json), ("short", LogFormat::Short)];
    Log {
        level: reader.choice(log, "level", &LEVELS).unwrap_or(tracing::Level::INFO),
        format: reader.choice(log, "format", &formats),
        access: reader.flag(log, "access").unwrap_or(true),
    }
}

/// The variable that says where to store where the file does not. An image sets it, so that a file which is added later
/// finds what was stored without one.
const ROOT_VARIABLE: &str = "WHARF_ROOT";

/// The directory under which registries without a root of their own store.
pub(crate) fn read_storage_root(reader: &mut Reader<'_>, storage: &Table<'_>) -> PathBuf {
    let root = reader.path(storage, "root").filter(|root| {
        if root.value.is_empty() {
            reader.refuse(&root.place, "is empty; write a directory, or leave the key out");
        }
        !root.value.is_empty()
    });
    let default = || reader.variable(ROOT_VARIABLE).unwrap_or_else(|| ROOT_DEFAULT.to_owned());
    PathBuf::from(root.map_or_else(default, |root| root.value))
}
