//! The keys of `[server.acme]`.

use std::time::Duration;

use acme::Algorithm;
use secret::Secret;

use super::super::challenge_kind::Kind;
use super::super::form::{self, Form, Shape};
use super::super::key::{Group, Key, Preset, Section};
use super::super::reader::Text;

const KINDS: [(&str, Kind); 3] = [("http-01", Kind::Http), ("tls-alpn-01", Kind::Tls), ("dns-01", Kind::Dns)];

const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("hmac-sha256", Algorithm::Sha256),
    ("hmac-sha384", Algorithm::Sha384),
    ("hmac-sha512", Algorithm::Sha512),
];

pub(crate) static TERMS_AGREED: Key<bool> = Key {
    name: "terms_agreed",
    form: form::FLAG,
    default: Preset::Required,
    reloadable: true,
    doc: "Must be `true`: it says that you agree to the terms of service of the authority.",
};

pub(crate) static CONTACT: Key<Vec<Text>> = Key {
    name: "contact",
    form: form::TEXTS,
    default: Preset::Absent,
    reloadable: true,
    doc: "Mail addresses for messages of the authority. It gets them when the account is made.",
};

pub(crate) static DIRECTORY: Key<Text> = Key {
    name: "directory",
    form: form::UPSTREAM,
    default: Preset::Written("https://acme-v02.api.letsencrypt.org/directory"),
    reloadable: true,
    doc: "The URL of the authority's directory. Each authority has an account and certificates of its own.",
};

pub(crate) static CA_FILE: Key<Vec<u8>> = Key {
    name: "ca_file",
    form: form::CERTIFICATES,
    default: Preset::Absent,
    reloadable: true,
    doc: "Certificates in PEM that also verify the authority's own server, for a private one.",
};

pub(crate) static NAMES: Key<Vec<Text>> = Key {
    name: "names",
    form: form::HOSTS,
    default: Preset::Computed("every virtual host; `wharf check` lists them"),
    reloadable: true,
    doc: "The host names that get certificates, in place of every virtual host.",
};

pub(crate) static WILDCARD: Key<bool> = Key {
    name: "wildcard",
    form: form::FLAG,
    default: Preset::Value(false),
    reloadable: true,
    doc: "Covers the names below `domain` by wildcards, such as `*.<domain>` and `*.io.<domain>`. Needs `dns-01`.",
};

pub(crate) static STATE_DIR: Key<Text> = Key {
    name: "state_dir",
    form: form::PATH,
    default: Preset::Computed("`_acme` in `root` of `[storage]`"),
    reloadable: false,
    doc: "The directory of the account, the certificates and their keys. Created if missing; one process at a \
          time uses it.",
};

pub(crate) static CHALLENGE: Key<Kind> = Key {
    name: "challenge",
    form: Form {
        shape: Shape::Word(|| KINDS.iter().map(|(word, _)| *word).collect()),
        read: |reader, table, key| reader.choice(table, key, &KINDS),
        show: |kind| word_of(&KINDS, *kind),
    },
    default: Preset::Value(Kind::Http),
    reloadable: true,
    doc: "How the authority checks each name: by plain HTTP at port 80 (`http-01`), by TLS at port 443 \
          (`tls-alpn-01`), or by a record in the DNS (`dns-01`).",
};

pub(crate) static EAB_KEY_ID: Key<Text> = Key {
    name: "eab_key_id",
    form: form::TEXT,
    default: Preset::Absent,
    reloadable: true,
    doc: "The name of the key for external account binding, if the authority wants one.",
};

pub(crate) static EAB_KEY: Key<Text> = Key {
    name: "eab_key",
    form: form::PASSWORD,
    default: Preset::Absent,
    reloadable: true,
    doc: "That key, in base64 as the authority gave it out; better `${VARIABLE}` than the key itself.",
};

pub(crate) static EAB_KEY_FILE: Key<Secret<String>> = Key {
    name: "eab_key_file",
    form: form::SECRET_FILE,
    default: Preset::Absent,
    reloadable: true,
    doc: "A file with that key, in place of `eab_key`.",
};

