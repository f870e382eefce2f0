//! The keys of `[server]`, `[server.tls]`, `[admin]`, `[storage]` and `[log]`.

use std::num::NonZeroU64;
use std::time::Duration;

use cache::ScrubSettings;
use policy::access::Network;
use policy::eviction::Cap;
use secret::Secret;

use super::super::form::{self, Form, Shape, Unit};
use super::super::key::{Group, Key, Preset, Section};
use super::super::log::LogFormat;
use super::super::pairs::{self, NamedPair};
use super::super::plain::Plain;
use super::super::reader::Text;

/// The highest limit that can be set; no process has so many descriptors.
const COUNT_MAX: usize = 1 << 24;

/// The least memory for bodies, in bytes: a quarter of it holds one manifest of the largest size.
const BODY_BYTES_MIN: usize = 16 << 20;
/// The most memory that can be set, in bytes; no machine has so much.
const MEMORY_BYTES_MAX: usize = 1 << 40;

const LEVELS: [(&str, tracing::Level); 5] = [
    ("error", tracing::Level::ERROR),
    ("warn", tracing::Level::WARN),
    ("info", tracing::Level::INFO),
    ("debug", tracing::Level::DEBUG),
    ("trace", tracing::Level::TRACE),
];

const PLAINS: [(&str, Plain); 2] = [("serve", Plain::Serve), ("redirect", Plain::Redirect)];

const FORMATS: [(&str, LogFormat); 3] =
    [("text", LogFormat::Text), ("json", LogFormat::Json), ("short", LogFormat::Short)];

const BODY_BYTES: Form<usize> = Form {
    shape: Shape::Count { min: BODY_BYTES_MIN, max: MEMORY_BYTES_MAX, unit: Unit::Bytes },
    read: |reader, table, key| {
        let bytes = reader.count(table, key, 1..=MEMORY_BYTES_MAX)?;
        if bytes < BODY_BYTES_MIN {
            let place = reader.place(table, key);
            let wrong =
                format!("is too little for a large manifest; write at least {BODY_BYTES_MIN} (16 MiB)");
            return reader.refuse_value(&place, &wrong);
        }
        Some(bytes)
    },
    show: usize::to_string,
};

pub(crate) static LISTEN: Key<Vec<Text>> = Key {
    name: "listen",
    form: form::ADDRESSES_OR_OFF,
    default: Preset::Written("0.0.0.0:5000"),
    reloadable: false,
    doc: "Addresses for clients over plain HTTP. `[::]:5000` accepts IPv4 as well. With `[server.tls]` it \
          may be `\"off\"` (or `[]`): then every connection uses TLS.",
};

pub(crate) static DOMAIN: Key<Text> = Key {
    name: "domain",
    form: form::HOST,
    default: Preset::Absent,
    reloadable: true,
    doc: "Names below it are virtual hosts: `docker.io.<domain>`. See [How a registry is \
          chosen](#how-a-registry-is-chosen).",
};

pub(crate) static HOSTS: Key<Vec<Text>> = Key {
    name: "hosts",
    form: form::HOSTS,
    default: Preset::Absent,
    reloadable: true,
    doc: "Further names of wharf itself, without a port, such as `wharf.tools.svc.cluster.local`. Needed if \
          `domain` is set and clients use a name with a dot that is neither the domain nor a registry's: \
          wharf answers any other name with 404, because the owner of a web page can point its name at \
          wharf.",
};

pub(crate) static DEFAULT_REGISTRY: Key<Text> = Key {
    name: "default_registry",
    form: form::REGISTRY,
    default: Preset::Computed("`\"docker.io\"` with the built-in registries, else none"),
    reloadable: true,
    doc: "The registry for requests that name none. `\"off\"` (or `\"\"`): such requests get 404.",
};

pub(crate) static TRUSTED_PROXIES: Key<Vec<Network>> = Key {
    name: "trusted_proxies",
    form: form::NETWORKS,
    default: Preset::Absent,
    reloadable: true,
    doc: "Addresses of proxies whose `X-Forwarded-For` or `Forwarded` tells the client's address, for `[access]` \
          and the access log. See [Behind a proxy](../how-to/who-may-pull.md#behind-a-proxy).",
};

