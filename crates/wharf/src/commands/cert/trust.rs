//! The lines for `wharf.toml`, and how each client comes to trust the authority.

use std::fmt::Write as _;
use std::path::Path;

use certificates::pair::PairFiles;

use crate::config::Config;
use crate::virtual_hosts;

/// The port of `[server.tls]` without `listen`.
const PORT: u16 = 5443;

/// The place of the authority on a client.
const ON_CLIENT: &str = "/etc/ssl/wharf-ca.pem";

/// The name of Docker Hub, which the examples use.
const HUB: &str = "docker.io";

/// The text behind the report.
pub(super) fn text(config: &Config, authority: &Path, pair: &PairFiles) -> String {
    let mut text = configuration(config, pair);
    let host = host(config);
    let is_wider = virtual_hosts::all(config).len() > 1;
    let each = if is_wider { ", once for each name that the client uses" } else { "" };
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "\nClients trust wharf once they have {}. Copy it to:\n\n\
         Docker Engine            /etc/docker/certs.d/{host}/ca.crt{each}\n\
         containerd               {ON_CLIENT}, and in /etc/containerd/certs.d/{HUB}/hosts.toml:\n\
         \x20                          [host.\"https://{host}\"]\n\
         \x20                            capabilities = [\"pull\", \"resolve\"]\n\
         \x20                            ca = \"{ON_CLIENT}\"\n\
         k3s, RKE2                {ON_CLIENT}, and in registries.yaml:\n\
         \x20                          configs:\n\
         \x20                            \"{host}\":\n\
         \x20                              tls: {{ ca_file: {ON_CLIENT} }}\n\
         podman, CRI-O, skopeo    /etc/containers/certs.d/{host}/ca.crt{each}\n\
         BuildKit                 {ON_CLIENT}, and in buildkitd.toml:\n\
         \x20                          [registry.\"{host}\"]\n\
         \x20                            ca = [\"{ON_CLIENT}\"]\n\
         all programs on Debian   /usr/local/share/ca-certificates/wharf.crt; run update-ca-certificates\n\
         all programs on Red Hat  /etc/pki/ca-trust/source/anchors/wharf.pem; run update-ca-trust\n\n\
         Restart a client after a change of what all programs trust. Try it with\n\n\
         \x20   curl --cacert {} https://{host}/v2/\n",
        authority.display(),
        authority.display(),
    );
    text
}

/// The section for `wharf.toml`, unless it is there.
fn configuration(config: &Config, pair: &PairFiles) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let is_set = config.pairs.iter().any(|it| absolute(&it.files.certificate) == pair.certificate);
    if is_set {
        return "\nwharf.toml names this certificate; a running wharf loads a new one by itself.\n"
            .to_owned();
    }
    let (certificate, key) = (pair.certificate.display(), pair.key.display());
    let section = if config.server.tls.is_some() { "[[server.tls.certificate]]" } else { "[server.tls]" };
    format!(
        "\nWrite into {}:\n\n{section}\ncert_file = \"{certificate}\"\nkey_file = \"{key}\"\n\nThe user that runs \
         wharf must be able to read the key.\n",
        if config.is_builtin() { "wharf.toml" } else { &config.source }
    )
}

/// The name that the examples use, with the port unless it is that of `https`.
fn host(config: &Config) -> String {
    let hub = config.registries.iter().find(|registry| registry.names.name == HUB);
    let registry = hub.or(config.registries.first());
    let hosts = registry.map(|registry| virtual_hosts::of_registry(config, registry)).unwrap_or_default();
    // The form with dashes needs no second certificate if a wildcard replaces this one.
    let host = hosts.iter().find(|host| host.split('.').next().is_some_and(|label| label.contains('-')));
    let host = host.or(hosts.first()).cloned().unwrap_or_else(|| "localhost".to_owned());
    let port = config.server.tls.as_ref().and_then(|tls| tls.listen.first()).map_or(PORT, |it| it.port());
    if port == 443 { host } else { format!("{host}:{port}") }
}