pub(crate) static DNS_SERVER: Key<Text> = Key {
    name: "dns_server",
    form: Form { shape: Shape::Address, ..form::ADDRESS },
    default: Preset::Absent,
    reloadable: true,
    doc: "For `dns-01`: the server that takes updates of the zone (RFC 2136), as `192.0.2.53:53`.",
};

pub(crate) static DNS_RESOLVER: Key<Text> = Key {
    name: "dns_resolver",
    form: Form { shape: Shape::Address, ..form::ADDRESS },
    default: Preset::Computed("`dns_server`"),
    reloadable: true,
    doc: "The server that is asked whether `_acme-challenge.<name>` is an alias (CNAME) of a record elsewhere.",
};

pub(crate) static DNS_KEY_NAME: Key<Text> = Key {
    name: "dns_key_name",
    form: form::TEXT,
    default: Preset::Absent,
    reloadable: true,
    doc: "The name of the key that signs updates (TSIG).",
};

pub(crate) static DNS_KEY_ALGORITHM: Key<Algorithm> = Key {
    name: "dns_key_algorithm",
    form: Form {
        shape: Shape::Word(|| ALGORITHMS.iter().map(|(word, _)| *word).collect()),
        read: |reader, table, key| reader.choice(table, key, &ALGORITHMS),
        show: |algorithm| word_of(&ALGORITHMS, *algorithm),
    },
    default: Preset::Value(Algorithm::Sha256),
    reloadable: true,
    doc: "The algorithm of that key.",
};

pub(crate) static DNS_KEY: Key<Text> = Key {
    name: "dns_key",
    form: form::PASSWORD,
    default: Preset::Absent,
    reloadable: true,
    doc: "The secret of that key in base64, as `tsig-keygen` prints it; better `${VARIABLE}` than the secret itself.",
};

pub(crate) static DNS_KEY_FILE: Key<Secret<String>> = Key {
    name: "dns_key_file",
    form: form::SECRET_FILE,
    default: Preset::Absent,
    reloadable: true,
    doc: "A file with that secret, in place of `dns_key`.",
};

pub(crate) static DNS_HOOK: Key<Text> = Key {
    name: "dns_hook",
    form: form::PATH,
    default: Preset::Absent,
    reloadable: true,
    doc: "For `dns-01`: a program that makes the records, in place of `dns_server`. It gets `present` or `cleanup`, \
          the record's name and its value. The [sandbox](../explanation/sandbox.md) is off with it.",
};

pub(crate) static DNS_HOOK_VARIABLES: Key<Vec<Text>> = Key {
    name: "dns_hook_variables",
    form: form::TEXTS,
    default: Preset::Absent,
    reloadable: true,
    doc: "Names of wharf's own variables that the hook gets as well, such as the token of a DNS provider.",
};

pub(crate) static DNS_WAIT: Key<Duration> = Key {
    name: "dns_wait",
    form: form::TIME,
    default: Preset::Value(Duration::from_secs(10)),
    reloadable: true,
    doc: "The time that the zone's other servers get to learn the records before the authority looks. At most \
          `10m`.",
};

pub(crate) static ACME: Section = Section {
    name: "server.acme",
    doc: "Certificates from an authority that speaks ACME, such as Let's Encrypt, for every virtual host. See \
          [Certificates from Let's Encrypt](../how-to/acme.md).",
    groups: &[
        Group {
            is_shared: false,
            keys: &[
                &TERMS_AGREED,
                &CONTACT,
                &DIRECTORY,
                &CA_FILE,
                &CHALLENGE,
                &NAMES,
                &WILDCARD,
                &STATE_DIR,
                &EAB_KEY_ID,
                &EAB_KEY,
                &EAB_KEY_FILE,
            ],
        },
        Group {
            is_shared: false,
            keys: &[
                &DNS_SERVER,
                &DNS_RESOLVER,
                &DNS_KEY_NAME,
                &DNS_KEY_ALGORITHM,
                &DNS_KEY,
                &DNS_KEY_FILE,
                &DNS_HOOK,
                &DNS_HOOK_VARIABLES,
                &DNS_WAIT,
            ],
        },
    ],
    subsections: &[],
};

fn word_of<T: Copy + PartialEq>(words: &[(&str, T)], value: T) -> String {
    words.iter().find(|(_, own)| *own == value).map(|(word, _)| (*word).to_owned()).unwrap_or_default()
}