pub(crate) static PROXY_PROTOCOL: Key<bool> = Key {
    name: "proxy_protocol",
    form: form::FLAG,
    default: Preset::Value(false),
    reloadable: true,
    doc: "Whether `trusted_proxies` begin each connection with a header of the PROXY protocol, version 1 or 2. A \
          connection from one of them without it is closed.",
};

pub(crate) static SHUTDOWN_GRACE: Key<Duration> = Key {
    name: "shutdown_grace",
    form: form::TIME,
    default: Preset::Value(server::Settings::SHUTDOWN_GRACE),
    reloadable: true,
    doc: "The time for running answers to finish after SIGTERM or SIGINT.",
};

pub(crate) static SENDFILE: Key<bool> = Key {
    name: "sendfile",
    form: form::FLAG,
    default: Preset::Value(server::Settings::SENDFILE),
    reloadable: true,
    doc: "Passes stored blobs to the kernel as files instead of copying them through the process. Without \
          it, they cost 1.5 to 2 times the processor time. If the store's file system does not support it, \
          wharf copies them in any case. See [Serving without copying](../explanation/zero-copy.md).",
};

pub(crate) static SANDBOX: Key<bool> = Key {
    name: "sandbox",
    form: form::FLAG,
    default: Preset::Value(true),
    reloadable: false,
    doc: "Gives up every right that wharf does not need: it can write below its stores alone, start no \
          program, and make no system call that a server does not make. The log says what is in force. See \
          [The sandbox](../explanation/sandbox.md).",
};

pub(crate) static CONNECTION_COUNT_MAX: Key<usize> = Key {
    name: "connection_count_max",
    form: form::count::<COUNT_MAX>(),
    default: Preset::Value(policy::capacity::CONNECTIONS),
    reloadable: true,
    doc: "The most client connections at once. Further connections get 503 with `Retry-After`.",
};

pub(crate) static CLIENT_CONNECTION_COUNT_MAX: Key<usize> = Key {
    name: "client_connection_count_max",
    form: form::count::<COUNT_MAX>(),
    default: Preset::Computed("half of `connection_count_max`"),
    reloadable: true,
    doc: "The most connections of one client: an IPv4 address, or an IPv6 network of 64 bits. If all \
          clients come through one proxy or NAT address, set it as high as `connection_count_max`, unless \
          the proxy names each client with `proxy_protocol`.",
};

pub(crate) static ANSWER_COUNT_MAX: Key<usize> = Key {
    name: "answer_count_max",
    form: form::count::<COUNT_MAX>(),
    default: Preset::Value(policy::capacity::ANSWERS),
    reloadable: true,
    doc: "The most requests that are answered at once, whether they wait for an upstream or send a body. \
          Further ones get 503. See [Who may wait](#who-may-wait).",
};

pub(crate) static BODY_BYTES_MAX: Key<usize> = Key {
    name: "body_bytes_max",
    form: BODY_BYTES,
    default: Preset::Value(budget::BODY_BYTES_DEFAULT as usize),
    reloadable: true,
    doc: "The memory for all bodies together (64 MiB by default); at least 16 MiB. See [Memory for \
          bodies](#memory-for-bodies).",
};

pub(crate) static SERVER: Section = Section {
    name: "server",
    doc: "The listeners for clients, and their limits.",
    groups: &[Group {
        is_shared: false,
        keys: &[
            &LISTEN,
            &DOMAIN,
            &HOSTS,
            &DEFAULT_REGISTRY,
            &TRUSTED_PROXIES,
            &PROXY_PROTOCOL,
            &SHUTDOWN_GRACE,
            &SENDFILE,
            &SANDBOX,
            &CONNECTION_COUNT_MAX,
            &CLIENT_CONNECTION_COUNT_MAX,
            &ANSWER_COUNT_MAX,
            &BODY_BYTES_MAX,
        ],
    }],
    subsections: &["tls", "acme"],
};

pub(crate) static TLS_LISTEN: Key<Vec<Text>> = Key {
    name: "listen",
    form: form::ADDRESSES,
    default: Preset::Written("0.0.0.0:5443"),
    reloadable: false,
    doc: "Addresses for clients over TLS, in addition to `listen` of `[server]`, which may be off.",
};

