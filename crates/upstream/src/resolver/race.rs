//! Finds the address of a name that answers (Happy Eyeballs, RFC 8305, section 5): it connects to one after
//! the other, a quarter of a second apart, and the first that opens goes to the front. The HTTP client alone
//! would try the addresses of one family in turn, and spend its whole share of the connect timeout on a dead
//! one.
//!
//! The HTTP client cannot take over a connection and opens its own. So a race costs one connection more. It
//! runs once for each name with several addresses, and again only if its winner no longer answers.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::{Mutex, MutexGuard};
use policy::realm::TrustedHost;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::settings::Settings;

/// RFC 8305, section 8: "Connection Attempt Delay".
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// The longest wait for the last attempt. The client then tries by itself, and reports the error.
const LAST_ATTEMPT_MAX: Duration = Duration::from_secs(1);
/// The most addresses of a name to try.
const ATTEMPT_COUNT_MAX: usize = 8;
/// The time for which a winner is remembered without another race. After that, another address may be nearer.
const WINNER_TTL: Duration = Duration::from_secs(3600);
/// The most names whose winners are remembered.
const WINNER_COUNT_MAX: usize = 256;

/// The races of one upstream. Connecting needs a port, which a resolver does not get.
#[derive(Debug, Default)]
pub(crate) struct Race {
    ports: HashMap<String, u16>,
    /// The hosts of the proxies, if the names of all other hosts are resolved for a SOCKS proxy: then a
    /// connection from here proves nothing, and must not be made.
    only: Option<HashSet<String>>,
    /// The port of hosts that the configuration names without one, and of redirect targets.
    port_default: u16,
    winners: Mutex<HashMap<String, Winner>>,
}

#[derive(Clone, Copy, Debug)]
struct Winner {
    address: IpAddr,
    at: Instant,
}

impl Race {
    /// Makes the races for the upstream in `settings`, its trusted hosts and `proxies`.
    pub(crate) fn new(settings: &Settings, proxies: &[Url]) -> Self {
        let of_url = |url: &Url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?));
        let with_port = |text: &String| text.parse::<TrustedHost>().ok()?.with_port();
        let trusted = settings.trusted_hosts.iter().filter_map(with_port);
        let is_socks = proxies.iter().any(|proxy| matches!(proxy.scheme(), "socks4" | "socks5"));
        let hosts = || proxies.iter().filter_map(|proxy| Some(proxy.host_str()?.to_owned())).collect();
        let urls = proxies.iter().chain([&settings.upstream]).filter_map(of_url);
        Self {
            ports: trusted.chain(urls).collect(),
            only: is_socks.then(hosts),
            port_default: if settings.upstream.scheme() == "http" { 80 } else { 443 },
            winners: Mutex::default(),
        }
    }

    /// Forgets the winner of `name` after connecting to it failed.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Returns the addresses with the one that answers first. If none answers, the order stays, and no race
    /// runs until [`WINNER_TTL`] has passed: the port that was tried may be wrong.
    pub(crate) async fn order(&self, name: &str, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        if addresses.len() < 2 || self.only.as_ref().is_some_and(|only| !only.contains(name)) {
            return addresses;
        }
        let winner = match self.remembered(name).filter(|winner| addresses.contains(winner)) {
            Some(winner) => Some(winner),
            None => {
                let port = self.ports.get(name).copied().unwrap_or(self.port_default);
                let winner = first_to_answer(&alternating(&addresses), port).await;
                self.remember(name, winner.unwrap_or(addresses[0]));
                winner
            }
        };
        if let Some(winner) = winner {
            addresses.sort_by_key(|address| *address != winner);
        }
        addresses
    }

    fn remembered(&self, name: &str) -> Option<IpAddr> {
        let winner = *self.lock().get(name)?;
        (winner.at.elapsed() < WINNER_TTL).then_some(winner.address)
    }

    fn remember(&self, name: &str, address: IpAddr) {
        let mut winners = self.lock();
        if winners.len() >= WINNER_COUNT_MAX {
            winners.retain(|_, winner| winner.at.elapsed() < WINNER_TTL);
        }
        if winners.len() < WINNER_COUNT_MAX {
            winners.insert(name.to_owned(), Winner { address, at: Instant::now() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Winner>> {
        self.winners.lock()
    }
}

/// Alternates between the families, so that a dead family costs one delay.
fn alternating(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let is_first_family = |address: &IpAddr| address.is_ipv6() == addresses[0].is_ipv6();
    let (first, second): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(is_first_family);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::with_capacity(addresses.len());
    while first.len() + second.len() > 0 {
        order.extend(first.next());
        order.extend(second.next());
    }
    order
}

/// Starts the next attempt when the one before has failed, or has taken too long.
async fn first_to_answer(addresses: &[IpAddr], port: u16) -> Option<IpAddr> {
    let mut waiting = addresses.iter().take(ATTEMPT_COUNT_MAX).map(|address| SocketAddr::new(*address, port));
    let mut attempts = FuturesUnordered::new();
    loop {
        let delay = match waiting.next() {
            Some(address) => {
                attempts.push(async move { TcpStream::connect(address).await.map(|_| address.ip()) });
                if waiting.len() > 0 { ATTEMPT_DELAY } else { LAST_ATTEMPT_MAX }
            }
            None => LAST_ATTEMPT_MAX,
        };
        // A failed attempt starts the next one at once; a silent one keeps running beside the next.
        match timeout(delay, attempts.next()).await {
            Ok(Some(Ok(address))) => return Some(address),
            Ok(Some(Err(_))) => {}
            Ok(None) => return None,
            Err(_) if waiting.len() == 0 => return None,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
