//! Which of a name's addresses answers. Connections are begun to one after the other, a quarter of a second
//! apart, and the first that opens goes in front (RFC 8305, section 5). The HTTP client alone would go
//! through the addresses of one family in turn, and give a dead one its whole share of the time for
//! connecting.
//!
//! The HTTP client opens its own connection afterwards: it cannot be given one. So a race costs one
//! connection more, and there is one for each name with several addresses, and another only when its winner
//! no longer answers.

use std::collections::HashMap;
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
/// How long the last attempt is waited for. The client tries all the same afterwards, and reports.
const LAST_ATTEMPT_MAX: Duration = Duration::from_secs(1);
/// Addresses that are tried, of a name with more.
const ATTEMPT_COUNT_MAX: usize = 8;
/// How long a winner that answers goes in front without another race. By then another address may be the
/// nearer one.
const WINNER_TTL: Duration = Duration::from_secs(3600);
/// Names whose winners are remembered.
const WINNER_COUNT_MAX: usize = 256;

/// The races of one upstream. The port must be known to connect, and is no part of what is resolved.
#[derive(Debug, Default)]
pub(crate) struct Race {
    ports: HashMap<String, u16>,
    /// Of hosts that the configuration names without a port, and those that registries redirect to.
    port_default: u16,
    winners: Mutex<HashMap<String, Winner>>,
}

#[derive(Clone, Copy, Debug)]
struct Winner {
    address: IpAddr,
    at: Instant,
}

impl Race {
    /// The races of the upstream that `settings` describe, of its trusted hosts and of `proxies`.
    pub(crate) fn new(settings: &Settings, proxies: &[Url]) -> Self {
        let of_url = |url: &Url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?));
        let with_port = |text: &String| text.parse::<TrustedHost>().ok()?.with_port();
        let trusted = settings.trusted_hosts.iter().filter_map(with_port);
        let urls = proxies.iter().chain([&settings.upstream]).filter_map(of_url);
        Self {
            ports: trusted.chain(urls).collect(),
            port_default: if settings.upstream.scheme() == "http" { 80 } else { 443 },
            winners: Mutex::default(),
        }
    }

    /// Forgets the winner of `name`, which could not be connected to.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// The addresses with the one that answers in front. When none does, they stay as they are, and there is
    /// no other race for as long as a winner is remembered: the port that was tried need not be the one that
    /// is meant.
    pub(crate) async fn order(&self, name: &str, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        if addresses.len() < 2 {
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

/// One family after the other in turn, so that a family that leads nowhere costs one delay.
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

/// The next attempt begins when the one before has failed, or has taken too long.
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
