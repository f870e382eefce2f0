//! One connection of a client, under the control of the test.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::body::Left;
use super::{Broken, Head, Response};
use crate::authority::{Identity, client_config};
use crate::blob_source::named;
use crate::stream::Stream;

/// The most that is read from the socket at once.
const READ_MAX: usize = 64 << 10;

/// An open connection. Dropping it closes it; with unread bytes in it, the kernel turns that into a reset.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// Bytes that were read from the socket and not returned yet.
    pending: BytesMut,
    left: Left,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The system's error.
    pub async fn open(address: SocketAddr) -> Result<Self, Broken> {
        Ok(Self::over(Stream::Plain(TcpStream::connect(address).await?)))
    }

    /// Connects with a receive buffer of about this many bytes, so that the server soon notices a reader that
    /// stops.
    ///
    /// # Errors
    /// The system's error.
    pub async fn open_slow(address: SocketAddr, receive_buffer: u32) -> Result<Self, Broken> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_recv_buffer_size(receive_buffer)?;
        Ok(Self::over(Stream::Plain(socket.connect(address).await?)))
    }

    /// Connects with TLS to a server that must have a certificate of the authority `ca_pem` for `name`.
    ///
    /// # Errors
    /// The system's error or that of TLS.
    ///
    /// # Panics
    /// When `name` or `ca_pem` is malformed.
    pub async fn open_tls(address: SocketAddr, name: &str, ca_pem: &str) -> Result<Self, Broken> {
        Self::open_tls_after(b"", address, name, ca_pem).await
    }

    /// [`Connection::open_tls`], with bytes before the handshake, as a proxy sends them.
    ///
    /// # Errors
    /// The system's error or that of TLS.
    ///
    /// # Panics
    /// When `name` or `ca_pem` is malformed.
    pub async fn open_tls_after(
        preface: &[u8],
        address: SocketAddr,
        name: &str,
        ca_pem: &str,
    ) -> Result<Self, Broken> {
        Self::handshake(preface, address, name, client_config(read_certificate(ca_pem), None)).await
    }

    /// [`Connection::open_tls`] with a client certificate.
    ///
    /// # Errors
    /// The system's error or that of TLS; a refused certificate shows only when something is read.
    ///
    /// # Panics
    /// When an argument is malformed.
    pub async fn open_mutual_tls(
        address: SocketAddr,
        name: &str,
        ca_pem: &str,
        identity: &Identity,
    ) -> Result<Self, Broken> {
        let chain = vec![read_certificate(&identity.certificate_pem)];
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("the key is PEM");
        let config = client_config(read_certificate(ca_pem), Some((chain, key)));
        Self::handshake(b"", address, name, config).await
    }

    async fn handshake(
        preface: &[u8],
        address: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> Result<Self, Broken> {
        let name = ServerName::try_from(name.to_owned()).expect("the name of the server is well formed");
        let mut tcp = TcpStream::connect(address).await?;
        tcp.write_all(preface).await?;
        let tls = TlsConnector::from(config).connect(name, tcp).await?;
        Ok(Self::over(Stream::Tls(Box::new(tls.into()))))
    }

    fn over(stream: Stream) -> Self {
        Self { stream, pending: BytesMut::new(), left: Left::Nothing }
    }

    /// Sends exactly these bytes.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Sends a request without a body, and does not read: several in a row are pipelined.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn request(
        &mut self,
        method: &str,
        host: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), Broken> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send(head.as_bytes()).await
    }

    /// Reads the head of the next answer. `method` is that of the request, which decides whether a body
    /// follows; a body before it must have been read to its end.
    ///
    /// # Errors
    /// When there is no whole head.
    ///
    /// # Panics
    /// When a body is still being read.
    pub async fn read_head(&mut self, method: &str) -> Result<Head, Broken> {
        assert_eq!(self.left, Left::Nothing, "the body before has not been read to its end");
        let raw = self.read_through(b"\r\n\r\n").await?;
        let head = Head::parse(String::from_utf8_lossy(&raw).into_owned())?;
        self.left = Left::after(&head, method)?;
        Ok(head)
    }

    /// Reads more of the body, at least one byte and at most `max`; `None` at its proper end.
    ///
    /// # Errors
    /// When the body breaks off.
    pub async fn read_piece(&mut self, max: usize) -> Result<Option<Bytes>, Broken> {
        if self.left == Left::ChunkEnd {
            self.end_chunk().await?;
        }
        if self.left == Left::ChunkLine {
            self.begin_chunk().await?;
        }
        if self.left == Left::Nothing {
            return Ok(None);
        }
        if self.pending.is_empty() && !self.fill().await? {
            let is_end = self.left == Left::UntilClose;
            self.left = Left::Nothing;
            return if is_end { Ok(None) } else { Err(Broken::Closed) };
        }
        let limit = usize::try_from(self.left.limit()).unwrap_or(usize::MAX);
        let piece = self.pending.split_to(limit.min(max).min(self.pending.len())).freeze();
        self.left = self.left.minus(piece.len() as u64);
        Ok(Some(piece))
    }

    /// Reads the rest of the body, and returns whether it reached its proper end.
    pub async fn read_rest(&mut self) -> (Bytes, Result<(), Broken>) {
        let mut body = BytesMut::new();
        loop {
            match self.read_piece(READ_MAX).await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => return (body.freeze(), Ok(())),
                Err(broken) => return (body.freeze(), Err(broken)),
            }
        }
    }

    /// Reads one complete response.
    ///
    /// # Errors
    /// When there is no whole head; a body that breaks off makes an incomplete answer.
    pub async fn read_response(&mut self, method: &str) -> Result<Response, Broken> {
        let head = self.read_head(method).await?;
        let (body, end) = self.read_rest().await;
        Ok(Response { status: head.status, headers: head.headers, body, complete: end.is_ok() })
    }

    /// Reads the rest of the body and returns its digest, `sha256:<hex>`, without collecting it.
    ///
    /// # Errors
    /// When the body breaks off.
    pub async fn read_digest(mut self) -> Result<String, Broken> {
        let mut hasher = Sha256::new();
        while let Some(piece) = self.read_piece(1 << 20).await? {
            hasher.update(&piece);
        }
        Ok(named(&hasher.finalize()))
    }

    /// Reads all bytes until the connection ends, and returns how it ended.
    pub async fn read_raw_to_end(&mut self) -> (Bytes, Result<(), Broken>) {
        let end = loop {
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(broken) => break Err(broken),
            }
        };
        (self.pending.split().freeze(), end)
    }

    /// Closes the sending side (FIN), and stays open for reading.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn half_close(&mut self) -> Result<(), Broken> {
        Ok(self.stream.shutdown().await?)
    }

    /// Closes by reset.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn reset(self) -> Result<(), Broken> {
        Ok(self.stream.reset()?)
    }

    async fn begin_chunk(&mut self) -> Result<(), Broken> {
        let line = self.read_through(b"\r\n").await?;
        let text = String::from_utf8_lossy(&line);
        let digits = text.trim_end().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(digits, 16).map_err(|_| Broken::Malformed(text.to_string()))?;
        if size > 0 {
            self.left = Left::Chunk(size);
            return Ok(());
        }
        // Trailers, if any, and the empty line after them.
        while self.read_through(b"\r\n").await?.len() > 2 {}
        self.left = Left::Nothing;
        Ok(())
    }

    async fn end_chunk(&mut self) -> Result<(), Broken> {
        let line = self.read_through(b"\r\n").await?;
        self.left = Left::ChunkLine;
        if line.len() == 2 { Ok(()) } else { Err(Broken::Malformed("a chunk without an end".to_owned())) }
    }

    async fn read_through(&mut self, end: &[u8]) -> Result<BytesMut, Broken> {
        loop {
            if let Some(at) = self.pending.windows(end.len()).position(|window| window == end) {
                return Ok(self.pending.split_to(at + end.len()));
            }
            if !self.fill().await? {
                return Err(Broken::Closed);
            }
        }
    }

    /// Reads once from the socket; false at its end.
    async fn fill(&mut self) -> Result<bool, Broken> {
        self.pending.reserve(READ_MAX);
        Ok(self.stream.read_buf(&mut self.pending).await? > 0)
    }
}

fn read_certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("the certificate is PEM")
}
