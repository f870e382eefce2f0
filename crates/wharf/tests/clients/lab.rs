//! Two upstream registries, one wharf in front of both, and the checks of client tests.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::image::{Blob, Image};
use crate::process::{Process, Surroundings, wait_until};
use crate::registry::{Access, PASSWORD, Registry, USERNAME};

/// The registries that wharf caches: Docker Hub, imitated by the anonymous registry, and one with
/// credentials.
pub(crate) const HUB: &str = "docker.io";
pub(crate) const CORP: &str = "two.test";
/// The domain below which wharf has a host name for each of them.
pub(crate) const DOMAIN: &str = "wharf.test";

/// Names of the fallback registries. They lead to this machine, where nothing listens: a client that bypasses
/// wharf fails, and no test sends a byte outside.
const REAL_NAMES: [&str; 5] = [HUB, "registry-1.docker.io", "index.docker.io", "auth.docker.io", CORP];

/// The digest of `{}`, the config of most artifacts. Clients do not fetch it: they know it, or its descriptor
/// contains it.
const EMPTY_OBJECT: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const LOGGED_WITHIN: Duration = Duration::from_secs(10);
const FILLED_WITHIN: Duration = Duration::from_secs(60);

/// One lab at a time: several daemons and a large image fill a small machine.
pub(crate) static TURN: Mutex<()> = Mutex::new(());

/// The environment of a client test. Fields drop in order: first the programs, last the directory.
pub(crate) struct Lab {
    wharf: Process,
    pub(crate) hub: Registry,
    pub(crate) corp: Registry,
    pub(crate) surroundings: Surroundings,
    admin: SocketAddr,
    /// For each registry the sizes of the expected blobs, by digest.
    expected: BTreeMap<&'static str, BTreeMap<String, u64>>,
    rounds: AtomicU32,
    public: SocketAddr,
    directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Which of the two registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upstream {
    Hub,
    Corp,
}

impl Upstream {
    /// Its name in wharf.
    fn name(self) -> &'static str {
        match self {
            Self::Hub => HUB,
            Self::Corp => CORP,
        }
    }
}

impl Lab {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With further keys of `[defaults]`.
    pub(crate) fn start_with(defaults: &str) -> Self {
        Self::start_with_sections(defaults, |_| String::new())
    }

    /// With further keys of `[defaults]`, and with sections that may name files in the directory.
    pub(crate) fn start_with_sections(defaults: &str, sections: impl FnOnce(&Path) -> String) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().expect("a directory is created");
        let vhosts = [HUB, CORP].map(|name| format!("{name}.{DOMAIN}"));
        let mut names = vec![DOMAIN];
        names.extend(vhosts.iter().map(String::as_str));
        names.extend(REAL_NAMES);
        let surroundings = Surroundings::new(directory.path(), &names);
        let hub = Registry::start(&surroundings, directory.path().join("hub"), Access::Anonymous);
        let corp = Registry::start(&surroundings, directory.path().join("corp"), Access::Basic);
        let (public, admin) = (free_address(), free_address());
        let upstreams = [hub.address, corp.address];
        let mut text = render_settings(directory.path(), public, admin, upstreams, defaults);
        text.push_str(&sections(directory.path()));
        fs::write(directory.path().join("wharf.toml"), text).expect("the settings are written");
        let wharf = start_wharf(&surroundings, directory.path(), public);
        let expected = BTreeMap::from([(HUB, BTreeMap::new()), (CORP, BTreeMap::new())]);
        let rounds = AtomicU32::new(0);
        Self { wharf, hub, corp, surroundings, admin, expected, rounds, public, directory, _turn: turn }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A new directory: a client with its store there starts empty.
    pub(crate) fn fresh_directory(&self, purpose: &str) -> PathBuf {
        let number = self.rounds.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.path().join(format!("{purpose}-{number}"));
        fs::create_dir(&path).expect("the directory is created");
        path
    }

    /// `host:port` of wharf's bare domain, where the path or `ns` must name the registry.
    pub(crate) fn bare_host(&self) -> String {
        format!("{DOMAIN}:{}", self.public.port())
    }

