//! The client that loads a server: one HTTP/1.1 connection that can discard a body inside the kernel, so that
//! the client's own work does not limit the measured rate.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::net::RecvFlags;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The bytes to read or discard at a time.
const PIECE_BYTES: usize = 512 * 1024;

/// The bound on the head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The start of an unexpected body that an error shows.
const TOLD_BYTES_MAX: usize = 500;

/// Older registries hide manifests of types that the client does not accept.
const ACCEPT: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

/// The address and the protocol of a server.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// The value of the header `Authorization`.
    pub(crate) authorization: Option<&'static str>,
}

/// One request and its expected answer.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// `bytes=<first>-<last>`, inclusive.
    pub(crate) range: Option<(u64, u64)>,
    /// The whole content; the body is all of it or the range.
    pub(crate) content: Bytes,
}

impl Request {
    pub(crate) fn whole(path: impl Into<String>, content: Bytes) -> Self {
        Self { path: path.into(), range: None, content }
    }

    fn expected(&self) -> &[u8] {
        match self.range {
            None => &self.content,
            Some((first, last)) => &self.content[offset(first)..=offset(last)],
        }
    }
}

fn offset(position: u64) -> usize {
    usize::try_from(position).expect("content in memory has offsets that fit")
}

/// How closely a body is checked. The status and the length are always checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Every byte is compared with the content, whose digest is known.
    Bytes,
    /// The kernel discards the bytes.
    Length,
}

/// The times at which the parts of an answer arrived, since the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) first_byte: Duration,
    pub(crate) whole: Duration,
}

/// An open connection.
pub(crate) struct Client {
    stream: Stream,
    /// The headers that every request has.
    headers: String,
    buffer: Vec<u8>,
    /// How much of `buffer` is filled.
    filled: usize,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Client {
    pub(crate) async fn open(target: &Target) -> io::Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let stream = match &target.tls {
            None => Stream::Plain(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let tls = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
                Stream::Tls(Box::new(tls))
            }
        };
        let authorization = target.authorization.map(|value| format!("Authorization: {value}\r\n"));
        let headers =
            format!("Host: {}\r\nAccept: {ACCEPT}\r\n{}", target.host, authorization.unwrap_or_default());
        Ok(Self { stream, headers, buffer: vec![0; PIECE_BYTES], filled: 0 })
    }

    /// Sends the request, reads the answer to its end and checks it. Calls `progress` with the number of body
    /// bytes as they arrive.
    pub(crate) async fn fetch(
        &mut self,
        request: &Request,
        check: Check,
        mut progress: impl FnMut(usize),
    ) -> io::Result<Timing> {
        let started = Instant::now();
        self.send(request).await?;
        let (status, length) = self.read_head().await?;
        let expected = request.expected();
        let wanted = if request.range.is_some() { 206 } else { 200 };
        if status != wanted || length != Some(expected.len()) {
            let told = String::from_utf8_lossy(&self.buffer[..self.filled.min(TOLD_BYTES_MAX)]).into_owned();
            let what = format!("status {status}, length {length:?}, {} wanted: {told}", expected.len());
            return Err(wrong(request, &what));
        }
        while self.filled == 0 && !expected.is_empty() {
            self.fill().await?;
        }
        let first_byte = started.elapsed();
        let mut position = 0;
        while position < expected.len() {
            let came = if self.filled > 0 || check == Check::Bytes || !self.is_plain() {
                if self.filled == 0 {
                    self.fill().await?;
                }
                let piece = &self.buffer[..self.filled];
                if check == Check::Bytes && expected.get(position..position + piece.len()) != Some(piece) {
                    return Err(wrong(request, &format!("other bytes than expected at {position}")));
                }
                std::mem::take(&mut self.filled)
            } else {
                self.discard(expected.len() - position).await?
            };
            position += came;
            progress(came);
        }
        Ok(Timing { first_byte, whole: started.elapsed() })
    }

    fn is_plain(&self) -> bool {
        matches!(self.stream, Stream::Plain(_))
    }

    async fn send(&mut self, request: &Request) -> io::Result<()> {
        let range = request.range.map(|(first, last)| format!("Range: bytes={first}-{last}\r\n"));
        let head =
            format!("GET {} HTTP/1.1\r\n{}{}\r\n", request.path, self.headers, range.unwrap_or_default());
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(head.as_bytes()).await,
            Stream::Tls(stream) => {
                stream.write_all(head.as_bytes()).await?;
                stream.flush().await
            }
        }
    }

    /// Returns the status and `Content-Length`. The start of the body stays in the buffer.
    async fn read_head(&mut self) -> io::Result<(u16, Option<usize>)> {
        self.filled = 0;
        let end = loop {
            self.fill().await?;
            if let Some(end) = find(&self.buffer[..self.filled], b"\r\n\r\n") {
                break end + 4;
            }
            if self.filled > HEAD_BYTES_MAX {
                return Err(io::Error::other("the head does not end"));
            }
        };
        let head = std::str::from_utf8(&self.buffer[..end]).map_err(io::Error::other)?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {head:?}")))?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        self.buffer.copy_within(end..self.filled, 0);
        self.filled -= end;
        Ok((status, length))
    }

    async fn fill(&mut self) -> io::Result<()> {
        let space = &mut self.buffer[self.filled..];
        let count = match &mut self.stream {
            Stream::Plain(stream) => stream.read(space).await?,
            Stream::Tls(stream) => stream.read(space).await?,
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += count;
        Ok(())
    }

    /// Discards up to `count_max` bytes without copying them (tcp(7): `MSG_TRUNC`).
    async fn discard(&mut self, count_max: usize) -> io::Result<usize> {
        let Stream::Plain(stream) = &self.stream else { return Ok(0) };
        let space = &mut self.buffer[..count_max.min(PIECE_BYTES)];
        let count = stream
            .async_io(Interest::READABLE, || {
                Ok(rustix::net::recv(stream, &mut *space, RecvFlags::TRUNC | RecvFlags::DONTWAIT)?.1)
            })
            .await?;
        if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn wrong(request: &Request, what: &str) -> io::Error {
    io::Error::other(format!("{}: {what}", request.path))
}