pub(crate) static CERT_FILE: Key<Text> = Key {
    name: pairs::CERT_FILE,
    form: form::PATH,
    default: Preset::Computed("required, unless `[server.acme]` obtains certificates"),
    reloadable: true,
    doc: "The default certificate, followed by the rest of its chain, in PEM. Clients get it whose name no \
          certificate covers. See [which names it needs](../how-to/tls.md).",
};

pub(crate) static KEY_FILE: Key<Text> = Key {
    name: pairs::KEY_FILE,
    form: form::PATH,
    default: Preset::Computed("required with `cert_file`"),
    reloadable: true,
    doc: "Its private key in PEM, unencrypted.",
};

pub(crate) static CERTIFICATE: Key<Vec<NamedPair>> = Key {
    name: "certificate",
    form: pairs::PAIRS,
    default: Preset::Absent,
    reloadable: true,
    doc: "Further certificates, each for the names in it. See [Certificates](#certificates).",
};

pub(crate) static PLAIN: Key<Plain> = Key {
    name: "plain",
    form: Form {
        shape: Shape::Word(|| PLAINS.iter().map(|(word, _)| *word).collect()),
        read: |reader, table, key| reader.choice(table, key, &PLAINS),
        show: |plain| format!("{plain:?}").to_ascii_lowercase(),
    },
    default: Preset::Value(Plain::Serve),
    reloadable: true,
    doc: "What the addresses of `[server]`, which speak plain HTTP, do: `serve` like those with TLS, or \
          `redirect` every request but health checks to TLS, with status 308.",
};

pub(crate) static REDIRECT_TO: Key<usize> = Key {
    name: "redirect_to",
    form: form::count::<{ u16::MAX as usize }>(),
    default: Preset::Computed("the port of the first `listen`"),
    reloadable: true,
    doc: "The port in redirects, if clients reach TLS at another one than wharf listens on.",
};

pub(crate) static CLIENT_CA_FILE: Key<Vec<u8>> = Key {
    name: "client_ca_file",
    form: form::CERTIFICATES,
    default: Preset::Absent,
    reloadable: true,
    doc: "PEM certificates of the authorities that sign certificates of clients. A client may show one, and \
          `client_names` of `[access]` says what it opens. A certificate that does not hold ends the \
          handshake. It is checked in every handshake; a connection that is open stays open.",
};

pub(crate) static TLS: Section = Section {
    name: "server.tls",
    doc: "With this section wharf also speaks TLS (1.2 and 1.3, HTTP/1.1).",
    groups: &[Group {
        is_shared: false,
        keys: &[&TLS_LISTEN, &CERT_FILE, &KEY_FILE, &CERTIFICATE, &PLAIN, &REDIRECT_TO, &CLIENT_CA_FILE],
    }],
    subsections: &[],
};

pub(crate) static ADMIN_LISTEN: Key<Text> = Key {
    name: "listen",
    form: form::ADDRESS,
    default: Preset::Written("127.0.0.1:5001"),
    reloadable: false,
    doc: "Its address, or `\"unix:/run/wharf/admin.sock\"`: a Unix socket, which only processes of this machine \
          reach that may write to its file. Any address but loopback needs `token_file`; a socket needs none.",
};

pub(crate) static SOCKET_MODE: Key<u32> = Key {
    name: "socket_mode",
    form: form::MODE,
    default: Preset::Value(0o660),
    reloadable: false,
    doc: "The permissions of the socket's file, in octal digits.",
};

pub(crate) static TOKEN_FILE: Key<Secret<String>> = Key {
    name: "token_file",
    form: form::SECRET_FILE,
    default: Preset::Absent,
    reloadable: true,
    doc: "A file with one line, which clients must send as `Authorization: Bearer <line>`. `/livez` and \
          `/readyz` need no token.",
};

pub(crate) static ADMIN_HOSTS: Key<Vec<Text>> = Key {
    name: "hosts",
    form: form::HOSTS,
    default: Preset::Absent,
    reloadable: true,
    doc: "Names that a client without the token may use for this listener. Addresses and `localhost` are \
          always allowed.",
};

