//! The host names by which clients reach the registries.

use crate::config::{Config, Registry};

/// Every virtual host of this configuration, each once: the domain, wharf's own hosts, and those of each
/// registry.
pub(crate) fn all(config: &Config) -> Vec<String> {
    let own = config.domain.iter().cloned().chain(config.routes.own_hosts().map(str::to_owned));
    let mut all = Vec::new();
    for host in own.chain(config.registries.iter().flat_map(|it| of_registry(config, it))) {
        if !all.contains(&host) {
            all.push(host);
        }
    }
    all
}

/// The virtual hosts of one registry. Its name and its aliases each make two below the domain, one with dots
/// and one with dashes. An IPv6 address makes none.
pub(crate) fn of_registry(config: &Config, registry: &Registry) -> Vec<String> {
    let names = [&registry.names.name].into_iter().chain(&registry.names.aliases);
    let labels = names.filter(|name| !name.starts_with('[')).flat_map(|name| {
        let label = name.replace(':', "-").to_ascii_lowercase();
        [label.clone(), label.replace('.', "-")]
    });
    let below =
        config.domain.iter().flat_map(|domain| labels.clone().map(move |label| format!("{label}.{domain}")));
    below.chain(registry.names.hosts.iter().cloned()).collect()
}
