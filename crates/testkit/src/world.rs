//! Every host of the world, behind one forward proxy: a test sees each request, whichever host it is for, and
//! decides its answer.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, Identity};

/// One request that arrived at a host of the world.
#[derive(Clone, Debug)]
pub struct WorldRequest {
    /// `http`, `https`, or `connect` for the request for a tunnel itself.
    pub scheme: &'static str,
    /// The host as the client named it, with its port if it named one.
    pub host: String,
    /// The request line and the fields, as they arrived.
    pub head: String,
    /// The content.
    pub content: Vec<u8>,
}

/// The answer to one.
#[derive(Clone, Debug)]
pub struct WorldAnswer {
    /// The status.
    pub status: u16,
    /// Fields beside the length.
    pub fields: Vec<(&'static str, String)>,
    /// The content.
    pub content: Vec<u8>,
}

/// A proxy that stands for every host; stops when dropped.
#[derive(Debug)]
pub struct World {
    address: SocketAddr,
    task: AbortHandle,
}

/// A certificate for all hosts that speak TLS, which many worlds can share.
#[derive(Clone)]
pub struct WorldTls(TlsAcceptor);

type Answers = Arc<dyn Fn(&WorldRequest) -> WorldAnswer + Send + Sync>;

impl WorldTls {
    /// A certificate of `authority` for these names and addresses.
    ///
    /// # Panics
    /// When one is malformed.
    pub fn of(authority: &Authority, names: &[String]) -> Self {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let Identity { certificate_pem, key_pem } = authority.identity_for(&names);
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("just written")], key.expect("just written"))
            .expect("the key belongs to the certificate");
        Self(TlsAcceptor::from(Arc::new(config)))
    }
}

impl std::fmt::Debug for WorldTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WorldTls")
    }
}

impl World {
    /// A world whose hosts answer as `answer` says. A tunnel is refused if its answer is no 200.
    ///
    /// # Panics
    /// When no loopback port is free.
    pub async fn start(
        tls: WorldTls,
        answer: impl Fn(&WorldRequest) -> WorldAnswer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let answers: Answers = Arc::new(answer);
        let accepting = async move {
            let mut connections = JoinSet::new();
            loop {
                while connections.try_join_next().is_some() {}
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (tls, answers) = (tls.clone(), Arc::clone(&answers));
                // A client may leave at any time.
                connections.spawn(async move { proxy(stream, &tls, &answers).await.ok() });
            }
        };
        Self { address, task: tokio::spawn(accepting).abort_handle() }
    }

    /// The host and port of the proxy.
    pub fn proxy_host(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves requests with absolute targets (RFC 9112, section 3.2.2), and tunnels (RFC 9110, section 9.3.6).
async fn proxy(mut stream: TcpStream, tls: &WorldTls, answers: &Answers) -> io::Result<()> {
    let mut read = BytesMut::new();
    while let Some((head, content)) = next_request(&mut stream, &mut read).await? {
        let (method, target) = method_and_target(&head);
        let (scheme, host) = match target.strip_prefix("http://") {
            _ if method == "CONNECT" => ("connect", target.clone()),
            Some(rest) => ("http", rest.split(['/', '?']).next().unwrap_or_default().to_owned()),
            None => return Ok(()),
        };
        let request = WorldRequest { scheme, host: host.clone(), head, content };
        let answer = answers(&request);
        if scheme != "connect" || answer.status != 200 {
            write_answer(&mut stream, &request, &answer).await?;
            continue;
        }
        stream.write_all(b"HTTP/1.1 200 connected\r\n\r\n").await?;
        let mut inside = tls.0.accept(stream).await?;
        let mut read = BytesMut::new();
        while let Some((head, content)) = next_request(&mut inside, &mut read).await? {
            let request = WorldRequest { scheme: "https", host: host.clone(), head, content };
            write_answer(&mut inside, &request, &answers(&request)).await?;
        }
        return Ok(());
    }
    Ok(())
}

/// The head and the content of the next request; `None` at the end.
async fn next_request(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut BytesMut,
) -> io::Result<Option<(String, Vec<u8>)>> {
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    read.advance(end);
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.unwrap_or(0);
    while read.len() < length {
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((head, read.split_to(length).to_vec())))
}

fn method_and_target(head: &str) -> (String, String) {
    let mut words = head.split(' ').map(str::to_owned);
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

async fn write_answer(
    stream: &mut (impl AsyncWrite + Unpin),
    request: &WorldRequest,
    answer: &WorldAnswer,
) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {} said\r\ncontent-length: {}\r\n", answer.status, answer.content.len());
    for (name, value) in &answer.fields {
        // Writing to a string does not fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await?;
    if !request.head.starts_with("HEAD ") {
        stream.write_all(&answer.content).await?;
    }
    stream.flush().await
}
