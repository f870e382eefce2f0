//! Runs the product's program for a test, with its own ports and store, and ends it by its process id.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use rustix::process::geteuid;

use crate::client::{self, Broken, Connection, Response};
use crate::deadline::within;
use crate::{Endpoint, FakeRegistry};

/// The longest wait for the program; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A `wharf serve` that may not listen yet. Dropping it ends it.
#[derive(Debug)]
pub struct Starting {
    process: Process,
    /// Its addresses, or its output if it does not listen.
    listening: Receiver<Result<Addresses, String>>,
}

/// A running `wharf serve`. Dropping it ends it.
#[derive(Debug)]
pub struct Program {
    process: Process,
    /// The address for clients.
    pub address: SocketAddr,
    /// The address of the admin listener.
    pub admin: SocketAddr,
}

#[derive(Debug)]
struct Process(Child);

#[derive(Debug)]
struct Addresses {
    public: SocketAddr,
    admin: SocketAddr,
}

impl Starting {
    /// Starts `executable` over the stores beneath `root`, with one registry per name and upstream and
    /// further lines in the configuration's `[defaults]`. The configuration is put into `directory`.
    ///
    /// # Panics
    /// When there is no such program.
    pub fn over(
        executable: &str,
        directory: &Path,
        root: &Path,
        registries: &[(&str, &FakeRegistry)],
        defaults: &str,
    ) -> Self {
        Self::configured(executable, directory, &configuration(root, registries, "", defaults))
    }

    /// Starts `executable` with this configuration, which is put into `directory`. It must listen on ports of
    /// the kernel's choice.
    ///
    /// # Panics
    /// When there is no such program.
    pub fn configured(executable: &str, directory: &Path, configuration: &str) -> Self {
        let settings = directory.join("wharf.toml");
        std::fs::write(&settings, configuration).expect("written");
        let mut command = Command::new(executable);
        if !geteuid().is_root() {
            // Only root can count the descriptors of a confined process.
            command.env("WHARF_SERVER_SANDBOX", "false");
        }
        let mut child = command
            .args(["serve", "--config"])
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, listening) = mpsc::channel();
        // Reads on until the program ends, so that its log never blocks.
        std::thread::spawn(move || follow(log, &sender));
        Self { process: Process(child), listening }
    }

    /// The program once it listens, if it does within `patience`.
    ///
    /// # Errors
    /// This value again, if it does not listen yet.
    ///
    /// # Panics
    /// When it ends by itself.
    pub fn ready_within(self, patience: Duration) -> Result<Program, Self> {
        match self.listening.recv_timeout(patience) {
            Ok(Ok(Addresses { public, admin })) => {
                Ok(Program { process: self.process, address: public, admin })
            }
            Ok(Err(said)) => panic!("wharf ended before it listened:\n{said}"),
            Err(_) => Err(self),
        }
    }

    /// The program once it listens.
    ///
    /// # Panics
    /// When it does not listen within half a minute.
    pub fn ready(self) -> Program {
        self.ready_within(PATIENCE).expect("it listens in time")
    }
}

/// Reads a log to its end and tells once where the program listens, or what it said instead.
fn follow(log: impl BufRead, listening: &Sender<Result<Addresses, String>>) {
    let (mut public, mut admin, mut is_told) = (None, None, false);
    let mut said = String::new();
    for line in log.lines().map_while(Result::ok) {
        if is_told {
            continue;
        }
        said = said + &line + "\n";
        let address_after = |word: &str| {
            let (_, rest) = line.split_once(word)?;
            Some(rest.trim_end_matches("/metrics").parse::<SocketAddr>().expect("a bound address"))
        };
        public = public.or_else(|| address_after("listening on http://"));
        admin = admin.or_else(|| address_after("admin on http://"));
        if let (Some(public), Some(admin)) = (public, admin) {
            is_told = true;
            // An error means that the receiver is gone.
            let _ = listening.send(Ok(Addresses { public, admin }));
        }
    }
    if !is_told {
        let _ = listening.send(Err(said));
    }
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
        Starting::over(executable, store, &store.join("data"), registries, defaults).ready()
    }

    /// [`Program::start`] with further lines in the configuration's `[server]`.
    ///
    /// # Panics
    /// As [`Program::start`].
    pub fn start_bounded(
        executable: &str,
        store: &Path,
        registries: &[(&str, &FakeRegistry)],
        server: &str,
    ) -> Self {
        let configuration = configuration(&store.join("data"), registries, server, "");
        Starting::configured(executable, store, &configuration).ready()
    }

    /// Starts `executable` with this configuration, which is put into `directory`. It must listen on ports of
    /// the kernel's choice.
    ///
    /// # Panics
    /// As [`Program::start`].
    pub fn configured(executable: &str, directory: &Path, configuration: &str) -> Self {
        Starting::configured(executable, directory, configuration).ready()
    }

    /// Kills it at once.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(mut self) {
        self.process.0.kill().expect("killed");
        self.process.0.wait().expect("reaped");
    }

    /// Lets `tell` tell the process, named by its id, to end; waits until it has.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn end(mut self, tell: impl FnOnce(u32)) {
        tell(self.process.0.id());
        self.process.0.wait().expect("reaped");
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
        assert_eq!(head.status, 200, "{target}");
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

    /// Waits until no fill is in flight: then all verified blobs are stored.
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
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).expect("running");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a VmRSS line");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        kib * 1024
    }

    /// File descriptors in use, sockets among them.
    ///
    /// # Panics
    /// When it runs no more.
    pub fn descriptor_count(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.0.id())).expect("running").count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have been ended and reaped already; then both fail, which is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn configuration(root: &Path, registries: &[(&str, &FakeRegistry)], server: &str, defaults: &str) -> String {
    let mut text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n{server}\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [storage]\nroot = \"{}\"\n[log]\naccess = false\n[defaults]\n{defaults}\n",
        root.display()
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