    /// `host:port` of the name that stands for `registry` alone.
    pub(crate) fn vhost(&self, registry: &str) -> String {
        format!("{registry}.{DOMAIN}:{}", self.public.port())
    }

    /// Pushes `image` upstream and expects its blobs to be pulled.
    pub(crate) fn push(&mut self, upstream: Upstream, repository: &str, reference: &str, image: &Image) {
        self.registry(upstream).push(repository, reference, image);
        self.expect_blobs(upstream, &image.blobs);
    }

    /// Expects `blobs` to be pulled, each once.
    pub(crate) fn expect_blobs(&mut self, upstream: Upstream, blobs: &[Blob]) {
        let sizes = blobs.iter().map(|blob| (blob.digest.clone(), blob.size));
        self.expected.entry(upstream.name()).or_default().extend(sizes);
    }

    /// Expects the blobs that a client has pushed upstream to be pulled, each once.
    pub(crate) fn expect_blobs_of(&mut self, upstream: Upstream, repository: &str, reference: &str) {
        let mut sizes = self.registry(upstream).blobs_of(repository, reference);
        sizes.remove(EMPTY_OBJECT);
        self.expected.entry(upstream.name()).or_default().extend(sizes);
    }

    pub(crate) fn registry(&self, upstream: Upstream) -> &Registry {
        match upstream {
            Upstream::Hub => &self.hub,
            Upstream::Corp => &self.corp,
        }
    }

    /// Pulls with an empty client store: first with an empty cache, then with a warm one, then with both
    /// registries gone. The registries may have sent each blob once.
    pub(crate) fn pull_three_times(&mut self, mut pull: impl FnMut(&Self, &Path)) {
        pull(self, &self.fresh_directory("cold"));
        let asked = self.count("wharf_upstream_requests_total", "_blob\"");
        assert_ne!(asked, 0, "a cold cache asks for blobs");
        pull(self, &self.fresh_directory("warm"));
        let asked_again = self.count("wharf_upstream_requests_total", "_blob\"");
        assert_eq!(asked_again, asked, "a warm cache asks for no blob");
        self.assert_each_blob_left_upstream_once();
        assert_eq!(self.count("wharf_stale_total", ""), 0, "nothing is stale while the registries answer");
        self.hub.stop();
        self.corp.stop();
        pull(self, &self.fresh_directory("offline"));
        assert_ne!(self.count("wharf_stale_total", ""), 0, "what is served without asking is called stale");
    }

    /// Stops wharf: connections to it are refused from here on.
    pub(crate) fn stop_wharf(&mut self) {
        self.wharf.stop();
    }

    /// Takes the registries away, and starts wharf again with an empty store.
    pub(crate) fn begin_anew_offline(&mut self) {
        self.hub.stop();
        self.corp.stop();
        self.wharf.stop();
        fs::remove_dir_all(self.directory.path().join("cache")).expect("the store is removed");
        self.wharf = start_wharf(&self.surroundings, self.directory.path(), self.public);
    }

    /// Imports `path` into the running wharf. Returns the report.
    pub(crate) fn import(&self, path: &Path, more: &[&str]) -> Value {
        let mut command = self.surroundings.command(wharf_program());
        command.arg("import").arg(path).arg("--json").args(more);
        let written = self.surroundings.run(command.arg("--config").arg(self.directory().join("wharf.toml")));
        serde_json::from_slice(&written).expect("a report is JSON")
    }

    /// Kills wharf and starts it again over its store.
    pub(crate) fn crash_and_restart(&mut self) {
        self.crash_and_restart_over(|_| {});
    }

    /// Kills wharf, changes its store, and starts it again.
    pub(crate) fn crash_and_restart_over(&mut self, change: impl FnOnce(&Path)) {
        self.wharf.crash();
        change(&self.directory.path().join("cache"));
        self.wharf = start_wharf(&self.surroundings, self.directory.path(), self.public);
    }

