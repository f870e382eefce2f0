//! Keys of other programs, each with its counterpart here.

/// Keys that wharf does not have, each with advice.
const HINTS: [(&[&str], &str); 13] = [
    (
        &["maxsize", "max_bytes", "size_limit", "cache_size", "max_storage", "quota", "limit", "gc"],
        "write max_size in [storage] for all registries together, or for one [[registry]]",
    ),
    (
        &["htpasswd", "users", "basic_auth", "access_control", "accesscontrol"],
        "write users_file or tokens_file in [access], or auth = \"passthrough\" in a [[registry]]",
    ),
    (
        &["letsencrypt", "autocert"],
        "write [server.acme] with terms_agreed = true: wharf obtains certificates for its names by itself",
    ),
    (
        &["ttl", "cache_ttl", "manifest_ttl", "expire", "expiry"],
        "write tag_ttl, the time for which a tag is served without asking the upstream",
    ),
    (&["remoteurl", "remote_url", "remote", "url", "urls", "endpoint", "server_url"], "write upstream"),
    (&["addr", "address", "bind", "port", "host"], "write listen, as in [server] listen = \"0.0.0.0:5000\""),
    (&["pass", "passwd", "token", "secret"], "write password or password_file"),
    (
        &["insecure", "skip_verify", "tls_verify", "tlsverify", "verify_ssl", "plain_http"],
        "write insecure_skip_verify, or upstream = \"http://...\" for a registry without TLS",
    ),
    (&["cert", "tls_cert", "ssl_certificate"], "write cert_file in [server.tls]"),
    (&["key", "tls_key", "ssl_certificate_key"], "write key_file in [server.tls]"),
    (&["rootdirectory", "root_directory", "data_dir", "datadir", "dir", "path"], "write root"),
    (&["mirrors", "mirror", "proxy_registries"], "write a [[registry]] for each"),
    (&["delete", "readonly", "read_only", "push"], "leave it out: wharf only pulls"),
];

/// Advice on `key`, if another program has it.
pub(crate) fn for_key(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    HINTS.iter().find(|(keys, _)| keys.contains(&key.as_str())).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests;
