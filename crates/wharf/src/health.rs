//! `wharf health`: a container's health check that needs neither a shell nor a program for HTTP.

mod tls;

use std::io;
use std::time::Duration;

use url::Url;

use crate::config::Config;
use crate::exchange::{Socket, first_line, reachable};

/// The longest wait for the whole answer. A health check has its own timeout; this only ends the process.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Why the answer is not a yes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealthError {
    #[error("only http and https are asked, at a host")]
    Url,
    #[error("no TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("no answer: {0}")]
    Io(#[from] io::Error),
    #[error("the answer was {0:?}")]
    Answer(String),
}

/// The question to a wharf with this configuration on this machine: without TLS, if it answers anywhere without.
pub(crate) fn url_of(config: &Config) -> Url {
    let server = &config.server;
    let plain = server.listen.first().or(config.admin.as_ref().map(|admin| &admin.listen));
    let tls = server.tls.as_ref().and_then(|tls| tls.listen.first());
    let (scheme, address) = match (plain, tls) {
        (Some(address), _) => ("http", address),
        (None, address) => ("https", address.expect("a valid configuration listens somewhere")),
    };
    let reachable = reachable(*address);
    Url::parse(&format!("{scheme}://{reachable}/readyz")).expect("an address and a path make a URL")
}

/// Asks once.
///
/// # Errors
/// Unless the answer's status is 200.
pub(crate) fn ask(url: &Url) -> Result<(), HealthError> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(HealthError::Url);
    };
    let socket = |host: &str| Socket::connect(host.trim_matches(['[', ']']), port, WAIT_MAX);
    let question = format!("GET {} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n", url.path());
    let line = match url.scheme() {
        "http" => first_line(socket(host)?, &question)?,
        "https" => first_line(tls::client(host, socket(host)?)?, &question)?,
        _ => return Err(HealthError::Url),
    };
    if line.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(HealthError::Answer(line)) }
}

#[cfg(test)]
mod tests;
