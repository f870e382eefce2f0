//! Questions to wharf's admin listener.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use crate::peer::Peer;

/// The body of the answer to a GET.
///
/// # Errors
/// There is no such listener, or it does not answer with text.
pub(crate) fn get(peer: &Peer, target: &str) -> io::Result<String> {
    let admin = peer.admin.ok_or_else(|| io::Error::other("the server has no admin listener"))?;
    let mut connection = TcpStream::connect(admin)?;
    write!(connection, "GET {target} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    Ok(text)
}
