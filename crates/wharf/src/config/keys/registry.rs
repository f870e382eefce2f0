//! The keys of `[[registry]]`, most of which `[defaults]` may hold too.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use credentials::Rule;
use policy::eviction::Cap;
use policy::freshness::{StaleLimit, TagRule, TagTtl, Upstream404};
use policy::image::ImagePattern;
use policy::no_proxy::NoProxyRule;
use url::Url;

use super::super::credential_rules::CREDENTIAL_RULES;
use super::super::form::{self, Form, Shape};
use super::super::key::{Group, Key, Preset, Section};
use super::super::reader::Text;
use super::super::remark::Place;
use super::super::tag_rules::TAG_RULES;

/// The highest number that can be set; no upstream welcomes more connections.
const CONNECTIONS_MAX: usize = 1000;

/// More tags than any repository has.
const KEEP_TAGS_MAX: usize = 1_000_000;

const KEEP_TAGS_COUNT: Shape = form::count::<KEEP_TAGS_MAX>().shape;

/// The most layers of one image that may be read ahead at a time.
const READ_AHEAD_MAX: usize = 100;

const MISSING: [(&str, Upstream404); 2] = [("404", Upstream404::NotFound), ("serve", Upstream404::Serve)];

/// With whose login wharf pulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// With wharf's own.
    Account,
    /// With that of each client.
    Passthrough,
}

const AUTHS: [(&str, Auth); 2] = [("account", Auth::Account), ("passthrough", Auth::Passthrough)];

pub(crate) static NAME: Key<Text> = Key {
    name: "name",
    form: Form { shape: Shape::Authority, ..form::TEXT },
    default: Preset::Required,
    reloadable: true,
    doc: "Its name in image references: `docker.io`, `registry.corp.example:8443`.",
};

pub(crate) static ALIASES: Key<Vec<Text>> = Key {
    name: "aliases",
    form: form::AUTHORITIES,
    default: Preset::Absent,
    reloadable: true,
    doc: "Further names for `ns`, path prefixes and virtual hosts. `docker.io` always has \
          `registry-1.docker.io` and `index.docker.io`.",
};

pub(crate) static HOSTS: Key<Vec<Text>> = Key {
    name: "hosts",
    form: form::HOSTS,
    default: Preset::Absent,
    reloadable: true,
    doc: "Further virtual hosts, written in full and without a port: `hub.example.com`.",
};

pub(crate) static UPSTREAM: Key<Vec<Text>> = Key {
    name: "upstream",
    form: form::UPSTREAMS,
    default: Preset::Computed("`https://<name>`; `https://registry-1.docker.io` for `docker.io`"),
    reloadable: true,
    doc: "The registry's address: `http` or `https`, host and port, and a path if it shares its host. No \
          credentials. See [An upstream below a path](#an-upstream-below-a-path). A list names further \
          addresses of the same registry, at most 8 in all, which stand in for the first one while it fails. \
          See [Several addresses](#several-addresses).",
};

pub(crate) static ROOT: Key<Text> = Key {
    name: "root",
    form: form::PATH,
    default: Preset::Computed("`<storage.root>/<name>`"),
    reloadable: false,
    doc: "A directory that only this registry uses.",
};

pub(crate) static USERNAME: Key<Text> = Key {
    name: "username",
    form: form::USERNAME,
    default: Preset::Absent,
    reloadable: true,
    doc: "The login's name. Needs `password` or `password_file`. If user name and password are both empty, \
          wharf pulls anonymously.",
};

pub(crate) static PASSWORD: Key<Text> = Key {
    name: "password",
    form: form::PASSWORD,
    default: Preset::Absent,
    reloadable: true,
    doc: "The login's password.",
};

pub(crate) static PASSWORD_FILE: Key<PathBuf> = Key {
    name: "password_file",
    form: form::PASSWORD_FILE,
    default: Preset::Absent,
    reloadable: true,
    doc: "A file with the password as its only line. Cannot be combined with `password`. wharf reads it again when \
          it changes, without a reload.",
};

pub(crate) static CREDENTIALS: Key<Vec<(Place, Rule)>> = Key {
    name: "credentials",
    form: CREDENTIAL_RULES,
    default: Preset::Absent,
    reloadable: true,
    doc: "Where the logins come from, instead of `username` or before it: a source such as `docker-config`, or \
          a list of `[[registry.credentials]]`. See [Sources of credentials](#sources-of-credentials).",
};

