//! A client that says what it sends to the byte and sees how an answer ends: whole, cut or reset.
//!
//! It checks nothing and repairs nothing. Bodies are read in pieces as the test asks for them, so a slow
//! reader is one that does not ask.

mod body;
mod connection;
mod head;

pub use connection::Connection;
pub use head::Head;

use std::net::SocketAddr;

use bytes::Bytes;

/// Why an answer did not come to its end.
#[derive(Debug)]
pub enum Broken {
    /// The connection was closed in order, before the end that the head promised.
    Closed,
    /// The connection was reset.
    Reset,
    /// What came is no HTTP/1.1.
    Malformed(String),
    /// Anything else, TLS and refused connections included.
    Io(std::io::Error),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // TLS says so when the connection ends without its closing word.
            std::io::ErrorKind::UnexpectedEof => Self::Closed,
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => Self::Reset,
            _ => Self::Io(error),
        }
    }
}

/// An answer with as much of its body as came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// All headers in order; names in lower case, values trimmed.
    pub headers: Vec<(String, String)>,
    /// The body, without the framing of chunks.
    pub body: Bytes,
    /// Whether the body came to the end that the head promised. A body that only the connection's end
    /// delimits is complete when that end was in order.
    pub complete: bool,
}

impl Response {
    /// The first header of that name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        head::find(&self.headers, name)
    }

    /// The body as text, for messages and JSON.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one GET on a connection of its own and reads the answer as far as it goes.
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

/// Sends one request without a body on a connection of its own and reads the answer as far as it goes.
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
