//! A server that must not receive a secret: it gives every client the same response and records every byte.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, Certificate};
use crate::deadline::within;
use crate::stream::Stream;

/// Headers with credentials.
const SECRET_HEADERS: [&str; 3] = ["authorization:", "proxy-authorization:", "cookie:"];

/// An HTTP server that gives the same response to every request; stops when dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    is_tls: bool,
    seen: Arc<Seen>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Seen {
    /// One buffer for each connection, so that two connections cannot split a header.
    received: Mutex<Vec<Vec<u8>>>,
    connections: watch::Sender<u64>,
}

impl Seen {
    /// Adds the buffer of a new connection and returns its index.
    fn arrive(&self) -> usize {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.push(Vec::new());
        self.connections.send_modify(|count| *count += 1);
        received.len() - 1
    }

    fn keep(&self, connection: usize, bytes: &[u8]) {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)[connection].extend_from_slice(bytes);
    }
}

impl Sink {
    /// A sink that answers 404.
    pub async fn start() -> Self {
        Self::answering(404, &[], b"").await
    }

    /// A sink that answers with `status`, `headers` and `body`, such as a foreign token service or CDN.
    pub async fn answering(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self::listen(answer(status, headers, body), None).await
    }

    /// A sink under TLS that answers 404.
    pub async fn start_tls(authority: &Authority) -> Self {
        let config = authority.server_config(Certificate::Valid, false);
        Self::listen(answer(404, &[], b""), Some(config)).await
    }

    async fn listen(answer: Vec<u8>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::new(Seen { received: Mutex::default(), connections: watch::Sender::new(0) });
        let is_tls = tls.is_some();
        let task = tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), answer.into(), seen.clone()));
        Self { address, is_tls, seen, task: task.abort_handle() }
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its host and port as in a URL and a `Host` header.
    pub fn host(&self) -> String {
        format!("{}:{}", if self.is_tls { "localhost" } else { "127.0.0.1" }, self.address.port())
    }

    /// Its URL without a trailing slash.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.host())
    }

    /// The number of connections accepted so far.
    pub fn connections(&self) -> u64 {
        *self.seen.connections.borrow()
    }

    /// Every byte that arrived (after TLS), connection after connection.
    pub fn received(&self) -> Vec<u8> {
        self.seen.received.lock().unwrap_or_else(PoisonError::into_inner).concat()
    }

    /// The complete request heads, connection after connection, each with its empty line.
    pub fn requests(&self) -> Vec<String> {
        let received = self.seen.received.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = received.iter().map(|bytes| String::from_utf8_lossy(bytes));
        texts
            .flat_map(|text| {
                let heads = text.split_inclusive("\r\n\r\n").filter(|head| head.ends_with("\r\n\r\n"));
                heads.map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    /// How many `Authorization`, `Proxy-Authorization` and `Cookie` header lines arrived.
    pub fn credentials(&self) -> usize {
        let text = String::from_utf8_lossy(&self.received()).to_ascii_lowercase();
        text.lines().filter(|line| SECRET_HEADERS.iter().any(|name| line.starts_with(name))).count()
    }

    /// Whether `secret` arrived, literally or within the base64 of a `Basic` credential.
    ///
    /// # Panics
    /// When `secret` is empty: everything contains it.
    pub fn saw(&self, secret: &str) -> bool {
        assert!(!secret.is_empty(), "every text contains the empty one");
        let received = self.received();
        let text = String::from_utf8_lossy(&received);
        text.contains(secret)
            || text
                .split_ascii_whitespace()
                .filter_map(|word| STANDARD.decode(word).ok())
                .any(|decoded| decoded.windows(secret.len()).any(|window| window == secret.as_bytes()))
    }

    /// Returns once `count` connections were accepted.
    ///
    /// # Panics
    /// When they are not accepted within half a minute.
    pub async fn wait_for_connections(&self, count: u64) {
        let mut connections = self.seen.connections.subscribe();
        let what = format!("{count} connections to a sink");
        let came = within(&what, connections.wait_for(|seen| *seen >= count)).await;
        assert!(came.is_ok(), "the sink holds the sender");
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} sink\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, answer: Arc<[u8]>, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        // Dropping the set, when the sink is dropped, ends every connection in it.
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let number = seen.arrive();
        connections.spawn(serve(stream, tls.clone(), answer.clone(), seen.clone(), number));
    }
}

/// Answers each request head, and records all bytes.
async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    answer: Arc<[u8]>,
    seen: Arc<Seen>,
    connection: usize,
) {
    let mut stream = match tls {
        None => Stream::Plain(stream),
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(tls) => Stream::Tls(Box::new(tls.into())),
            Err(_) => return,
        },
    };
    let mut unanswered = BytesMut::new();
    loop {
        let before = unanswered.len();
        match stream.read_buf(&mut unanswered).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        seen.keep(connection, &unanswered[before..]);
        while let Some(at) = unanswered.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = unanswered.split_to(at + 4);
            let is_head = head.starts_with(b"HEAD ");
            let end = answer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
            let sent = if is_head { &answer[..end.unwrap_or(answer.len())] } else { &answer[..] };
            if stream.write_all(sent).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
