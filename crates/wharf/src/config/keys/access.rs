//! The keys of `[access]`. `[registry.access]` has the same ones.

use access::{Tokens, Users};
use policy::access::{ClientRule, NamePattern, Network, Require};
use policy::image::ImagePattern;

use super::super::access_rules::RULES;
use super::super::form::{self, Form, Shape};
use super::super::key::{Group, Key, Preset, Section};

const REQUIRE_WORDS: [(&str, Require); 2] = [("any", Require::Any), ("all", Require::All)];

pub(crate) static USERS_FILE: Key<Users> = Key {
    name: "users_file",
    form: Form {
        shape: Shape::Path,
        read: |reader, table, key| reader.users_file(table, key),
        show: |_| String::new(),
    },
    default: Preset::Absent,
    reloadable: true,
    doc: "Users with their passwords: lines `user:hash` with bcrypt, as `htpasswd -nB USER` makes them. A change \
          counts within a few seconds.",
};

pub(crate) static TOKENS_FILE: Key<Tokens> = Key {
    name: "tokens_file",
    form: Form {
        shape: Shape::Path,
        read: |reader, table, key| reader.tokens_file(table, key),
        show: |_| String::new(),
    },
    default: Preset::Absent,
    reloadable: true,
    doc: "Bearer tokens: lines `name:token` or `name:sha256:<hex>`. A token is also the password of the user of \
          its name. Rules name it in `tokens`; those for `users` do not apply to it.",
};

pub(crate) static ADDRESSES: Key<Vec<Network>> = Key {
    name: "addresses",
    form: form::NETWORKS,
    default: Preset::Absent,
    reloadable: true,
    doc: "Addresses and networks of clients: `[\"10.0.0.0/8\", \"fd00::/8\"]`. Behind a proxy, see \
          `trusted_proxies` of `[server]`.",
};

pub(crate) static CLIENT_NAMES: Key<Vec<NamePattern>> = Key {
    name: "client_names",
    form: form::LOWER_CASE_NAMES,
    default: Preset::Absent,
    reloadable: true,
    doc: "Names in the certificates of clients, which `client_ca_file` of `[server.tls]` must have signed: the \
          common name, or a host name, mail address or URI among the alternative names. `\"*\"`: any.",
};

pub(crate) static REQUIRE: Key<Require> = Key {
    name: "require",
    form: Form {
        shape: Shape::Word(|| REQUIRE_WORDS.iter().map(|(word, _)| *word).collect()),
        read: |reader, table, key| reader.choice(table, key, &REQUIRE_WORDS),
        show: |require| {
            let word = REQUIRE_WORDS.iter().find(|(_, it)| it == require);
            word.map_or_else(String::new, |(word, _)| (*word).to_owned())
        },
    },
    default: Preset::Value(Require::Any),
    reloadable: true,
    doc: "Whether a client needs one of the ways above, or all. A password and a token are one way, a login.",
};

pub(crate) static ALLOW: Key<Vec<ImagePattern>> = Key {
    name: "allow",
    form: form::REPOSITORIES,
    default: Preset::Absent,
    reloadable: true,
    doc: "The only repositories that clients may read, with or without the registry: `[\"library/*\", \
          \"ghcr.io/org/*\"]`. `*` stands for any characters, `?` for one.",
};

pub(crate) static DENY: Key<Vec<ImagePattern>> = Key {
    name: "deny",
    form: form::REPOSITORIES,
    default: Preset::Absent,
    reloadable: true,
    doc: "Repositories that no client may read, whatever else is allowed.",
};

pub(crate) static RULE: Key<Vec<ClientRule>> = Key {
    name: "rule",
    form: RULES,
    default: Preset::Absent,
    reloadable: true,
    doc: "Rules for certain clients, each as a `[[access.rule]]`. See [Rules for certain \
          clients](#rules-for-certain-clients).",
};

pub(crate) static ACCESS: Section = Section {
    name: "access",
    doc: "Who may pull. Without this section everyone may.",
    groups: &[
        Group { is_shared: false, keys: &[&USERS_FILE, &TOKENS_FILE, &ADDRESSES, &CLIENT_NAMES, &REQUIRE] },
        Group { is_shared: false, keys: &[&ALLOW, &DENY, &RULE] },
    ],
    subsections: &[],
};

/// The keys of `[registry.access]` as variables and options name them, each with its name in the section.
pub(crate) const OF_A_REGISTRY: [(&str, &str); 8] = [
    ("access_users_file", "users_file"),
    ("access_tokens_file", "tokens_file"),
    ("access_addresses", "addresses"),
    ("access_client_names", "client_names"),
    ("access_require", "require"),
    ("access_allow", "allow"),
    ("access_deny", "deny"),
    ("access_rule", "rule"),
];
