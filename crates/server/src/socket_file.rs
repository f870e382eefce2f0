//! The file of a Unix socket that listens: made, taken over from a process that ended, and removed.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use crate::address::SocketFile;

/// The kernel queues so many connections until they are accepted: as many as the admin listener serves, and
/// again as many.
const BACKLOG_COUNT: i32 = 128;

/// The reason for which a file at the path of a socket stays there.
#[derive(Debug, thiserror::Error)]
enum Occupied {
    #[error("another process listens on this socket")]
    Listening,
    #[error("there is a file at this path that is no socket")]
    OtherFile,
    #[error("another process works in this directory at the moment")]
    Locked,
}

/// A Unix socket that listens. Dropping it removes its file.
#[derive(Debug)]
pub(crate) struct LocalListener {
    pub(crate) listener: UnixListener,
    _file: OwnFile,
}

/// A socket file of this process.
#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl LocalListener {
    /// Makes the file and listens. A file that a process left behind is replaced.
    ///
    /// # Errors
    /// Another process listens there ([`io::ErrorKind::AddrInUse`]), there is another kind of file
    /// ([`io::ErrorKind::AlreadyExists`]), or the system refuses.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn bind(file: &SocketFile) -> io::Result<Self> {
        let SocketFile { path, mode } = file;
        // Two processes that start at the same time must not remove each other's new socket. The lock lasts
        // until the socket listens.
        let directory = File::open(path.parent().unwrap_or(Path::new("/")))?;
        let is_locked = flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok();
        remove_left_behind(path, is_locked)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let own = OwnFile { path: path.clone(), identity: identity_of(path)? };
        // Nobody can connect before it listens, so no client comes in under other permissions.
        std::fs::set_permissions(path, Permissions::from_mode(*mode))?;
        socket.listen(BACKLOG_COUNT)?;
        Ok(Self { listener: UnixListener::from_std(socket.into())?, _file: own })
    }
}

/// Removes the socket file of a process that has ended.
fn remove_left_behind(path: &Path, is_locked: bool) -> io::Result<()> {
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, Occupied::OtherFile));
    }
    // It does not wait: where a listener's queue is full, the call fails at once.
    let connected = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?
        .connect(&SockAddr::unix(path)?)
        .map_err(|error| error.kind());
    match connected {
        Err(io::ErrorKind::ConnectionRefused) if is_locked => std::fs::remove_file(path),
        Err(io::ErrorKind::ConnectionRefused) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, Occupied::Locked))
        }
        Ok(()) | Err(io::ErrorKind::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, Occupied::Listening))
        }
        Err(kind) => Err(kind.into()),
    }
}

/// The device and the inode of the file at `path`.
fn identity_of(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = path.symlink_metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        // An operator may have removed it, and another process may have put its own there.
        if identity_of(&self.path).is_ok_and(|found| found == self.identity) {
            // If that fails, the next start replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