pub(crate) static AUTH: Key<Auth> = Key {
    name: "auth",
    form: Form {
        shape: Shape::Word(|| AUTHS.iter().map(|(word, _)| *word).collect()),
        read: |reader, table, key| reader.choice(table, key, &AUTHS),
        show: |auth| {
            let word = AUTHS.iter().find(|(_, it)| it == auth);
            word.map_or_else(String::new, |(word, _)| (*word).to_owned())
        },
    },
    default: Preset::Value(Auth::Account),
    reloadable: true,
    doc: "With whose login wharf pulls: that of its own `account`, if it has one, or (`passthrough`) that of each \
          client. See [The client's own login](#the-clients-own-login).",
};

pub(crate) static SERVE_PRIVATE: Key<bool> = Key {
    name: "serve_private",
    form: form::FLAG,
    default: Preset::Value(false),
    reloadable: true,
    doc: "Only for registries with a login or a client certificate, and without rules in `[access]`: whether every \
          client may pull whatever that account may read. Without it, clients get only the repositories that \
          the upstream also gives to requests without a login. See [Private stays \
          private](#private-stays-private).",
};

pub(crate) static CA_FILE: Key<Vec<u8>> = Key {
    name: "ca_file",
    form: form::CERTIFICATES,
    default: Preset::Absent,
    reloadable: true,
    doc: "PEM certificates that are trusted for this registry, in addition to the system's and the bundled \
          ones: authorities, or the registry's own certificate, such as a self-signed one from `openssl req \
          -x509`.",
};

pub(crate) static CLIENT_CERT: Key<Vec<u8>> = Key {
    name: "client_cert",
    form: form::CERTIFICATES,
    default: Preset::Absent,
    reloadable: true,
    doc: "PEM certificate chain for mutual TLS. Needs `client_key`.",
};

pub(crate) static CLIENT_KEY: Key<Vec<u8>> = Key {
    name: "client_key",
    form: form::PRIVATE_KEY,
    default: Preset::Absent,
    reloadable: true,
    doc: "Its PEM key, unencrypted.",
};

pub(crate) static INSECURE_SKIP_VERIFY: Key<bool> = Key {
    name: "insecure_skip_verify",
    form: form::FLAG,
    default: Preset::Value(false),
    reloadable: true,
    doc: "Accepts any certificate from the upstream and from `trusted_hosts`.",
};

pub(crate) static TRUSTED_HOSTS: Key<Vec<Text>> = Key {
    name: "trusted_hosts",
    form: form::AUTHORITIES,
    default: Preset::Absent,
    reloadable: true,
    doc: "Further hosts of this upstream. They may be its token service, receive its credentials and the \
          client certificate, and have private addresses. Without a port, the scheme's default port \
          applies.",
};

pub(crate) static PROXY: Key<Url> = Key {
    name: "proxy",
    form: form::PROXY,
    default: Preset::Computed("the environment's"),
    reloadable: true,
    doc: "`http`, `https`, `socks5` or `socks5h`, with a login if needed. Used for all requests of this \
          registry. If it is unset or empty, `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` apply. \
          `socks5` gets addresses that wharf resolved, `socks5h` gets names.",
};

pub(crate) static NO_PROXY: Key<Vec<NoProxyRule>> = Key {
    name: "no_proxy",
    form: form::NO_PROXY,
    default: Preset::Absent,
    reloadable: true,
    doc: "Hosts that are reached without `proxy`: names, each with all names below it, addresses and networks, \
          each with or without a port, or `*`: `[\"corp.example\", \"10.0.0.0/8\", \"cdn.example:8443\"]`. It \
          also holds for token services and redirects.",
};

pub(crate) static CONNECT_TIMEOUT: Key<Duration> = Key {
    name: "connect_timeout",
    form: form::TIMEOUT,
    default: Preset::Value(upstream::Settings::CONNECT_TIMEOUT),
    reloadable: true,
    doc: "Name resolution (within the limits of `resolv.conf`), TCP and TLS together. It is part of \
          `header_timeout` and at most nine tenths of it; a longer value causes a warning at the start and \
          in `wharf check`.",
};

