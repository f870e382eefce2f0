//! wharf before an authority and a DNS server.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use testkit::client::{Broken, Connection};

use crate::daemon::{available, free_address};
use crate::pebble::{Options, Pebble};
use crate::program::Program;
use crate::zone::Zone;

/// The servers around wharf, and wharf's own addresses.
pub(crate) struct Lab {
    pub(crate) zone: Zone,
    pub(crate) pebble: Pebble,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) directory: Arc<TempDir>,
    options: Options,
    authority: SocketAddr,
}

/// The registries of most tests. Each has four virtual hosts besides the domain.
pub(crate) const REGISTRY: &str = "[[registry]]\nname = \"ghcr.io\"\n";

/// The virtual hosts of [`REGISTRY`].
pub(crate) const HOSTS: [&str; 3] = ["reg.example", "ghcr.io.reg.example", "ghcr-io.reg.example"];

impl Lab {
    /// Starts the servers; `None` if they are not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(false)
    }

    /// The same with an authority that wants accounts to be bound.
    pub(crate) fn start_with(wants_binding: bool) -> Option<Self> {
        if !available(&["named", "pebble"]) {
            return None;
        }
        let zone = Zone::start("_acme-challenge.mirror CNAME far.alias.\n");
        let (authority, plain, tls) = (free_address(), free_address(), free_address());
        let options = Options { resolver: zone.address, plain, tls, wants_binding };
        let pebble = Pebble::start_at(authority, options);
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let lab = Self { zone, pebble, plain, tls, directory, options, authority };
        lab.write_ca();
        Some(lab)
    }

    fn write_ca(&self) {
        fs::write(self.directory.path().join("ca.pem"), self.pebble.server_ca()).unwrap();
    }

    /// Ends the authority, and starts one at the same address that knows nothing of it.
    pub(crate) fn replace_authority(&mut self) {
        // The old one must leave the address first.
        drop(std::mem::replace(&mut self.pebble, Pebble::start_at(free_address(), self.options)));
        self.pebble = Pebble::start_at(self.authority, self.options);
        self.write_ca();
    }

    /// A configuration; `acme` are further keys of `[server.acme]`.
    pub(crate) fn configuration(&self, acme: &str, rest: &str) -> String {
        format!(
            "[server]\nlisten = \"{}\"\ndomain = \"reg.example\"\n\
             [server.tls]\nlisten = \"{}\"\nplain = \"redirect\"\n\
             [server.acme]\nterms_agreed = true\ncontact = \"ops@reg.example\"\ndirectory = {:?}\n\
             ca_file = \"ca.pem\"\n{acme}[admin]\nlisten = \"127.0.0.1:0\"\n{rest}",
            self.plain,
            self.tls,
            self.pebble.directory(),
        )
    }

    /// Starts wharf, and waits until it listens.
    pub(crate) fn wharf(&self, configuration: &str) -> Program {
        self.wharf_with(configuration, &[])
    }

    /// The same with these variables.
    pub(crate) fn wharf_with(&self, configuration: &str, variables: &[(&str, OsString)]) -> Program {
        Program::start_in(Arc::clone(&self.directory), configuration, variables)
    }

    /// Makes a handshake for `host`, and asks for `/v2/`.
    pub(crate) async fn connect(&self, host: &str) -> Result<u16, Broken> {
        let root = self.pebble.root().await;
        let mut connection = Connection::open_tls(self.tls, host, &root).await?;
        connection.request("GET", host, "/v2/", &[]).await?;
        Ok(connection.read_response("GET").await?.status)
    }

    /// The files of the state with this ending.
    pub(crate) fn state_files(&self, ending: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut directories = vec![self.directory.path().join("wharf-data/_acme")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.to_str().unwrap().ends_with(ending) {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}
