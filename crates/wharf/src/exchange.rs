//! One HTTP exchange with a running wharf, written by hand: one request needs no client library.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// The bound on the start of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 4096;

/// The bound on an answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The longest wait for room in the queue of a Unix socket. A listener that works empties it at once.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(5);

/// A connection whose reads and writes have a limit on their time.
#[derive(Debug)]
pub(crate) struct Socket {
    connection: Connection,
    patience: Patience,
}

/// A connection over the network, or through the file of a Unix socket.
#[derive(Debug)]
pub(crate) enum Connection {
    Tcp(TcpStream),
    Local(UnixStream),
}

#[derive(Clone, Copy, Debug)]
enum Patience {
    /// All together end at this time.
    Until(Instant),
    /// Each takes this time at the longest.
    Each(Duration),
}

/// The parts of an answer that its reader needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The first line.
    pub(crate) line: String,
    pub(crate) body: String,
}

impl Socket {
    /// Connects, with a deadline of `wait_max` for the whole exchange.
    ///
    /// # Errors
    /// The error of the last address.
    pub(crate) fn connect(host: &str, port: u16, wait_max: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + wait_max;
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in (host, port).to_socket_addrs()? {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => {
                    let connection = Connection::Tcp(stream);
                    return Ok(Self { connection, patience: Patience::Until(deadline) });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Connects through the file of a Unix socket, with the same deadline.
    ///
    /// # Errors
    /// There is no such file, nobody listens there, this user may not write to it, or its queue stays full
    /// ([`io::ErrorKind::TimedOut`]).
    pub(crate) fn connect_local(file: &Path, wait_max: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + wait_max;
        let queue_wait = wait_max.min(QUEUE_WAIT_MAX);
        let address = SocketAddrUnix::new(file)?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // The time for sending also bounds the wait for room in the queue (socket(7), SO_SNDTIMEO).
        set_socket_timeout(&socket, Timeout::Send, Some(queue_wait))?;
        match connect(&socket, &address) {
            Ok(()) => {
                let connection = Connection::Local(UnixStream::from(socket));
                Ok(Self { connection, patience: Patience::Until(deadline) })
            }
            Err(Errno::AGAIN) => Err(queue_full(queue_wait)),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives each further read and write this time, for a long exchange.
    pub(crate) fn with_patience(self, each: Duration) -> Self {
        Self { patience: Patience::Each(each), ..self }
    }

    /// The connection, for a thread that ends it.
    ///
    /// # Errors
    /// The process has too many open files.
    pub(crate) fn connection(&self) -> io::Result<Connection> {
        match &self.connection {
            Connection::Tcp(stream) => stream.try_clone().map(Connection::Tcp),
            Connection::Local(stream) => stream.try_clone().map(Connection::Local),
        }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = match self.patience {
            Patience::Until(deadline) => deadline.saturating_duration_since(Instant::now()),
            Patience::Each(each) => each,
        };
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Connection {
    /// Ends it for both sides, and for every other handle of it.
    pub(crate) fn end(&self) {
        // It may be closed already.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Local(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = Some(self.left()?);
        match &mut self.connection {
            Connection::Tcp(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
            Connection::Local(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = Some(self.left()?);
        match &mut self.connection {
            Connection::Tcp(stream) => {
                stream.set_write_timeout(left)?;
                stream.write(bytes)
            }
            Connection::Local(stream) => {
                stream.set_write_timeout(left)?;
                stream.write(bytes)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // The streams have no buffer.
        Ok(())
    }
}

/// The address by which this machine reaches a listener on `address`.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Sends `request`, and returns the first line of the answer.
///
/// # Errors
/// I/O errors of the connection.
pub(crate) fn first_line(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut head = Vec::new();
    while !head.contains(&b'\n') && head.len() < HEAD_BYTES_MAX {
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        head.extend_from_slice(&buffer[..length]);
    }
    Ok(line_of(&head))
}

/// Sends `request`, which must ask to close the connection, and returns the whole answer.
///
/// # Errors
/// I/O errors of the connection.
pub(crate) fn whole(mut stream: impl Read + Write, request: &str) -> io::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let body = end.map_or(&[][..], |end| &answer[end + 4..]);
    Ok(Answer { line: line_of(&answer), body: String::from_utf8_lossy(body).into_owned() })
}

fn line_of(answer: &[u8]) -> String {
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).trim_end().to_owned()
}

fn queue_full(wait: Duration) -> io::Error {
    let text = format!("it accepts no connection, and its queue was full for {wait:?}");
    io::Error::new(io::ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests;
