//! The keys under which files and programs name registries: `ghcr.io`, `https://index.docker.io/v1/`,
//! `*.dkr.ecr.*.amazonaws.com`, `quay.io/team`.

/// A registry that a login is looked for: its host, and the path that all its repositories lie below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The upstream's host, with a port unless it is the scheme's default; for Docker Hub all its names. No
    /// other name counts: an upstream that serves the images of `docker.io` is not Docker Hub, and must not
    /// get the login for it.
    hosts: Vec<String>,
    /// `team/app`, or empty.
    pub(crate) path: String,
}

/// The names of Docker Hub. Its clients have used each of them as a key.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// The key under which clients store a login for Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The fit of a key; a larger one is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fit {
    path_bytes: usize,
    is_exact: bool,
}

impl Target {
    /// The target of the registry at `host`.
    pub(crate) fn new(host: &str, path: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let hosts = match DOCKER_HUB.contains(&host.as_str()) {
            true => DOCKER_HUB.map(str::to_owned).to_vec(),
            false => vec![host],
        };
        Self { hosts, path: path.to_owned() }
    }

    /// The host by which images name the registry.
    pub(crate) fn host(&self) -> &str {
        &self.hosts[0]
    }

    /// Tells how well a key names this registry; `None` if it names another one.
    pub(crate) fn fit(&self, key: &str) -> Option<Fit> {
        let key = key.trim().to_ascii_lowercase();
        let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(&key);
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        let path = path.trim_matches('/');
        // Clients of the first registry API stored its version with the host.
        let path = match path.split_once('/').unwrap_or((path, "")) {
            ("v1" | "v2", rest) => rest,
            _ => path,
        };
        if !is_path_above(path, &self.path) {
            return None;
        }
        let is_exact = self.hosts.iter().any(|own| own == host);
        let is_match = is_exact || self.hosts.iter().any(|own| host_matches(host, own));
        is_match.then_some(Fit { path_bytes: path.len(), is_exact })
    }

    /// The texts by which a credential helper may know this registry, the most likely one first.
    pub(crate) fn helper_keys(&self) -> Vec<String> {
        if self.hosts.iter().any(|host| DOCKER_HUB.contains(&host.as_str())) {
            return vec![DOCKER_HUB_KEY.to_owned()];
        }
        self.hosts.clone()
    }
}

fn is_path_above(above: &str, path: &str) -> bool {
    above.is_empty() || path == above || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// Compares hosts part by part, as Kubernetes does: `*` stands for any characters within one part, and the
/// ports must be equal.
fn host_matches(pattern: &str, host: &str) -> bool {
    let split = |text: &str| -> (String, Option<String>) {
        match text.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name.to_owned(), Some(port.to_owned())),
            _ => (text.to_owned(), None),
        }
    };
    let ((pattern, pattern_port), (host, port)) = (split(pattern), split(host));
    if pattern_port != port || !pattern.contains('*') {
        return false;
    }
    let (patterns, parts): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
    patterns.len() == parts.len() && patterns.iter().zip(&parts).all(|(one, other)| part_matches(one, other))
}

fn part_matches(pattern: &str, part: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = part.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_registries_as_their_clients_write_them() {
        let ecr = Target::new("1234.dkr.ecr.eu-west-1.amazonaws.com", "");
        let hub = Target::new("registry-1.docker.io", "");
        let port = Target::new("reg.example:5000", "");
        let team = Target::new("quay.io", "team");
        let table = [
            (&ecr, "1234.dkr.ecr.eu-west-1.amazonaws.com", true),
            (&ecr, "https://1234.dkr.ecr.eu-west-1.amazonaws.com", true),
            (&ecr, "*.dkr.ecr.*.amazonaws.com", true),
            (&ecr, "*.dkr.ecr.*.amazonaws.com.cn", false),
            (&ecr, "*.amazonaws.com", false),
            (&ecr, "*", false),
            (&hub, "https://index.docker.io/v1/", true),
            (&hub, "https://index.docker.io/v1/access-token", false),
            (&hub, "docker.io", true),
            (&hub, "quay.io", false),
            (&port, "reg.example:5000", true),
            (&port, "https://reg.example:5000/v2/", true),
            (&port, "*.example:5000", true),
            (&port, "reg.example", false),
            (&port, "*.example:5001", false),
            (&team, "quay.io", true),
            (&team, "quay.io/team", true),
            (&team, "quay.io/team/app", false),
            (&team, "quay.io/tea", false),
            (&team, "", false),
        ];
        for (target, key, is_match) in table {
            assert_eq!(target.fit(key).is_some(), is_match, "{key} for {:?}", target.hosts);
        }
        assert!(team.fit("quay.io/team") > team.fit("quay.io"), "the longer path fits better");
        assert!(ecr.fit("1234.dkr.ecr.eu-west-1.amazonaws.com") > ecr.fit("*.dkr.ecr.*.amazonaws.com"));
    }
}