pub(crate) static ADMIN: Section = Section {
    name: "admin",
    doc: "The second listener: metrics, health, and the API behind the commands; `GET /` lists what it offers.",
    groups: &[Group { is_shared: false, keys: &[&ADMIN_LISTEN, &SOCKET_MODE, &TOKEN_FILE, &ADMIN_HOSTS] }],
    subsections: &[],
};

pub(crate) static STORAGE_ROOT: Key<Text> = Key {
    name: "root",
    form: form::PATH,
    default: Preset::Computed("`WHARF_ROOT` of the environment, else `\"./wharf-data\"`"),
    reloadable: false,
    doc: "The directory of all stores: a registry stores in `<root>/<its name>`, unless it sets its own \
          `root`. Created if missing.",
};

pub(crate) static STORAGE_MAX_SIZE: Key<Option<Cap>> = Key {
    name: "max_size",
    form: form::SIZE_OR_OFF,
    default: Preset::Value(Some(Cap::Percent(90))),
    reloadable: true,
    doc: "The most bytes that all stores together may take: `\"500GB\"`, `\"1.5TiB\"`, or a share of the file \
          system. Above it, the least recently used images of all registries go. See [Room](#room).",
};

pub(crate) static FREE_MIN: Key<Option<Cap>> = Key {
    name: "free_min",
    form: form::FREE_SIZE_OR_OFF,
    default: Preset::Value(Some(Cap::Percent(5))),
    reloadable: true,
    doc: "The bytes that stay free on the file system of each store, whoever takes the others. It wins over \
          every `max_size`.",
};

pub(crate) static SCRUB_EVERY: Key<Option<Duration>> = Key {
    name: "scrub_every",
    form: form::TIME_OR_OFF,
    default: Preset::Value(Some(ScrubSettings::EVERY)),
    reloadable: true,
    doc: "The time from the end of a scrub of a store to the begin of the next one. See [Scrubbing](#scrubbing).",
};

pub(crate) static SCRUB_RATE: Key<NonZeroU64> = Key {
    name: "scrub_rate",
    form: form::RATE,
    default: Preset::Value(ScrubSettings::BYTES_PER_SECOND),
    reloadable: true,
    doc: "The bytes per second that the scrubs of all stores together read. A small file counts as 64 KiB.",
};

pub(crate) static STORAGE: Section = Section {
    name: "storage",
    doc: "The place of the stores, the room that they may take together, and the scrub.",
    groups: &[
        Group { is_shared: false, keys: &[&STORAGE_ROOT, &STORAGE_MAX_SIZE, &FREE_MIN] },
        Group { is_shared: false, keys: &[&SCRUB_EVERY, &SCRUB_RATE] },
    ],
    subsections: &[],
};

pub(crate) static LEVEL: Key<tracing::Level> = Key {
    name: "level",
    form: Form {
        shape: Shape::Word(|| LEVELS.iter().map(|(word, _)| *word).collect()),
        read: |reader, table, key| reader.choice(table, key, &LEVELS),
        show: |level| level.as_str().to_ascii_lowercase(),
    },
    default: Preset::Value(tracing::Level::INFO),
    reloadable: true,
    doc: "The level of the log on standard error. Libraries log from `warn` up only.",
};

pub(crate) static FORMAT: Key<LogFormat> = Key {
    name: "format",
    form: Form {
        shape: Shape::Word(|| FORMATS.iter().map(|(word, _)| *word).collect()),
        read: |reader, table, key| reader.choice(table, key, &FORMATS),
        show: |format| format!("{format:?}").to_ascii_lowercase(),
    },
    default: Preset::Computed("`\"short\"` on a terminal, else `\"text\"`"),
    reloadable: false,
    doc: "The format of a line. `short` is for people: the most important fields first, in colours on a \
          terminal unless `NO_COLOR` is set.",
};

pub(crate) static ACCESS: Key<bool> = Key {
    name: "access",
    form: form::FLAG,
    default: Preset::Value(true),
    reloadable: true,
    doc: "Whether each request gets a line, at any `level`. See [access-log.md](access-log.md).",
};

pub(crate) static LOG: Section = Section {
    name: "log",
    doc: "The level and the format of the log.",
    groups: &[Group { is_shared: false, keys: &[&LEVEL, &FORMAT, &ACCESS] }],
    subsections: &[],
};
