//! The product's program as a test runs it: its own ports, its own store, ended by its process id.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::client::{self, Broken, Connection, Response};
use crate::deadline::within;
use crate::{Endpoint, FakeRegistry};

/// A running `wharf serve`. Dropping it ends it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// Where it serves clients.
    pub address: SocketAddr,
    /// Where it serves its operator.
    pub admin: SocketAddr,
}

impl Program {
    /// Starts `executable` over `store` with one registry per name and upstream.
    ///
    /// # Panics
    /// When it does not listen within half a minute.
    pub fn start(executable: &str, store: &Path, registries: &[(&str, &FakeRegistry)]) -> Self {
        Self::start_with(executable, store, registries, "")
    }

    /// [`Program::start`] with further lines in the configuration's `[defaults]`.
    ///
    /// # Panics
    /// As [`Program::start`].
    pub fn start_with(
        executable: &str,
        store: &Path,
        registries: &[(&str, &FakeRegistry)],
        defaults: &str,
    ) -> Self {
        let settings = store.join("wharf.toml");
        std::fs::write(&settings, configuration(store, registries, defaults)).expect("written");
        let mut child = Command::new(executable)
            .args(["serve", "--config"])
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, addresses) = mpsc::channel();
        // Reads on until the program ends, so that its log never blocks.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                for (word, is_admin) in [("listening on http://", false), ("admin on http://", true)] {
                    if let Some((_, rest)) = line.split_once(word) {
                        let address = rest.trim_end_matches("/metrics").parse::<SocketAddr>();
                        let _ = sender.send((is_admin, address.expect("a bound address")));
                    }
                }
            }
        });
        let take = || addresses.recv_timeout(Duration::from_secs(30)).expect("it listens");
        let (first, second) = (take(), take());
        let (public, admin) = if first.0 { (second.1, first.1) } else { (first.1, second.1) };
        Self { child, address: public, admin }
    }

    /// Ends it at once, as a power button does to a process.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }

    /// One GET for a registry, by its host name.
    ///
    /// # Errors
    /// When there is no whole head.
    pub async fn get(&self, registry: &str, target: &str) -> Result<Response, Broken> {
        client::get(self.address, &format!("{registry}.localhost"), target, &[]).await
    }

    /// A connection on which a GET was sent and its head read.
    ///
    /// # Panics
    /// When that is no 200.
    pub async fn open(&self, registry: &str, target: &str) -> Connection {
        let mut connection = Connection::open(self.address).await.expect("connected");
        let host = format!("{registry}.localhost");
        connection.request("GET", &host, target, &[]).await.expect("sent");
        let head = connection.read_head("GET").await.expect("a head");
        assert_eq!(head.status, 200);
        connection
    }

    /// The value of a metric, summed over the lines that begin with `name` and contain `label`.
    ///
    /// # Panics
    /// When the admin listener does not answer.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let answer = client::get(self.admin, "localhost", "/metrics", &[]).await.expect("metrics");
        let text = answer.text();
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until no fill is under way: what was verified is then in the store.
    ///
    /// # Panics
    /// As [`Program::metric`], and when it takes half a minute.
    pub async fn settle(&self) {
        let settled = async { while self.metric("wharf_fills_in_flight", "").await > 0.0 {} };
        within("the fills", settled).await;
    }

    /// Resident memory, in bytes.
    ///
    /// # Panics
    /// When it runs no more.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("running");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a VmRSS line");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        kib * 1024
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have been ended and reaped already; then both fail, and that is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(store: &Path, registries: &[(&str, &FakeRegistry)], defaults: &str) -> String {
    let mut text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [storage]\nroot = \"{}\"\n[log]\naccess = false\n[defaults]\n{defaults}\n",
        store.join("data").display()
    );
    for (name, upstream) in registries {
        let trusted = [upstream.host_of(Endpoint::Token), upstream.host_of(Endpoint::Cdn)];
        text += &format!(
            "[[registry]]\nname = \"{name}\"\nupstream = \"{}\"\ntrusted_hosts = [\"{}\", \"{}\"]\n",
            upstream.url(),
            trusted[0],
            trusted[1]
        );
    }
    text
}
