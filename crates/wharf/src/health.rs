//! `wharf health`: a container's health check that needs neither a shell nor a program for HTTP.

mod tls;

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
    let plain = server.listen.first().or(server.admin.as_ref().map(|admin| &admin.listen));
    let tls = server.tls.as_ref().and_then(|tls| tls.listen.first());
    let (scheme, address) = match (plain, tls) {
        (Some(address), _) => ("http", address),
        (None, address) => ("https", address.expect("a valid configuration listens somewhere")),
    };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let reachable = SocketAddr::new(ip, address.port());
    Url::parse(&format!("{scheme}://{reachable}/readyz")).expect("an address and a path make a URL")
}

/// Asks once.
///
/// # Errors
/// Unless the answer's status is 200.
pub(crate) fn ask(url: &Url) -> Result<(), HealthError> {
    let deadline = Instant::now() + WAIT_MAX;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(HealthError::Url);
    };
    let socket = |host: &str| -> io::Result<Socket> {
        Ok(Socket { stream: connect(host.trim_matches(['[', ']']), port, deadline)?, deadline })
    };
    let question = format!("GET {} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n", url.path());
    let line = match url.scheme() {
        "http" => exchange(socket(host)?, &question)?,
        "https" => exchange(tls::client(host, socket(host)?)?, &question)?,
        _ => return Err(HealthError::Url),
    };
    if line.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(HealthError::Answer(line)) }
}

/// A connection of which nothing is waited for beyond the deadline.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    deadline: Instant,
}

impl Socket {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Asks `question`, and returns the first line of the answer.
fn exchange(mut stream: impl Read + Write, question: &str) -> io::Result<String> {
    stream.write_all(question.as_bytes())?;
    stream.flush()?;
    let mut head = Vec::new();
    while !head.contains(&b'\n') && (head.len() as u64) < HEAD_BYTES_MAX {
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        head.extend_from_slice(&buffer[..length]);
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).trim_end().to_owned())
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
