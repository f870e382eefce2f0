//! Describes the running configuration: at the start, and for `wharf check`.

mod certificates;
mod entry_point;
mod mirror;

use std::net::{Ipv4Addr, SocketAddr};

use policy::offline::{Source, State};
use server::ListenAddress;

pub(crate) use self::certificates::date;
use self::entry_point::EntryPoint;
pub(crate) use self::entry_point::GivenAddress;
pub(crate) use self::mirror::mirror;
use crate::config::{Config, PLACES, Registry};

/// The addresses of the listeners.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listeners<'a> {
    pub(crate) plain: &'a [SocketAddr],
    pub(crate) tls: &'a [SocketAddr],
    pub(crate) admin: Option<&'a ListenAddress>,
    /// The address by which other machines reach this one, if it is known.
    pub(crate) own: Option<Ipv4Addr>,
}

/// The lines after the [`title`] at the start: the listeners, and the configuration of clients.
pub(crate) fn start(config: &Config, listeners: Listeners<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(listeners.plain.iter().map(|address| format!("listening on http://{address}")));
    lines.extend(listeners.tls.iter().map(|address| format!("listening on https://{address}")));
    lines.extend(listeners.admin.map(admin_line));
    let Some(entry) = EntryPoint::of(config, listeners.plain, listeners.tls, listeners.own) else {
        return lines;
    };
    for registry in &config.registries {
        let upstream = origin(registry);
        lines.push(format!("{} -> {upstream} as {}", registry.names.name, entry.describe(registry)));
    }
    lines.extend(clients(&entry).into_iter().map(|(client, hint)| format!("{client}: put {hint}")));
    lines
}

/// The same for a person at a terminal, who wants to see that wharf runs and what to do next.
pub(crate) fn start_short(config: &Config, listeners: Listeners<'_>) -> Vec<String> {
    let plain = listeners.plain.iter().map(|address| format!("http://{address}"));
    let tls = listeners.tls.iter().map(|address| format!("https://{address}"));
    let mut listening = format!("listening on {}", plain.chain(tls).collect::<Vec<_>>().join(", "));
    if let Some(address) = listeners.admin {
        listening.push_str("; ");
        listening.push_str(&admin_line(address));
    }
    let names: Vec<&str> = config.registries.iter().map(|registry| registry.names.name.as_str()).collect();
    let mut lines = vec![listening, format!("registries  {}", names.join(" "))];
    let Some(entry) = EntryPoint::of(config, listeners.plain, listeners.tls, listeners.own) else {
        return lines;
    };
    lines.extend(clients(&entry).into_iter().map(|(client, hint)| format!("{client:<10}  {hint}")));
    lines
}

fn admin_line(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Ip(address) => format!("admin on http://{address}/metrics"),
        ListenAddress::File(_) => format!("admin on {address}"),
    }
}

/// The first line of the log: the version and the configuration.
pub(crate) fn title(config: &Config) -> String {
    let absent = if config.is_builtin() { format!(" (no {})", PLACES.join(", no ")) } else { String::new() };
    format!("wharf {} with {}{absent}", env!("CARGO_PKG_VERSION"), config.origin())
}

/// The lines to add to the configuration files of the two most common clients.
fn clients(entry: &EntryPoint<'_>) -> Vec<(&'static str, String)> {
    let docker = entry.docker_mirror().map(|mirror| {
        let url = mirror.url;
        let hint = format!("{{\"registry-mirrors\": [\"{url}\"]}} into /etc/docker/daemon.json");
        let also = if mirror.needs_default {
            ", and default_registry = \"docker.io\" into [server] of wharf"
        } else {
            ""
        };
        ("docker", hint + also)
    });
    let url = entry.base_url();
    let hosts = format!("[host.\"{url}\"] into /etc/containerd/certs.d/_default/hosts.toml");
    docker.into_iter().chain([("containerd", hosts)]).collect()
}