    /// The stored images, as `wharf list` shows them; `None` until wharf knows all of them.
    pub(crate) fn listed(&self) -> Option<Vec<Value>> {
        let mut command = self.surroundings.command(wharf_program());
        let url = format!("http://{}", self.admin);
        let list = self.surroundings.run(command.args(["list", "--json", "--url", &url]));
        let mut list: Value = serde_json::from_slice(&list).expect("JSON");
        (list["complete"] == true).then(|| match list["images"].take() {
            Value::Array(images) => images,
            other => panic!("no list: {other}"),
        })
    }

    /// Every byte of every blob that was pushed has come from its registry once, and no other byte.
    pub(crate) fn assert_each_blob_left_upstream_once(&self) {
        for (name, registry) in [(HUB, &self.hub), (CORP, &self.corp)] {
            assert_eq!(
                registry.blob_bytes_sent(),
                self.expected[name],
                "bytes that {name} has sent, for each blob"
            );
        }
    }

    /// Status and bytes of each answer to a GET of this blob so far, from the access log.
    pub(crate) fn answers_about(&self, digest: &str) -> Vec<(u64, u64)> {
        let lines = wait_until("each answer has its line", LOGGED_WITHIN, || {
            let log = self.wharf.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let blobs: Vec<_> = lines.filter(|line| line["kind"] == "blob").collect();
            let counted = self.count("wharf_requests_total", "kind=\"blob\"");
            (u64::try_from(blobs.len()).ok() == Some(counted)).then_some(blobs)
        });
        let meant = lines.iter().filter(|line| line["reference"] == digest && line["method"] == "GET");
        let parts = meant.map(|line| (line["status"].as_u64(), line["bytes"].as_u64()));
        parts.map(|(status, bytes)| (status.expect("it has one"), bytes.unwrap_or_default())).collect()
    }

    /// Waits until no fetch is running.
    pub(crate) fn wait_until_fills_end(&self) {
        let is_over = || (self.count("wharf_fills_in_flight", "") == 0).then_some(());
        wait_until("the fills end", FILLED_WITHIN, is_over);
    }

    /// The sum of `family` over all series whose labels contain `label`.
    pub(crate) fn count(&self, family: &str, label: &str) -> u64 {
        let answer = http::get(self.admin, "/metrics").expect("the admin listener answers");
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body).expect("metrics are text");
        let series = text.lines().filter_map(|line| line.strip_prefix(family)?.rsplit_once(' '));
        let counted = series.filter(|(labels, _)| labels.starts_with('{') && labels.contains(label));
        counted.map(|(_, value)| value.parse::<u64>().expect("a counter is a whole number")).sum()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test runner shows this only for a failed test.
            println!("wharf said:\n{}", self.wharf.log());
        }
    }
}

fn start_wharf(surroundings: &Surroundings, directory: &Path, public: SocketAddr) -> Process {
    let mut command = surroundings.command(wharf_program());
    let (log, settings) = (directory.join("wharf.log"), directory.join("wharf.toml"));
    let mut process = Process::start(command.arg("serve").arg("--config").arg(settings), log);
    process.wait_ready(|_| http::get(public, "/readyz").ok().filter(|answer| answer.status == 200));
    process
}

/// The wharf under test.
pub(crate) fn wharf_program() -> OsString {
    std::env::var_os("WHARF_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_wharf").into())
}

/// A free address. If another process takes it before wharf does, wharf reports that.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("a listener has an address")
}

fn render_settings(
    directory: &Path,
    public: SocketAddr,
    admin: SocketAddr,
    [hub, corp]: [SocketAddr; 2],
    defaults: &str,
) -> String {
    let root = directory.join("cache");
    format!(
        r#"[server]
listen = ["{public}"]
domain = "{DOMAIN}"

[admin]
listen = "{admin}"

[storage]
root = "{}"

[log]
format = "json"

[defaults]
header_timeout = "5s"
# The tests count bytes. A transfer that is cut short because others share the blob leaves some in its socket.
connections_per_blob_max = 1
{defaults}

[[registry]]
name = "{HUB}"
upstream = "http://{hub}"

[[registry]]
name = "{CORP}"
upstream = "http://{corp}"
username = "{USERNAME}"
password = "{PASSWORD}"
serve_private = true
"#,
        root.display(),
    )
}
