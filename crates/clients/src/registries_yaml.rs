//! `registries.yaml` of k3s, RKE2 and k3d.

use crate::mirror::Mirror;

/// The text of the file. `authority` is the path of the authority's certificate on the node.
pub(crate) fn text(mirror: &Mirror, authority: &str) -> String {
    let mut text = "mirrors:\n".to_owned();
    for registry in &mirror.registries {
        let (name, url) = (&registry.name, mirror.url(registry));
        text.push_str(&format!("  \"{name}\":\n    endpoint: [\"{url}\"]\n"));
    }
    if mirror.authority.is_some() {
        text.push_str("configs:\n");
        // The key is the endpoint's host, not the registry.
        for host in mirror.hosts() {
            text.push_str(&format!("  \"{host}\":\n    tls:\n      ca_file: \"{authority}\"\n"));
            if mirror.needs_login_at(host) {
                text.push_str(&format!("    # {LOGIN}\n    # auth:\n{}", lines("    #   ")));
            }
        }
    } else if mirror.needs_login() {
        text.push_str(&format!("# {LOGIN}\n# configs:\n"));
        for host in mirror.hosts().into_iter().filter(|host| mirror.needs_login_at(host)) {
            text.push_str(&format!("#   \"{host}\":\n#     auth:\n{}", lines("#       ")));
        }
    }
    text
}

/// The comment above a login in comments.
const LOGIN: &str = "wharf asks for a login: write it here, and remove the marks of the comments.";

/// The two keys of a login, each behind `start`.
fn lines(start: &str) -> String {
    format!("{start}username: \"USER\"\n{start}password: \"PASSWORD\"\n")
}
