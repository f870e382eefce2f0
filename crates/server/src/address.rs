//! The addresses of listeners.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The prefix of a socket file's path, in the configuration and in the log.
pub const SOCKET_FILE_PREFIX: &str = "unix:";

/// An address that a listener has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A Unix socket. Its clients need the right to write to the file (unix(7), "Pathname socket ownership
    /// and permissions").
    File(SocketFile),
}

/// The file of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    /// Its path, at most 107 bytes (unix(7)).
    pub path: PathBuf,
    /// Its permissions, such as `0o660`.
    pub mode: u32,
}

impl ListenAddress {
    /// The IP address and port, if it has one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::File(_) => None,
        }
    }

    /// The socket file, if it is one.
    pub fn file(&self) -> Option<&SocketFile> {
        match self {
            Self::Ip(_) => None,
            Self::File(file) => Some(file),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::File(file) => write!(f, "{SOCKET_FILE_PREFIX}{}", file.path.display()),
        }
    }
}
