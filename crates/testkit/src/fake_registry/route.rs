//! Parses the raw target of a request: endpoint and object (distribution-spec, "Endpoints").

/// The three servers of a registry like Docker Hub, each on its own port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v2/...`
    Registry,
    /// `/token`, with or without a trailing slash
    Token,
    /// The target of blob redirects; it refuses requests with a credential.
    Cdn,
}

impl Endpoint {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Registry, Self::Token, Self::Cdn];

    /// Its index in arrays with one entry per endpoint.
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// The kind of a request. Blob requests have the same kind at the registry and at the CDN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `/v2/`
    Version,
    /// HEAD of a manifest.
    HeadManifest,
    /// GET of a manifest.
    GetManifest,
    /// HEAD of a blob.
    HeadBlob,
    /// GET of a blob.
    GetBlob,
    /// `/v2/<name>/tags/list`
    Tags,
    /// `/v2/<name>/referrers/<digest>`
    Referrers,
    /// A token.
    Token,
    /// Any other request, including other methods.
    Other,
}

/// A parsed request.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    pub(crate) kind: Kind,
    pub(crate) repository: Option<String>,
    /// Tag or digest.
    pub(crate) reference: Option<String>,
    query: Vec<(String, String)>,
}

impl Route {
    /// Parses a raw request target, for a registry whose `/v2/` is below `base`.
    pub(crate) fn read(endpoint: Endpoint, method: &str, target: &str, base: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = match endpoint {
            Endpoint::Registry => path.strip_prefix(base).unwrap_or_default(),
            Endpoint::Token | Endpoint::Cdn => path,
        };
        let is_head = method == "HEAD";
        let (kind, repository, reference) = match endpoint {
            // Some services redirect to the form with the slash.
            Endpoint::Token => match path {
                "/token" | "/token/" => (Kind::Token, None, None),
                _ => (Kind::Other, None, None),
            },
            Endpoint::Registry => read_registry(path, is_head),
            Endpoint::Cdn => read_cdn(path, is_head),
        };
        let is_read = is_head || method == "GET";
        Self {
            endpoint,
            kind: if is_read { kind } else { Kind::Other },
            repository: repository.map(str::to_owned),
            reference: reference.map(str::to_owned),
            query: read_query(query),
        }
    }

    /// Every value of a query parameter, decoded.
    pub(crate) fn query<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether it is for a blob.
    pub(crate) fn is_blob(&self) -> bool {
        matches!(self.kind, Kind::HeadBlob | Kind::GetBlob)
    }

    /// Whether it is for a manifest.
    pub(crate) fn is_manifest(&self) -> bool {
        matches!(self.kind, Kind::HeadManifest | Kind::GetManifest)
    }
}

type Parts<'a> = (Kind, Option<&'a str>, Option<&'a str>);

/// Names contain slashes, so the path is parsed from the right.
fn read_registry(path: &str, is_head: bool) -> Parts<'_> {
    const OTHER: Parts<'static> = (Kind::Other, None, None);
    let Some(rest) = path.strip_prefix("/v2") else { return OTHER };
    if rest.is_empty() || rest == "/" {
        return (Kind::Version, None, None);
    }
    let Some(rest) = rest.strip_prefix('/') else { return OTHER };
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return (Kind::Tags, Some(repository), None);
    }
    let Some((before, last)) = rest.rsplit_once('/') else { return OTHER };
    let Some((repository, kind)) = before.rsplit_once('/') else { return OTHER };
    let kind = match (kind, is_head) {
        ("manifests", true) => Kind::HeadManifest,
        ("manifests", false) => Kind::GetManifest,
        ("blobs", true) => Kind::HeadBlob,
        ("blobs", false) => Kind::GetBlob,
        ("referrers", _) => Kind::Referrers,
        _ => return OTHER,
    };
    (kind, Some(repository), Some(last))
}

/// `/<repository>/<digest>`, as [`cdn_target`] writes it.
fn read_cdn(path: &str, is_head: bool) -> Parts<'_> {
    match path.trim_start_matches('/').rsplit_once('/') {
        None => (Kind::Other, None, None),
        Some((repository, digest)) => {
            (if is_head { Kind::HeadBlob } else { Kind::GetBlob }, Some(repository), Some(digest))
        }
    }
}

/// The target of a blob at the CDN, signed with a unique number.
pub(crate) fn cdn_target(repository: &str, digest: &str, signature: u64) -> String {
    format!("/{repository}/{digest}?signature={signature}")
}

fn read_query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

/// Decodes percent-encoding and the plus sign of HTML forms; malformed sequences stay as they are.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = if byte == b'%' { bytes.get(at + 1..at + 3).and_then(hex_pair) } else { None };
        decoded.push(escaped.unwrap_or(if byte == b'+' { b' ' } else { byte }));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex_pair(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests;
