//! Telling systemd how far we are, as sd_notify(3) describes it: one datagram per state.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Everything that answers is up.
pub(crate) const READY: &str = "READY=1";

/// The configuration is being read again; [`READY`] says that this is over.
pub(crate) const RELOADING: &str = "RELOADING=1";

/// The last answers are being finished.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Sends `state` to whoever started this process and wants to know; without anybody, does nothing.
pub(crate) fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(state, &socket) {
        tracing::warn!(%error, state, "cannot tell the service manager");
    }
}

fn send(state: &str, socket: &OsStr) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not hold up the start.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests;