pub(crate) static HEADER_TIMEOUT: Key<Duration> = Key {
    name: "header_timeout",
    form: form::TIMEOUT,
    default: Preset::Value(upstream::Settings::HEADER_TIMEOUT),
    reloadable: true,
    doc: "The head of one answer, and a whole manifest or list with all its attempts. A blob may take 5 s \
          longer to begin, because of redirects. After two fifths of this time without an answer, wharf \
          sends the request once more over a new connection and takes the first answer; such hedges come \
          out of the same budget as retries.",
};

pub(crate) static IDLE_TIMEOUT: Key<Duration> = Key {
    name: "idle_timeout",
    form: form::TIMEOUT,
    default: Preset::Value(upstream::Settings::IDLE_TIMEOUT),
    reloadable: true,
    doc: "The longest silence within a body before wharf resumes the transfer.",
};

pub(crate) static CONNECTIONS_PER_BLOB: Key<usize> = Key {
    name: "connections_per_blob_max",
    form: form::count::<CONNECTIONS_MAX>(),
    default: Preset::Value(cache::Settings::CONNECTIONS_PER_BLOB),
    reloadable: true,
    doc: "The most connections that share one blob. `1` turns sharing off. Four recover most of the \
          bandwidth that a throttling network withholds, and are fewer than a browser opens to one host.",
};

pub(crate) static CONNECTIONS: Key<usize> = Key {
    name: "connections_max",
    form: form::count::<CONNECTIONS_MAX>(),
    default: Preset::Value(cache::Settings::CONNECTIONS),
    reloadable: true,
    doc: "A blob gets a further connection only while fewer than this many fetch blobs of this registry. \
          Each blob always gets its first one. Sixteen suffice for four clients that pull three blobs at a \
          time, plus a large blob with four.",
};

pub(crate) static READ_AHEAD: Key<usize> = Key {
    name: "read_ahead",
    form: form::count_from::<0, READ_AHEAD_MAX>(),
    default: Preset::Value(cache::Settings::READ_AHEAD),
    reloadable: true,
    doc: "The most missing layers of an image that wharf fetches at a time before a client asks for them, \
          once the client downloads another missing layer of it. Other requests to the upstream come first. \
          `0`: none. HEADs, configs and ranges from the middle of a blob start nothing.",
};

pub(crate) static UPSTREAM_BANDWIDTH: Key<Option<NonZeroU64>> = Key {
    name: "upstream_bandwidth",
    form: form::RATE_OR_OFF,
    default: Preset::Value(None),
    reloadable: true,
    doc: "The bytes per second that all transfers from this upstream together may take: `\"10MB/s\"`.",
};

pub(crate) static CLIENT_BANDWIDTH: Key<Option<NonZeroU64>> = Key {
    name: "client_bandwidth",
    form: form::RATE_OR_OFF,
    default: Preset::Value(None),
    reloadable: true,
    doc: "The bytes per second that all answers of this registry together may take, hits too. A change counts \
          for later answers.",
};

pub(crate) static TAG_TTL: Key<Duration> = Key {
    name: "tag_ttl",
    form: form::TTL,
    default: Preset::Value(TagRule::DEFAULT.ttl),
    reloadable: true,
    doc: "How long the upstream's word on a tag stays valid. `0s`: each pull checks the tag with a HEAD \
          request, which simultaneous pulls share.",
};

pub(crate) static TAG: Key<Vec<TagTtl>> = Key {
    name: "tag",
    form: TAG_RULES,
    default: Preset::Absent,
    reloadable: true,
    doc: "Tags with a `tag_ttl` of their own, each as a `[[registry.tag]]` with `match` and `ttl`. The first match \
          counts. See [Rules for tags](#rules-for-tags).",
};

pub(crate) static STALE_IF_ERROR: Key<StaleLimit> = Key {
    name: "stale_if_error",
    form: form::STALE_LIMIT,
    default: Preset::Value(TagRule::DEFAULT.stale_if_error),
    reloadable: true,
    doc: "How long after `tag_ttl` a stored tag may be served while the upstream is unreachable. `0s`: \
          never.",
};

pub(crate) static ON_UPSTREAM_404: Key<Upstream404> = Key {
    name: "on_upstream_404",
    form: Form {
        shape: Shape::Word(|| MISSING.iter().map(|(word, _)| *word).collect()),
        read: |reader, table, key| reader.choice(table, key, &MISSING),
        show: |rule| {
            let word = MISSING.iter().find(|(_, it)| it == rule);
            word.map_or_else(String::new, |(word, _)| (*word).to_owned())
        },
    },
    default: Preset::Value(TagRule::DEFAULT.on_upstream_404),
    reloadable: true,
    doc: "Whether a stored tag that the upstream no longer has is refused (`404`) or still served \
          (`serve`).",
};