/// The text of `wharf check` for a valid configuration, at `now`, in seconds since 1970.
pub(crate) fn check(config: &Config, now: u64) -> String {
    let plain = &config.server.listen;
    let tls = config.server.tls.as_ref().map_or(&[][..], |tls| &tls.listen);
    let mut listen: Vec<String> = plain.iter().map(SocketAddr::to_string).collect();
    listen.extend(tls.iter().map(|address| format!("{address} (TLS)")));
    let admin = config.admin.as_ref().map_or("off".to_owned(), |admin| admin.listen.to_string());
    let entry = EntryPoint::of(config, plain, tls, None).expect("a valid configuration listens somewhere");
    let mut text = format!(
        "{}: no mistakes\nlisten  {}\nadmin   {admin}\nbare    {}\nany     {}/v2/?ns=REGISTRY, as containerd \
         asks\n\n",
        config.origin(),
        listen.join(", "),
        bare(&entry),
        entry.base_url(),
    );
    let mut rows = vec![["REGISTRY", "UPSTREAM", "ADDRESS", "CREDENTIALS", "ROOT"].map(str::to_owned)];
    for registry in &config.registries {
        rows.push([
            registry.names.name.clone(),
            origin(registry),
            entry.address_of(registry).unwrap_or_else(|| "-".to_owned()),
            credentials(registry).to_owned(),
            registry.root.display().to_string(),
        ]);
    }
    push_table(&mut text, &rows);
    text.push_str(&certificates::table(config, now));
    text.push_str(&certificates::requests(config));
    let offline = config.registries.iter().filter(|registry| registry.cache.tags.offline);
    let offline: Vec<&str> = offline.map(|registry| registry.names.name.as_str()).collect();
    if !offline.is_empty() {
        text.push_str(&format!("\noffline by this configuration: {}\n", offline.join(", ")));
    }
    if let Some(line) = public_only(config) {
        text.push_str(&format!("\n{line}\n"));
    }
    let invalid = certificates::warnings(config, now);
    let mut warnings =
        config.notices.iter().cloned().chain(config.warnings.lines()).chain(invalid).peekable();
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

/// The line about registries with a login whose clients get only public repositories.
pub(crate) fn public_only(config: &Config) -> Option<String> {
    let registries = config.registries.iter().filter(|registry| registry.public_only);
    let names: Vec<&str> = registries.map(|registry| registry.names.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!("only public repositories, although wharf has a login: {names}; for private ones, name in [access] \
                 who may pull, or set serve_private")
    })
}

/// The line at the start about a registry that is offline.
pub(crate) fn offline(registry: &str, state: State) -> Option<String> {
    let why = match state.source {
        _ if !state.is_offline => return None,
        Source::Registry => "a switch; `wharf offline default --registry` takes it back",
        Source::All => "a switch for all registries; `wharf offline default` takes it back",
        Source::Configuration => "the configuration",
    };
    Some(format!("{registry} is offline because of {why}"))
}

/// Each key with its value, where it was set, and the variable that sets it.
pub(crate) fn explain(config: &Config) -> String {
    let mut rows = vec![["KEY", "VALUE", "FROM", "VARIABLE"].map(str::to_owned)];
    rows.extend(config.settings.iter().map(|setting| {
        [setting.key.clone(), setting.value.clone(), setting.from.clone(), setting.variable.clone()]
    }));
    let mut text = String::new();
    push_table(&mut text, &rows);
    text
}

/// The registry of requests that name none.
fn bare(entry: &EntryPoint<'_>) -> String {
    let url = entry.base_url();
    match entry.bare() {
        Some(registry) => format!("{url} means {}", registry.names.name),
        None => format!("{url} serves no default registry; set default_registry in [server] to choose one"),
    }
}

/// The upstream's URLs without the final slash.
fn origin(registry: &Registry) -> String {
    let addresses = registry.upstream.of_addresses();
    let urls = addresses.iter().map(|address| address.upstream.as_str().trim_end_matches('/'));
    urls.collect::<Vec<_>>().join(", ")
}

fn credentials(registry: &Registry) -> &'static str {
    if registry.cache.passthrough {
        return "clients'";
    }
    match (!registry.upstream.credentials.is_anonymous(), registry.upstream.client_identity.is_some()) {
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
