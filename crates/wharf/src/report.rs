//! What wharf says of itself: at the start, and for `wharf check`.

mod door;

use std::net::{Ipv4Addr, SocketAddr};

use self::door::Door;
use crate::config::{Config, PLACES, Registry};

/// Where we listen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listeners<'a> {
    pub(crate) plain: &'a [SocketAddr],
    pub(crate) tls: &'a [SocketAddr],
    pub(crate) admin: Option<SocketAddr>,
    /// What others reach this machine by, if that is known.
    pub(crate) own: Option<Ipv4Addr>,
}

/// The lines at the start, behind the [`title`]: where we listen and how each client is told.
pub(crate) fn start(config: &Config, listeners: Listeners<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(listeners.plain.iter().map(|address| format!("listening on http://{address}")));
    lines.extend(listeners.tls.iter().map(|address| format!("listening on https://{address}")));
    lines.extend(listeners.admin.map(|address| format!("admin on http://{address}/metrics")));
    let Some(door) = Door::of(config, listeners.plain, listeners.tls, listeners.own) else { return lines };
    for registry in &config.registries {
        let upstream = origin(registry);
        lines.push(format!("{} -> {upstream} as {}", registry.names.name, door.describe(registry)));
    }
    lines.extend(clients(&door).into_iter().map(|(client, hint)| format!("{client}: put {hint}")));
    lines
}

/// The same for a person in front of a terminal, who wants to see that it runs and what to do next.
pub(crate) fn start_short(config: &Config, listeners: Listeners<'_>) -> Vec<String> {
    let plain = listeners.plain.iter().map(|address| format!("http://{address}"));
    let tls = listeners.tls.iter().map(|address| format!("https://{address}"));
    let mut listening = format!("listening on {}", plain.chain(tls).collect::<Vec<_>>().join(", "));
    if let Some(address) = listeners.admin {
        listening.push_str(&format!("; admin on http://{address}/metrics"));
    }
    let names: Vec<&str> = config.registries.iter().map(|registry| registry.names.name.as_str()).collect();
    let mut lines = vec![listening, format!("registries  {}", names.join(" "))];
    let Some(door) = Door::of(config, listeners.plain, listeners.tls, listeners.own) else { return lines };
    lines.extend(clients(&door).into_iter().map(|(client, hint)| format!("{client:<10}  {hint}")));
    lines
}

/// The first line of the log: which version runs, and with which configuration.
pub(crate) fn title(config: &Config) -> String {
    let looked = if config.is_builtin() { format!(" (no {})", PLACES.join(", no ")) } else { String::new() };
    format!("wharf {} with {}{looked}", env!("CARGO_PKG_VERSION"), config.origin())
}

/// What to write into which file of the two commonest clients.
fn clients(door: &Door<'_>) -> Vec<(&'static str, String)> {
    let docker = door.docker_mirror().map(|mirror| {
        let url = mirror.url;
        let hint = format!("{{\"registry-mirrors\": [\"{url}\"]}} into /etc/docker/daemon.json");
        let also = if mirror.needs_default {
            ", and default_registry = \"docker.io\" into [server] of wharf"
        } else {
            ""
        };
        ("docker", hint + also)
    });
    let url = door.base_url();
    let hosts = format!("[host.\"{url}\"] into /etc/containerd/certs.d/_default/hosts.toml");
    docker.into_iter().chain([("containerd", hosts)]).collect()
}

/// The text of `wharf check` for a configuration that is right.
pub(crate) fn check(config: &Config) -> String {
    let plain = &config.server.listen;
    let tls = config.server.tls.as_ref().map_or(&[][..], |tls| &tls.listen);
    let mut listen: Vec<String> = plain.iter().map(SocketAddr::to_string).collect();
    listen.extend(tls.iter().map(|address| format!("{address} (TLS)")));
    let admin = config.admin.as_ref().map_or("off".to_owned(), |admin| admin.listen.to_string());
    let door = Door::of(config, plain, tls, None).expect("a valid configuration listens somewhere");
    let mut text = format!(
        "{}: no mistakes\nlisten  {}\nadmin   {admin}\nbare    {}\nany     {}/v2/?ns=REGISTRY, as containerd \
         asks\n\n",
        config.origin(),
        listen.join(", "),
        bare(&door),
        door.base_url(),
    );
    let mut rows = vec![["REGISTRY", "UPSTREAM", "ADDRESS", "CREDENTIALS", "ROOT"].map(str::to_owned)];
    for registry in &config.registries {
        rows.push([
            registry.names.name.clone(),
            origin(registry),
            door.address_of(registry).unwrap_or_else(|| "-".to_owned()),
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

/// Each key with its value, where that was said, and the variable that sets it.
pub(crate) fn explain(config: &Config) -> String {
    let mut rows = vec![["KEY", "VALUE", "FROM", "VARIABLE"].map(str::to_owned)];
    rows.extend(config.settings.iter().map(|setting| {
        [setting.key.clone(), setting.value.clone(), setting.from.clone(), setting.variable.clone()]
    }));
    let mut text = String::new();
    push_table(&mut text, &rows);
    text
}

/// What the address means by itself, where a request names no registry.
fn bare(door: &Door<'_>) -> String {
    let url = door.base_url();
    match door.bare() {
        Some(registry) => format!("{url} means {}", registry.names.name),
        None => format!("{url} serves no default registry; set default_registry in [server] to choose one"),
    }
}

/// The upstream's URL, without the slash that a URL ends in.
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
pub(crate) fn push_table<const COLUMNS: usize>(text: &mut String, rows: &[[String; COLUMNS]]) {
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