pub(crate) static AUTH_TTL: Key<Duration> = Key {
    name: "auth_ttl",
    form: form::TTL,
    default: Preset::Value(cache::Settings::AUTH_TTL),
    reloadable: true,
    doc: "Only for registries with a login or a client certificate: how long the upstream's grant of a \
          stored manifest or blob to a repository stays valid, and its word that a repository is public. \
          Then one HEAD request renews it. `tag_ttl` is never longer than this.",
};

pub(crate) static OFFLINE: Key<bool> = Key {
    name: "offline",
    form: form::FLAG,
    default: Preset::Value(TagRule::DEFAULT.offline),
    reloadable: true,
    doc: "Never sends a request to the upstream. wharf serves stored content and answers everything else \
          with 502.",
};

pub(crate) static CATALOG: Key<bool> = Key {
    name: "catalog",
    form: form::FLAG,
    default: Preset::Value(cache::Settings::CATALOG),
    reloadable: true,
    doc: "Whether `/v2/_catalog` lists the repositories stored here. `false`: 404.",
};

pub(crate) static MAX_SIZE: Key<Option<Cap>> = Key {
    name: "max_size",
    form: form::SIZE_OR_OFF,
    default: Preset::Value(None),
    reloadable: true,
    doc: "The most bytes that the store of this registry may take. Above it, its least recently used images go. \
          A blob that is larger is passed through.",
};

pub(crate) static UNUSED_FOR: Key<Option<Duration>> = Key {
    name: "unused_for",
    form: form::TIME_OR_OFF,
    default: Preset::Value(None),
    reloadable: true,
    doc: "An image that no client pulled for this time goes, however much room there is, and so does a list of \
          a repository without an image. Of each time that wharf does not run, a day at the most counts.",
};

pub(crate) static KEEP_TAGS: Key<Option<usize>> = Key {
    name: "keep_tags",
    form: form::count_or_off::<KEEP_TAGS_MAX>(&KEEP_TAGS_COUNT),
    default: Preset::Value(None),
    reloadable: true,
    doc: "Of each repository, this many tags stay: those that were used most recently. Images that only other \
          tags name go.",
};

pub(crate) static KEEP: Key<Vec<ImagePattern>> = Key {
    name: "keep",
    form: form::IMAGES,
    default: Preset::Absent,
    reloadable: true,
    doc: "Images that no limit and no rule removes, written as for `docker pull`, with or without the registry. \
          Without a tag, all of the repository stay. `*` stands for any characters, `?` for one: \
          `[\"alpine:3.*\", \"ghcr.io/tools/*\"]`.",
};

pub(crate) static REGISTRY: Section = Section {
    name: "registry",
    doc: "One registry that wharf caches.",
    groups: &[
        Group { is_shared: false, keys: &[&NAME, &ALIASES, &HOSTS, &UPSTREAM, &ROOT] },
        Group {
            is_shared: true,
            keys: &[
                &USERNAME,
                &PASSWORD,
                &PASSWORD_FILE,
                &CREDENTIALS,
                &SERVE_PRIVATE,
                &AUTH,
                &CA_FILE,
                &CLIENT_CERT,
                &CLIENT_KEY,
                &INSECURE_SKIP_VERIFY,
                &TRUSTED_HOSTS,
                &PROXY,
                &NO_PROXY,
            ],
        },
        Group { is_shared: true, keys: &[&CONNECT_TIMEOUT, &HEADER_TIMEOUT, &IDLE_TIMEOUT] },
        Group { is_shared: true, keys: &[&CONNECTIONS_PER_BLOB, &CONNECTIONS, &READ_AHEAD] },
        Group { is_shared: true, keys: &[&UPSTREAM_BANDWIDTH, &CLIENT_BANDWIDTH] },
        Group {
            is_shared: true,
            keys: &[&TAG_TTL, &TAG, &STALE_IF_ERROR, &ON_UPSTREAM_404, &AUTH_TTL, &OFFLINE],
        },
        Group { is_shared: true, keys: &[&CATALOG] },
        Group { is_shared: true, keys: &[&MAX_SIZE, &UNUSED_FOR, &KEEP_TAGS, &KEEP] },
    ],
    subsections: &["access"],
};
