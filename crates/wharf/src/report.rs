//! What wharf says of itself: at the start, and for `wharf check`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::{Config, PLACES, Registry};

/// The name that stands for this machine where nobody has told what it is called.
const UNKNOWN_ADDRESS: &str = "<address>";

/// How clients find one registry at one of our addresses.
struct Door<'a> {
    config: &'a Config,
    address: SocketAddr,
    /// What others reach this machine by, if that is known.
    own: Option<Ipv4Addr>,
}

impl Door<'_> {
    /// The virtual host of `registry` with the port, if it can have one.
    fn virtual_host(&self, registry: &Registry) -> Option<String> {
        let name = &registry.names.name;
        if name.starts_with('[') {
            return None;
        }
        let label = name.replace(':', "-");
        let port = self.address.port();
        Some(match (&self.config.domain, self.address.ip()) {
            (Some(domain), _) => format!("{label}.{domain}:{port}"),
            (None, ip) if ip.is_loopback() => format!("{label}.localhost:{port}"),
            // nip.io answers for any IPv4 address in a name; for others a name has to exist already.
            (None, IpAddr::V4(ip)) if !ip.is_unspecified() => format!("{label}.{ip}.nip.io:{port}"),
            (None, _) => format!("{label}.{}.nip.io:{port}", self.own()),
        })
    }

    /// This machine, where we listen on all of its addresses.
    fn own(&self) -> String {
        self.own.map_or_else(|| UNKNOWN_ADDRESS.to_owned(), |own| own.to_string())
    }

    /// What all registries share.
    fn base(&self) -> String {
        let port = self.address.port();
        match (&self.config.domain, self.address.ip()) {
            (Some(domain), _) => format!("{domain}:{port}"),
            (None, ip) if ip.is_unspecified() => format!("{}:{port}", self.own()),
            (None, _) => self.address.to_string(),
        }
    }

    fn describe(&self, registry: &Registry) -> String {
        let ns = format!("http://{}/v2/?ns={}", self.base(), registry.names.name);
        match self.virtual_host(registry) {
            Some(host) => format!("http://{host} or {ns}"),
            None => ns,
        }
    }
}

/// The lines at the start: where we listen and how each client is told. `own` is what others reach this machine by.
pub(crate) fn start(
    config: &Config,
    addresses: &[SocketAddr],
    tls: &[SocketAddr],
    admin: Option<SocketAddr>,
    own: Option<Ipv4Addr>,
) -> Vec<String> {
    let looked = if config.is_builtin() { format!(" (no {})", PLACES.join(", no ")) } else { String::new() };
    let mut lines = vec![format!("wharf {} with {}{looked}", env!("CARGO_PKG_VERSION"), config.source)];
    lines.extend(addresses.iter().map(|address| format!("listening on http://{address}")));
    lines.extend(tls.iter().map(|address| format!("listening on https://{address}")));
    lines.extend(admin.map(|address| format!("admin on http://{address}/metrics")));
    let Some(address) = addresses.first() else { return lines };
    let door = Door { config, address: *address, own };
    for registry in &config.registries {
        let upstream = origin(registry);
        lines.push(format!("{} -> {upstream} as {}", registry.names.name, door.describe(registry)));
    }
    let hub = config.registries.iter().find(|registry| registry.cache.hub_names);
    if let Some(host) = hub.and_then(|hub| door.virtual_host(hub)) {
        lines.push(format!(
            "docker: put {{\"registry-mirrors\": [\"http://{host}\"]}} into /etc/docker/daemon.json"
        ));
    }
    lines.push(format!(
        "containerd: put [host.\"http://{}\"] into /etc/containerd/certs.d/_default/hosts.toml",
        door.base()
    ));
    lines
}

/// The text of `wharf check` for a configuration that is right.
pub(crate) fn check(config: &Config) -> String {
    let tls = config.server.tls.iter().flat_map(|tls| &tls.listen);
    let tls = tls.map(|address| format!("{address} (TLS)"));
    let listen: Vec<String> = config.server.listen.iter().map(SocketAddr::to_string).chain(tls).collect();
    let admin = config.server.admin.as_ref().map_or("off".to_owned(), |admin| admin.listen.to_string());
    let address = *config.server.listen.first().expect("a valid configuration listens somewhere");
    let door = Door { config, address, own: None };
    let mut text = format!(
        "{}: no mistakes\nlisten  {}\nadmin   {admin}\nns      http://{}/v2/?ns=REGISTRY\n\n",
        config.source,
        listen.join(", "),
        door.base(),
    );
    let mut rows = vec![["REGISTRY", "UPSTREAM", "HOST", "CREDENTIALS", "ROOT"].map(str::to_owned)];
    for registry in &config.registries {
        rows.push([
            registry.names.name.clone(),
            origin(registry),
            door.virtual_host(registry).unwrap_or_else(|| "-".to_owned()),
            credentials(registry).to_owned(),
            registry.root.display().to_string(),
        ]);
    }
    push_table(&mut text, &rows);
    let mut warnings = config.notices.iter().cloned().chain(config.warnings.lines()).peekable();
    if warnings.peek().is_some() {
        text.push('\n');
    }
    for line in warnings {
        text.push_str("warning: ");
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// The upstream's URL, which has no path, without the slash that a URL ends in.
fn origin(registry: &Registry) -> String {
    registry.upstream.upstream.as_str().trim_end_matches('/').to_owned()
}

fn credentials(registry: &Registry) -> &'static str {
    match (registry.upstream.credentials.is_some(), registry.upstream.client_identity.is_some()) {
        (false, false) => "no",
        (true, false) => "password",
        (false, true) => "certificate",
        (true, true) => "password, certificate",
    }
}

/// Columns as wide as their widest cell, two spaces apart.
fn push_table<const COLUMNS: usize>(text: &mut String, rows: &[[String; COLUMNS]]) {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let line: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests;
