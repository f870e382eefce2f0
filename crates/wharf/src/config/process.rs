//! `[server]`, `[admin]`, `[log]` and `[storage]`: what belongs to the process and to no registry.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use server::{AdminSettings, TlsIdentity, TlsSettings};

use super::address::{listeners_overlap, parse_host, parse_listen};
use super::reader::{Reader, Table, Text};
use super::remark::Place;

pub(crate) const SERVER_KEYS: [&str; 10] = [
    "listen",
    "domain",
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
pub(crate) const ADMIN_KEYS: [&str; 2] = ["listen", "token_file"];
pub(crate) const STORAGE_KEYS: [&str; 1] = ["root"];
pub(crate) const LOG_KEYS: [&str; 3] = ["level", "format", "access"];

const LISTEN_DEFAULT: &str = "0.0.0.0:5000";
const TLS_LISTEN_DEFAULT: &str = "0.0.0.0:5443";
const ADMIN_LISTEN_DEFAULT: &str = "127.0.0.1:5001";
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
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) domain: Option<String>,
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
    pub(crate) format: LogFormat,
    /// Whether each request gets a line.
    pub(crate) access: bool,
}

/// The shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
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
            shutdown_grace: self.shutdown_grace,
            sendfile: self.sendfile,
            tls: self.tls,
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
    let listen = read_listen(reader, server, LISTEN_DEFAULT, &mut taken);
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

/// `[server.tls]`; without that section, no TLS is spoken.
fn read_tls(
    reader: &mut Reader<'_>,
    server: &Table<'_>,
    taken: &mut Vec<(SocketAddr, Place)>,
) -> Option<TlsSettings> {
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
        Ok(identity) => Some(TlsSettings { listen, identity }),
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
        Some(text) if text.value == "off" => return None,
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
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    Log {
        level: reader.choice(log, "level", &LEVELS).unwrap_or(tracing::Level::INFO),
        format: reader.choice(log, "format", &formats).unwrap_or(LogFormat::Text),
        access: reader.flag(log, "access").unwrap_or(true),
    }
}

/// The directory under which registries without a root of their own store.
pub(crate) fn read_storage_root(reader: &mut Reader<'_>, storage: &Table<'_>) -> PathBuf {
    let root = reader.path(storage, "root").filter(|root| {
        if root.value.is_empty() {
            reader.refuse(&root.place, "is empty; write a directory, or leave the key out");
        }
        !root.value.is_empty()
    });
    root.map_or_else(|| PathBuf::from(ROOT_DEFAULT), |root| PathBuf::from(root.value))
}
