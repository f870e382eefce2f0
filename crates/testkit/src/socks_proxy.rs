//! A SOCKS5 proxy (RFC 1928, RFC 1929) through which a test can give any name to any local server.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// The user and the password that the proxy wants.
type Login = (String, String);

/// A SOCKS5 proxy that maps names to local addresses; stops when dropped.
#[derive(Debug)]
pub struct SocksProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Rules {
    names: HashMap<String, SocketAddr>,
    login: Option<Login>,
}

impl SocksProxy {
    /// A proxy that knows these names, and wants this login if there is one.
    pub async fn start(names: &[(&str, SocketAddr)], login: Option<(&str, &str)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let names = names.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let (rules, asked) = (Arc::new(Rules { names, login }), Arc::new(Mutex::default()));
        let task = tokio::spawn(accept(listener, rules, Arc::clone(&asked))).abort_handle();
        Self { address, asked, task }
    }

    /// The proxy's `host:port`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The requested targets, `host:port` each, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for SocksProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, rules: Arc<Rules>, asked: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (rules, asked) = (Arc::clone(&rules), Arc::clone(&asked));
        connections.spawn(async move { serve(stream, &rules, &asked).await });
    }
}

async fn serve(mut client: TcpStream, rules: &Rules, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let [_version, method_count] = bytes(&mut client).await?;
    let mut methods = vec![0; usize::from(method_count)];
    client.read_exact(&mut methods).await?;
    match &rules.login {
        None => client.write_all(&[5, 0]).await?,
        Some((user, password)) => {
            client.write_all(&[5, 2]).await?;
            let [_version, length] = bytes(&mut client).await?;
            let given_user = text(&mut client, length).await?;
            let [length] = bytes(&mut client).await?;
            let given_password = text(&mut client, length).await?;
            let is_right = (&given_user, &given_password) == (user, password);
            client.write_all(&[1, u8::from(!is_right)]).await?;
            if !is_right {
                return Ok(());
            }
        }
    }
    let [_version, _command, _reserved, kind] = bytes(&mut client).await?;
    let host = match kind {
        1 => Ipv4Addr::from(bytes::<4>(&mut client).await?).to_string(),
        4 => Ipv6Addr::from(bytes::<16>(&mut client).await?).to_string(),
        _ => {
            let [length] = bytes(&mut client).await?;
            text(&mut client, length).await?
        }
    };
    let port = u16::from_be_bytes(bytes(&mut client).await?);
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{host}:{port}"));
    let own = host.parse().ok().map(|address| SocketAddr::new(address, port));
    let Some(address) = rules.names.get(&host).copied().or(own) else {
        // "Host unreachable".
        return client.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    };
    let mut server = TcpStream::connect(address).await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

async fn bytes<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut read = [0; N];
    client.read_exact(&mut read).await?;
    Ok(read)
}

async fn text(client: &mut TcpStream, length: u8) -> io::Result<String> {
    let mut read = vec![0; usize::from(length)];
    client.read_exact(&mut read).await?;
    Ok(String::from_utf8_lossy(&read).into_owned())
}
