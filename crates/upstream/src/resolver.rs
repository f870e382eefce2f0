//! Resolves names without the C library, whose resolver a static binary lacks.
//!
//! It reads `/etc/hosts` first, then asks the servers of `/etc/resolv.conf`. Both files are read again when
//! they change, so that a start before the network is up recovers. Of several addresses, the one that answers
//! goes first.

mod name_error;
pub(crate) mod proxy_names;
pub(crate) mod race;

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::{Either, select};
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name as DnsName, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use parking_lot::Mutex;
use policy::address::{self, InternalAddress};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

pub(crate) use self::name_error::NameError;
use self::race::Race;

/// The files that say how names are resolved.
const SYSTEM_FILES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];
/// The time for which the answer for one address family waits for the other's (RFC 8305, section 3).
const OTHER_FAMILY_DELAY: Duration = Duration::from_millis(50);
/// The time for which a name that does not exist is remembered.
const NEGATIVE_TTL: Duration = Duration::from_secs(1);

type ResolveError = Box<dyn std::error::Error + Send + Sync>;

/// Resolves as the system is configured to.
#[derive(Clone, Default)]
pub(crate) struct SystemResolver {
    loaded: Arc<Mutex<Option<Loaded>>>,
    race: Arc<Race>,
}

#[derive(Clone)]
struct Loaded {
    changed_at: [Option<SystemTime>; SYSTEM_FILES.len()],
    hosts: Arc<Hosts>,
    dns: TokioResolver,
}

/// Like [`SystemResolver`], for hosts that foreign text names: it drops internal addresses, and refuses a
/// name without others. The client connects to exactly these addresses, so a name that changes between two
/// look-ups gains nothing (DNS rebinding).
#[derive(Clone)]
pub(crate) struct GuardedResolver {
    system: SystemResolver,
    /// Names of proxies, which the operator configured.
    exempt: Arc<HashSet<String>>,
}

/// A name with an internal address.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{name} has {inside}; if it belongs to this registry, list it in trusted_hosts")]
pub(crate) struct AddressRefused {
    name: String,
    inside: InternalAddress,
}

impl SystemResolver {
    pub(crate) fn new(race: Arc<Race>) -> Self {
        Self { loaded: Arc::default(), race }
    }

    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        // Before a SOCKS proxy, the HTTP client resolves hosts that the URL names by an address, too.
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        let loaded = self.loaded().await?;
        let listed = loaded.listed(name)?;
        if !listed.is_empty() {
            return Ok(listed);
        }
        Ok(both_families(&loaded.dns, name)
            .await
            .map_err(|error| NameError::new(name, &error, SYSTEM_FILES[1]))?)
    }

    async fn loaded(&self) -> Result<Loaded, ResolveError> {
        let mut changed_at = [None; SYSTEM_FILES.len()];
        for (path, changed_at) in SYSTEM_FILES.iter().zip(&mut changed_at) {
            let metadata = tokio::fs::metadata(path).await;
            *changed_at = metadata.and_then(|metadata| metadata.modified()).ok();
        }
        let mut loaded = self.loaded.lock();
        match &*loaded {
            Some(current) if current.changed_at == changed_at => Ok(current.clone()),
            _ => {
                let fresh = Loaded { changed_at, hosts: Arc::default(), dns: load_dns()? };
                let hosts = Arc::new(Hosts::from_system().unwrap_or_default());
                Ok(loaded.insert(Loaded { hosts, ..fresh }).clone())
            }
        }
    }
}

impl Loaded {
    /// Returns the addresses in `/etc/hosts`. A name listed for one family has no address of the other.
    fn listed(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let name = DnsName::from_utf8(name)?;
        let of = |family| self.hosts.lookup_static_host(&Query::query(name.clone(), family));
        let found = [of(RecordType::AAAA), of(RecordType::A)];
        let records = found.iter().flatten().flat_map(|lookup| lookup.answers());
        Ok(records.filter_map(|record| record.data.ip_addr()).collect())
    }
}

/// If the configuration cannot be read, use a server on this host, as the C library does.
fn load_dns() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
        tracing::warn!(%error, "resolv.conf cannot be used; asking 127.0.0.1");
        let local = NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![local]);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    });
    let options = builder.options_mut();
    options.use_hosts_file = ResolveHosts::Never;
    options.negative_max_ttl = Some(NEGATIVE_TTL);
    builder.build()
}

/// Queries both families at once. A server that drops the query for one family must not use up the time for
/// connecting.
async fn both_families(dns: &TokioResolver, name: &str) -> Result<Vec<IpAddr>, NetError> {
    let (v6, v4) = (Box::pin(dns.ipv6_lookup(name)), Box::pin(dns.ipv4_lookup(name)));
    let (first, other) = match select(v6, v4).await {
        Either::Left((first, other)) => (first, Either::Left(other)),
        Either::Right((first, other)) => (first, Either::Right(other)),
    };
    let other = match &first {
        Ok(_) => tokio::time::timeout(OTHER_FAMILY_DELAY, other).await.ok(),
        Err(_) => Some(other.await),
    };
    let mut addresses: Vec<IpAddr> = [Some(&first), other.as_ref()]
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|lookup| lookup.answers())
        .filter_map(|record| record.data.ip_addr())
        .collect();
    // The connector starts with the first address's family.
    addresses.sort_by_key(IpAddr::is_ipv4);
    if addresses.is_empty() { first.map(|_| addresses) } else { Ok(addresses) }
}

impl GuardedResolver {
    pub(crate) fn new(system: SystemResolver, exempt: HashSet<String>) -> Self {
        Self { system, exempt: Arc::new(exempt) }
    }
}

/// Keeps the public addresses. If none is left, the error names the first internal one.
fn keep_outside(name: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, AddressRefused> {
    let (outside, inside): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address::check(*address).is_ok());
    let first = inside.first().and_then(|address| address::check(*address).err());
    match first {
        Some(inside) if outside.is_empty() => Err(AddressRefused { name: name.to_owned(), inside }),
        _ => Ok(outside),
    }
}

/// Port 0 stands for the port of the URL.
fn with_any_port(addresses: Vec<IpAddr>) -> Addrs {
    Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)))
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            Ok(with_any_port(resolver.race.order(name.as_str(), addresses).await))
        })
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let mut addresses = resolver.system.addresses(name.as_str()).await?;
            if !resolver.exempt.contains(name.as_str()) {
                addresses = keep_outside(name.as_str(), addresses)?;
            }
            Ok(with_any_port(resolver.system.race.order(name.as_str(), addresses).await))
        })
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemResolver")
    }
}

#[cfg(test)]
mod tests;
