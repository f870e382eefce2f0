//! Variables and files of similar programs, which operators may expect wharf to read.
//!
//! An operator who replaces `registry:2` may set `REGISTRY_PROXY_USERNAME`, and would learn only at the first
//! rate limit that wharf pulls anonymously. So wharf names the variables that it does not read, with its own
//! keys.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The most variables in a notice; further ones are counted.
const NAMED_COUNT_MAX: usize = 8;

/// The counterpart of a foreign variable.
enum Same {
    /// This key.
    Key(&'static str),
    /// None, for this reason.
    Nothing(&'static str),
}

use Same::{Key, Nothing};

/// Foreign variables: names, and prefixes, which end in `_`. The first match decides.
const VARIABLES: [(&str, Same); 37] = [
    // distribution (registry:2, registry:3): every key of its file is a variable too.
    ("REGISTRY_PROXY_REMOTEURL", Key("name of a [[registry]]")),
    ("REGISTRY_PROXY_USERNAME", Key("username of a [[registry]]")),
    ("REGISTRY_PROXY_PASSWORD", Key("password or password_file of a [[registry]]")),
    ("REGISTRY_PROXY_TTL", Key("unused_for of a [[registry]]")),
    ("REGISTRY_HTTP_ADDR", Key("[server] listen")),
    ("REGISTRY_HTTP_HOST", Key("[server] domain")),
    ("REGISTRY_HTTP_DRAINTIMEOUT", Key("[server] shutdown_grace")),
    ("REGISTRY_HTTP_TLS_CERTIFICATE", Key("[server.tls] cert_file")),
    ("REGISTRY_HTTP_TLS_KEY", Key("[server.tls] key_file")),
    ("REGISTRY_HTTP_TLS_", Nothing("[server.tls] takes a certificate and its key")),
    ("REGISTRY_HTTP_DEBUG_", Key("[admin] listen")),
    ("REGISTRY_HTTP_", Nothing("not needed")),
    ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", Key("[storage] root")),
    ("REGISTRY_STORAGE_DELETE_", Nothing("wharf takes no delete requests")),
    ("REGISTRY_STORAGE_", Nothing("wharf stores in files, below [storage] root")),
    ("REGISTRY_AUTH_", Nothing("wharf requires no login of clients")),
    ("REGISTRY_LOG_LEVEL", Key("[log] level")),
    ("REGISTRY_LOG_FORMATTER", Key("[log] format")),
    ("REGISTRY_LOG_ACCESSLOG_", Key("[log] access")),
    ("REGISTRY_PROXY_", Nothing("wharf has no such feature")),
    ("REGISTRY_LOG_", Nothing("wharf has no such feature")),
    ("REGISTRY_REDIS_", Nothing("not needed")),
    ("REGISTRY_HEALTH_", Nothing("/livez and /readyz are always on")),
    ("REGISTRY_NOTIFICATIONS_", Nothing("wharf sends no notifications")),
    // rpardini/docker-registry-proxy.
    ("REGISTRIES", Key("name of a [[registry]] for each")),
    ("AUTH_REGISTRIES", Key("username and password of each [[registry]]")),
    ("AUTH_REGISTRIES_", Nothing("not needed")),
    ("AUTH_REGISTRY_", Nothing("not needed")),
    ("CACHE_MAX_SIZE", Key("[storage] max_size")),
    ("CACHE_DIRECTORY", Key("[storage] root")),
    (
        "ENABLE_MANIFEST_CACHE",
        Nothing(
            "manifests are always stored; tag_ttl says how long a tag is served without asking the upstream",
        ),
    ),
    ("MANIFEST_CACHE_", Key("tag_ttl")),
    ("VERIFY_SSL", Key("insecure_skip_verify of a [[registry]]")),
    // Variables of our example files, which have no effect without such a file.
    ("DOCKERHUB_USERNAME", Key("username = \"${DOCKERHUB_USERNAME}\" of [[registry]] docker.io")),
    ("DOCKERHUB_PASSWORD", Key("password = \"${DOCKERHUB_PASSWORD}\" of [[registry]] docker.io")),
    ("GHCR_USERNAME", Key("username = \"${GHCR_USERNAME}\" of [[registry]] ghcr.io")),
    ("GHCR_PASSWORD", Key("password = \"${GHCR_PASSWORD}\" of [[registry]] ghcr.io")),
];

/// Variables that begin with `WHARF_` and set no key: of our compose file, build scripts and tests.
const OURS: [&str; 7] = [
    "WHARF_CONFIG",
    "WHARF_ROOT",
    "WHARF_PORT",
    "WHARF_IMAGE",
    "WHARF_BIN",
    "WHARF_STATIC_BIN",
    "WHARF_REQUIRE_CLIENTS",
];

/// One line about the variables among `names` that other programs read, unless the configuration has `read`
/// them. Never looks at values: they may be secrets.
pub(crate) fn notice_of_variables(
    names: impl IntoIterator<Item = String>,
    read: &HashSet<String>,
) -> Option<String> {
    let mut names: Vec<String> = names.into_iter().filter(|name| !read.contains(name)).collect();
    names.sort();
    let mut found: Vec<String> = names.iter().filter_map(|name| describe(name)).collect();
    if found.is_empty() {
        return None;
    }
    let more = found.len().saturating_sub(NAMED_COUNT_MAX);
    found.truncate(NAMED_COUNT_MAX);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    Some(format!(
        "wharf does not read these environment variables: {}. To use one, write it into the configuration \
         file, as in username = \"${{NAME}}\", or set wharf's own, such as WHARF_REGISTRY_DOCKER_IO_USERNAME",
        found.join("; ")
    ))
}

/// Whether the variable belongs to wharf and sets no key.
pub(crate) fn is_ours(name: &str) -> bool {
    OURS.contains(&name)
}

/// Whether Kubernetes sets the variable in every pod, for a service called `registry` or `wharf`.
pub(crate) fn is_of_a_service(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.split('_').any(|part| part == "PORT")
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A foreign variable with its counterpart.
fn describe(name: &str) -> Option<String> {
    if is_of_a_service(name) {
        return None;
    }
    let fits = |known: &str| name == known || (known.ends_with('_') && name.starts_with(known));
    match VARIABLES.iter().find(|(known, _)| fits(known)) {
        Some((_, Key(key))) => Some(format!("{name} (set {key} instead)")),
        Some((_, Nothing(why))) => Some(format!("{name} ({why})")),
        None if name.starts_with("WHARF_") && !OURS.contains(&name) => {
            Some(format!("{name} (wharf has no such variable)"))
        }
        None => None,
    }
}

/// Names of files that look like a configuration for wharf or for another registry.
const NEARBY: [&str; 9] = [
    "Wharf.toml",
    "wharf.conf",
    "wharf.yaml",
    "wharf.yml",
    "wharf.json",
    "config.toml",
    "config.yml",
    "config.yaml",
    "config.json",
];

/// The configuration files of other registries' images, which an operator may mount into a container of
/// wharf.
const OF_OTHER_IMAGES: [&str; 4] = [
    "/etc/docker/registry/config.yml",
    "/etc/distribution/config.yml",
    "/etc/zot/config.json",
    "/etc/zot/config.yaml",
];

/// Files in `directories`, which are searched for a configuration, that have another name, and files that
/// were mounted as for another image. `mounts` is the content of `/proc/self/mountinfo`.
pub(crate) fn files_nearby(directories: &[&Path], mounts: &str) -> Vec<PathBuf> {
    let candidates = directories.iter().flat_map(|directory| NEARBY.map(|name| directory.join(name)));
    let of_others = OF_OTHER_IMAGES.map(PathBuf::from).into_iter().filter(|path| is_mounted(path, mounts));
    candidates.chain(of_others).filter(|path| path.is_file()).collect()
}

/// Whether `path` or a directory above it is a mount point (proc_pid_mountinfo(5), fifth field).
fn is_mounted(path: &Path, mounts: &str) -> bool {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points.into_iter().any(|point| point != "/" && path.starts_with(point))
}

/// The format of a text that is not TOML, by its first lines.
pub(crate) fn looks_like(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(str::trim_end);
    let first = lines.find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))?;
    if first.trim_start().starts_with('{') {
        return Some("JSON");
    }
    let is_entry = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ");
        let (key, value) = line.split_once(':').unwrap_or(("", "x"));
        let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '"')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '/'));
        is_key && (value.is_empty() || value.starts_with(' '))
    };
    (first == "---" || is_entry(first)).then_some("YAML")
}

#[cfg(test)]
mod tests;
