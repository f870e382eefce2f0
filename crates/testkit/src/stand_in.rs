//! A stand-in for a service that speaks HTTP, such as the token service of a cloud. A test gives its answers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// A request to a stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandInRequest {
    /// `GET`.
    pub method: String,
    /// The path with its query.
    pub target: String,
    /// The fields in their order, with names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// The status and the body of an answer.
pub type StandInAnswer = (u16, String);

type Answer = dyn Fn(&StandInRequest) -> StandInAnswer + Send + Sync;

/// A service on a loopback port; stops when dropped.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<StandInRequest>>>,
    task: AbortHandle,
}

impl StandInRequest {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl StandIn {
    /// A service that answers each request by `answer`.
    pub async fn start(answer: impl Fn(&StandInRequest) -> StandInAnswer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let asked = Arc::new(Mutex::default());
        let task = tokio::spawn(accept(listener, Arc::new(answer), Arc::clone(&asked))).abort_handle();
        Self { address, asked, task }
    }

    /// Its URL without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, in order.
    pub fn asked(&self) -> Vec<StandInRequest> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, answer: Arc<Answer>, asked: Arc<Mutex<Vec<StandInRequest>>>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
        connections.spawn(async move { serve(stream, &*answer, &asked).await });
    }
}

/// Serves one request, and closes the connection after its answer.
async fn serve(mut client: TcpStream, answer: &Answer, asked: &Mutex<Vec<StandInRequest>>) -> io::Result<()> {
    let mut bytes = BytesMut::new();
    let (head, mut body) = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = bytes.split_to(at + 4);
            break (String::from_utf8_lossy(&head).into_owned(), bytes);
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let (line, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let fields: Vec<(String, String)> = fields
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = fields.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or_default();
    while body.len() < length {
        if client.read_buf(&mut body).await? == 0 {
            return Ok(());
        }
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    let request = StandInRequest { method, target, fields, body };
    let (status, text) = answer(&request);
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let head = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(text.as_bytes()).await?;
    client.shutdown().await
}
