//! A DNS server with the zone `example.`, in which every name leads to this machine, and a zone `alias.` for
//! records that stand elsewhere. It takes updates that are signed with its key.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::daemon::{Daemon, find, free_address};

/// The name, the algorithm and the secret of the key for updates.
pub(crate) const KEY: (&str, &str, &str) =
    ("wharf-key", "hmac-sha256", "c2VjcmV0IG9mIHRoZSB0ZXN0cyB3aXRoIDMyIGJ5dGU=");

/// A running server.
pub(crate) struct Zone {
    pub(crate) address: SocketAddr,
    pub(crate) daemon: Daemon,
    _directory: TempDir,
}

const HEAD: &str = "$TTL 1\n@ SOA ns.example. root.example. 1 3600 600 86400 1\n@ NS ns.example.\n";

impl Zone {
    /// Starts it. `records` are further ones of `example.`.
    pub(crate) fn start(records: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = free_address();
        let path = directory.path();
        let hosts = "ns A 127.0.0.1\n@ A 127.0.0.1\n*.reg A 127.0.0.1\nreg A 127.0.0.1\nmirror A 127.0.0.1\n";
        fs::write(path.join("example"), format!("{HEAD}{hosts}{records}")).unwrap();
        fs::write(path.join("alias"), HEAD).unwrap();
        fs::write(path.join("named.conf"), configuration(path, address)).unwrap();
        let mut command = Command::new(find("named").unwrap());
        command.arg("-g").arg("-c").arg(path.join("named.conf"));
        let daemon = Daemon::start(command, address);
        Self { address, daemon, _directory: directory }
    }
}

fn configuration(path: &Path, address: SocketAddr) -> String {
    let (name, algorithm, secret) = KEY;
    let zone = |zone: &str| {
        format!("zone \"{zone}\" {{ type primary; file \"{zone}\"; allow-update {{ key {name}; }}; }};\n")
    };
    format!(
        "key {name} {{ algorithm {algorithm}; secret \"{secret}\"; }};\n\
         options {{ directory \"{}\"; listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; \
         recursion yes; allow-recursion {{ any; }}; \
         dnssec-validation no; pid-file none; session-keyfile none; notify no; }};\ncontrols {{ }};\n{}{}",
        path.display(),
        address.port(),
        zone("example"),
        zone("alias"),
    )
}
