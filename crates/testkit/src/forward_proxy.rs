//! A forward proxy for plain HTTP, through which a test can give any name to any local server.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// A proxy that maps names to local addresses; stops when dropped.
#[derive(Debug)]
pub struct ForwardProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl ForwardProxy {
    /// A proxy that knows these names. Any other gets 502.
    pub async fn start(names: &[(&str, SocketAddr)]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let names: HashMap<_, _> =
            names.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        let asked = Arc::new(Mutex::default());
        let task = tokio::spawn(accept(listener, Arc::new(names), Arc::clone(&asked))).abort_handle();
        Self { address, asked, task }
    }

    /// The proxy's URL without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requested targets as sent, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    names: Arc<HashMap<String, SocketAddr>>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (names, asked) = (Arc::clone(&names), Arc::clone(&asked));
        connections.spawn(async move { serve(stream, &names, &asked).await });
    }
}

/// Serves one request, and closes the connection after its response.
async fn serve(
    mut client: TcpStream,
    names: &HashMap<String, SocketAddr>,
    asked: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut head = BytesMut::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let (line, fields) = text.split_once("\r\n").unwrap_or((&text, ""));
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(target.to_owned());
    let rest = target.strip_prefix("http://").unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let Some(address) = names.get(host) else {
        return client
            .write_all(b"HTTP/1.1 502 unknown\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
    };
    let mut server = TcpStream::connect(address).await?;
    server
        .write_all(format!("{method} /{path} HTTP/1.1\r\nconnection: close\r\n{fields}").as_bytes())
        .await?;
    copy(&mut server, &mut client).await?;
    client.shutdown().await
}
