//! `wharf health`: a container's health check that needs neither a shell nor a program for HTTP.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use url::Url;

use crate::config::Config;

/// The longest wait for the whole answer. A health check has its own timeout; this only ends the process.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// An answer's head is shorter.
const HEAD_BYTES_MAX: u64 = 4096;

/// Why the answer is not a yes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealthError {
    #[error("only http is asked, at a host")]
    Url,
    #[error("no answer: {0}")]
    Io(#[from] io::Error),
    #[error("the answer was {0:?}")]
    Answer(String),
}

/// The question to a wharf with this configuration on this machine.
pub(crate) fn url_of(config: &Config) -> Url {
    let address = config.server.listen.first().expect("a valid configuration listens somewhere");
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let reachable = SocketAddr::new(ip, address.port());
    Url::parse(&format!("http://{reachable}/readyz")).expect("an address and a path make a URL")
}

/// Asks once.
///
/// # Errors
/// Unless the answer's status is 200.
pub(crate) fn ask(url: &Url) -> Result<(), HealthError> {
    let deadline = Instant::now() + WAIT_MAX;
    let (Some(host), Some(port), "http") = (url.host_str(), url.port_or_known_default(), url.scheme()) else {
        return Err(HealthError::Url);
    };
    let mut stream = connect(host.trim_matches(['[', ']']), port, deadline)?;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    write!(stream, "GET {} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n", url.path())?;

    let mut head = Vec::new();
    while !head.contains(&b'\n') && (head.len() as u64) < HEAD_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        stream.set_read_timeout(Some(left))?;
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        head.extend_from_slice(&buffer[..length]);
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).trim_end().to_owned();
    if line.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(HealthError::Answer(line)) }
}

fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests;
