//! A client that sends exact bytes and sees how a response ends: complete, cut or reset.
//!
//! It checks and repairs nothing. Bodies are read in pieces when the test reads them, so a test is a slow
//! reader by not reading.

mod body;
mod connection;
mod head;

pub use connection::Connection;
pub use head::Head;

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// The reason why a response is incomplete.
#[derive(Debug)]
pub enum Broken {
    /// The connection was closed properly, but before the end that the head announced.
    Closed,
    /// The connection was reset.
    Reset,
    /// The bytes are not HTTP/1.1.
    Malformed(String),
    /// Any other error, including TLS and refused connections.
    Io(std::io::Error),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // The TLS library reports a connection that ends without `close_notify`.
            std::io::ErrorKind::UnexpectedEof => Self::Closed,
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => Self::Reset,
            _ => Self::Io(error),
        }
    }
}

/// A response with the received part of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// All headers in order; names in lower case, values trimmed.
    pub headers: Vec<(String, String)>,
    /// The body, without the framing of chunks.
    pub body: Bytes,
    /// Whether the body reached the end that the head announced. A body that is delimited by the connection's
    /// end is complete if that end was proper.
    pub complete: bool,
}

impl Response {
    /// The first header with this name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        head::find(&self.headers, name)
    }

    /// The body as text, for messages and JSON.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The `Authorization` of a user (RFC 7617).
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Sends one GET on a new connection and reads the response as far as possible.
///
/// # Errors
/// When there is no whole head.
pub async fn get(
    address: SocketAddr,
    host: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<Response, Broken> {
    request("GET", address, host, target, headers).await
}

/// Sends one request without a body on a new connection and reads the response as far as possible.
///
/// # Errors
/// When there is no whole head.
pub async fn request(
    method: &str,
    address: SocketAddr,
    host: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<Response, Broken> {
    let mut connection = Connection::open(address).await?;
    connection.request(method, host, target, headers).await?;
    connection.read_response(method).await
}

#[cfg(test)]
mod tests;
