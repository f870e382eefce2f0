//! A real authority.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;
use testkit::client::Connection;
use testkit::{Authority, Certificate};

use crate::daemon::{Daemon, find, free_address};

/// The key for accounts that an authority binds.
pub(crate) const BINDING: (&str, &str) =
    ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

/// A running authority, which forgets everything when it ends.
pub(crate) struct Pebble {
    pub(crate) daemon: Daemon,
    address: SocketAddr,
    management: SocketAddr,
    /// Signed the certificate of the authority's own server.
    server: Authority,
    _directory: TempDir,
}

/// Its ways to validate names and to sign.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// The DNS server that it asks.
    pub(crate) resolver: SocketAddr,
    /// The address of wharf's listener for plain HTTP, and for TLS.
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// Whether an account needs a binding.
    pub(crate) wants_binding: bool,
}

impl Pebble {
    /// Starts it at `address`.
    pub(crate) fn start_at(address: SocketAddr, options: Options) -> Self {
        let (directory, management, server) =
            (tempfile::tempdir().unwrap(), free_address(), Authority::new());
        let path = |name: &str| directory.path().join(name);
        let identity = server.server_identity(Certificate::Valid);
        fs::write(path("cert.pem"), &identity.certificate_pem).unwrap();
        fs::write(path("key.pem"), &identity.key_pem).unwrap();
        let (kid, key) = BINDING;
        let settings = json!({ "pebble": {
            "listenAddress": address.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": path("cert.pem"),
            "privateKey": path("key.pem"),
            "httpPort": options.plain.port(),
            "tlsPort": options.tls.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": options.wants_binding,
            "externalAccountMACKeys": { kid: key },
            "certificateValidityPeriod": 7 * 24 * 3600,
        }});
        fs::write(path("pebble.json"), settings.to_string()).unwrap();
        let mut command = Command::new(find("pebble").unwrap());
        command.arg("-config").arg(path("pebble.json")).arg("-strict");
        command.args(["-dnsserver", &options.resolver.to_string()]);
        command.envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")]);
        let daemon = Daemon::start(command, address);
        Self { daemon, address, management, server, _directory: directory }
    }

    /// The URL of its directory.
    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.address.port())
    }

    /// The certificate that verifies its server.
    pub(crate) fn server_ca(&self) -> String {
        self.server.pem()
    }

    /// The certificate of the authority that signs.
    pub(crate) async fn root(&self) -> String {
        let ca = self.server.pem();
        let mut connection = Connection::open_tls(self.management, "localhost", &ca).await.unwrap();
        connection.request("GET", "localhost", "/roots/0", &[]).await.unwrap();
        connection.read_response("GET").await.unwrap().text()
    }

    /// The number of requests that its log calls like this.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.daemon.log().matches(text).count()
    }
}
