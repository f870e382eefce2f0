//! `wharf health`: a container's health check that needs neither a shell nor an HTTP client.

mod tls;

use std::io;
use std::time::Duration;

use url::Url;

use crate::config::Config;
use crate::exchange::{Socket, first_line, reachable};

/// The longest wait for the whole answer. Health checks have their own timeout; this one only ends the
/// process.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Why the check failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealthError {
    #[error("not a URL to check; write http or https and a host")]
    Url,
    #[error("TLS failed")]
    Tls(#[from] rustls::Error),
    #[error("no answer")]
    Io(#[from] io::Error),
    #[error("the answer was {0:?}")]
    Answer(String),
}

/// The URL to check a wharf with this configuration on this machine; without TLS, if a listener has none.
pub(crate) fn url_of(config: &Config) -> Url {
    let server = &config.server;
    let admin = config.admin.as_ref().and_then(|admin| admin.listen.ip());
    let plain = server.listen.first().copied().or(admin);
    let tls = server.tls.as_ref().and_then(|tls| tls.listen.first().copied());
    let (scheme, address) = match (plain, tls) {
        (Some(address), _) => ("http", address),
        (None, address) => ("https", address.expect("a valid configuration listens somewhere")),
    };
    let reachable = reachable(address);
    Url::parse(&format!("{scheme}://{reachable}/readyz")).expect("an address and a path make a URL")
}

/// Sends one request.
///
/// # Errors
/// [`HealthError`] unless the answer's status is 200.
pub(crate) fn ask(url: &Url) -> Result<(), HealthError> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(HealthError::Url);
    };
    let socket = |host: &str| Socket::connect(host.trim_matches(['[', ']']), port, WAIT_MAX);
    let request = format!("GET {} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n", url.path());
    let line = match url.scheme() {
        "http" => first_line(socket(host)?, &request)?,
        "https" => first_line(tls::client(host, socket(host)?)?, &request)?,
        _ => return Err(HealthError::Url),
    };
    if line.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(HealthError::Answer(line)) }
}

#[cfg(test)]
mod tests;
