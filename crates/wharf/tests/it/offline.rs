//! The switch that takes registries offline, against a running wharf: no packet leaves.

use std::process::{Command, Stdio};

use rustix::process::Signal;
use testkit::client::{self, Connection};
use testkit::{Artifact, FakeRegistry, Fault, Gate, Image, Kind, Referrers, Rule, within};

use crate::program::{Program, configuration, registry, run};

/// Set in the process that runs a test in a network of its own.
const ISOLATED: &str = "WHARF_TEST_ISOLATED";

/// A registry whose upstream needs a name server.
const FAR: &str = "[[registry]]\nname = \"registry.example\"\n";

/// The kernel's counts for the network that this process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    /// UDP datagrams sent: only name resolution sends any here.
    datagrams: u64,
    /// TCP connections that were begun.
    connections: u64,
}

impl Counts {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/net/snmp").unwrap();
        let value = |protocol: &str, name: &str| {
            let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol));
            let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
            let at = names.split_whitespace().position(|it| it == name).unwrap();
            values.split_whitespace().nth(at).unwrap().parse().unwrap()
        };
        Self { datagrams: value("Udp:", "OutDatagrams"), connections: value("Tcp:", "ActiveOpens") }
    }
}

/// Connections of this network to `port` that are established.
fn connections_to(port: u16) -> usize {
    let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_one = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[2].ends_with(&format!(":{port:04X}")) && fields[3] == "01"
    };
    text.lines().skip(1).filter(is_one).count()
}

/// A registry that holds an image, and a wharf that has pulled it.
struct Story {
    hub: FakeRegistry,
    image: Image,
    program: Program,
    is_isolated: bool,
}

impl Story {
    async fn begin(is_isolated: bool) -> Self {
        let hub = FakeRegistry::start().await;
        let image = Image::small("kept");
        hub.put_image("library/app", "1", &image);
        hub.change(|behaviour| behaviour.referrers = Referrers::Filtered);
        hub.put_artifact("library/app", &Artifact::about(&image.manifest, "application/spdx+json", b"{}"));
        hub.put_image("library/app", "2", &Image::small("never pulled"));
        let program = Program::start(&configuration(&format!("{}{FAR}", registry("docker.io", &hub))));
        let story = Self { hub, image, program, is_isolated };
        for target in story.held() {
            assert_eq!(story.get("docker.io", &target).await.status, 200, "{target}");
        }
        story
    }

    fn held(&self) -> Vec<String> {
        let digest = self.image.digest();
        let blobs = self.image.blobs().map(|blob| format!("/v2/app/blobs/{}", blob.digest));
        let mut targets: Vec<String> = blobs.collect();
        targets.push("/v2/app/manifests/1".to_owned());
        targets.push(format!("/v2/app/manifests/{digest}"));
        targets.push("/v2/app/tags/list".to_owned());
        targets.push(format!("/v2/app/referrers/{digest}"));
        targets
    }

    fn absent() -> [String; 5] {
        let digest = format!("sha256:{}", "7".repeat(64));
        [
            "/v2/app/manifests/2".to_owned(),
            format!("/v2/app/manifests/{digest}"),
            format!("/v2/app/blobs/{digest}"),
            "/v2/other/tags/list".to_owned(),
            "/v2/app/manifests/latest".to_owned(),
        ]
    }

    async fn get(&self, registry: &str, target: &str) -> client::Response {
        within(target, self.program.get(&format!("{registry}.localhost"), target)).await.unwrap()
    }

    fn wharf(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let url = format!("http://{}", self.program.admin);
        run(self.program.directory.path(), &[arguments, &["--url", url.as_str()][..]].concat())
    }

    /// Requests everything, and expects answers from the store and no packet to anywhere but this wharf.
    async fn expect_silence(&self, when: &str) {
        let (before, requests) = (Counts::now(), self.hub.requests().len());
        let mut asked_count = 0;
        for target in self.held() {
            let answer = self.get("docker.io", &target).await;
            let is_list = target.contains("list") || target.contains("referrers");
            assert_eq!(
                (answer.status, answer.header("warning").is_some()),
                (200, is_list),
                "{when}: {target}"
            );
            asked_count += 1;
        }
        for registry in ["docker.io", "registry.example"] {
            for target in Self::absent() {
                let answer = self.get(registry, &target).await;
                assert_eq!(answer.status, 502, "{when}: {registry} {target}");
                assert!(answer.text().contains("it is offline for this registry"), "{}", answer.text());
                asked_count += 1;
            }
        }
        let layer = format!("/v2/app/blobs/{}", self.image.blobs().next().unwrap().digest);
        let absent = Self::absent()[2].clone();
        for (target, status) in [(layer.as_str(), 206), (absent.as_str(), 502)] {
            let range = [("range", "bytes=1-3")];
            let answer =
                client::get(self.program.address, "docker.io.localhost", target, &range).await.unwrap();
            assert_eq!(answer.status, status, "{when}: {target}");
            asked_count += 1;
        }
        assert_eq!(self.hub.requests().len(), requests, "{when}: the registry was asked");
        if self.is_isolated {
            let expected = Counts { connections: before.connections + asked_count, ..before };
            assert_eq!(Counts::now(), expected, "{when}");
        }
    }

    /// The packets of this network, where it is this test's own, and the requests that the registry got.
    fn packets(&self) -> (Option<Counts>, usize) {
        (self.is_isolated.then(Counts::now), self.hub.requests().len())
    }

    async fn reload(&self, text: &str) {
        std::fs::write(self.program.directory.path().join("wharf.toml"), text).unwrap();
        let asked = client::request("POST", self.program.admin, "localhost", "/api/reload", &[]);
        assert_eq!(within("the reload", asked).await.unwrap().status, 200);
    }

    async fn play(mut self) {
        if self.is_isolated {
            let before = Counts::now();
            assert!(self.get("registry.example", "/v2/app/manifests/1").await.status >= 500);
            assert!(Counts::now().datagrams > before.datagrams, "an online registry's name is resolved");
        }
        let (code, text, reason) = self.wharf(&["offline", "on"]);
        assert!(code == Some(0) && text.matches("for all registries").count() == 2, "{text}{reason}");
        if self.is_isolated {
            let port = self.hub.address_of(testkit::Endpoint::Registry).port();
            let closed = async { while connections_to(port) > 0 {} };
            within("idle connections are closed", closed).await;
        }
        self.expect_silence("after the switch").await;
        self.program.wait_for_line("outcome=offline");

        let text = configuration(&format!("{}tag_ttl = \"1s\"\n{FAR}", registry("docker.io", &self.hub)));
        self.reload(&text).await;
        self.expect_silence("after a reload").await;

        let before = self.packets();
        self.program.signal(Signal::TERM);
        assert!(self.program.wait().success());
        self.program = Program::start_in(self.program.directory.clone(), &text, &[]);
        self.program.wait_for_line("docker.io is offline because of a switch for all registries");
        assert_eq!(self.packets(), before, "a start sends nothing");
        self.expect_silence("after a restart").await;

        let text = format!("{text}[[registry]]\nname = \"later.example\"\n");
        self.reload(&text).await;
        assert_eq!(self.get("later.example", "/v2/app/manifests/1").await.status, 502);
        let metrics = client::get(self.program.admin, "localhost", "/metrics", &[]).await.unwrap().text();
        assert!(metrics.contains("wharf_offline{registry=\"later.example\"} 1"), "{metrics}");

        let (code, text, _) = self.wharf(&["offline", "off", "--registry", "docker.io"]);
        assert!(code == Some(0) && text.contains("docker.io  no       wharf offline, for this"), "{text}");
        assert_eq!(self.get("docker.io", "/v2/app/manifests/2").await.status, 200);
        let (_, text, _) = self.wharf(&["offline"]);
        assert!(text.contains("registry.example  yes"), "{text}");
        let (code, text, _) = self.wharf(&["offline", "default", "--json"]);
        assert!(code == Some(0) && !text.contains("switch"), "{text}");
        let (code, _, reason) = self.wharf(&["offline", "on", "--registry", "nowhere"]);
        assert!(code == Some(1) && reason.contains("nowhere"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_outlives_reload_and_restart_and_the_registry_hears_nothing() {
    Story::begin(false).await.play().await;
}

/// Runs in a network namespace, whose counters show every packet: connections that were begun, and name
/// resolution. That takes root, `unshare` and `ip`.
#[tokio::test(flavor = "multi_thread")]
async fn offline_no_packet_leaves_the_machine() {
    if std::env::var_os(ISOLATED).is_some() {
        let ran = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(ran.success());
        return Story::begin(true).await.play().await;
    }
    let directory = tempfile::tempdir().unwrap();
    let resolv = directory.path().join("resolv.conf");
    std::fs::write(&resolv, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    let isolate = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", script, "sh"]).arg(&resolv).stdin(Stdio::null());
        command
    };
    let bind = "command -v ip >/dev/null && mount --bind \"$1\" /etc/resolv.conf";
    if !isolate(bind).output().is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: no network namespace: it takes root, unshare, mount and ip");
        return;
    }
    let test = "offline::offline_no_packet_leaves_the_machine";
    let ran = isolate(&format!("{bind} && exec \"$2\" --exact {test} --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .env(ISOLATED, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_under_way_ends_with_the_switch_and_is_resumed_afterwards() {
    let hub = FakeRegistry::start().await;
    let content = vec![7; 3 << 20];
    let digest = hub.put_blob_in("library/app", content.clone());
    let gate = Gate::new();
    hub.script(Rule::new(Kind::GetBlob, Fault::PauseAt(1 << 20, gate.clone())));
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let target = format!("/v2/app/blobs/{digest}");
    let mut connection = Connection::open(program.address).await.unwrap();
    connection.request("GET", "docker.io.localhost", &target, &[]).await.unwrap();
    assert_eq!(within("a head", connection.read_head("GET")).await.unwrap().status, 200);
    let url = format!("http://{}", program.admin);
    assert_eq!(run(program.directory.path(), &["offline", "on", "--url", &url]).0, Some(0));
    let (_, end) = within("the end of the body", connection.read_rest()).await;
    assert!(end.is_err(), "no client takes it for whole");
    assert_eq!(program.get("docker.io.localhost", &target).await.unwrap().status, 502);
    assert_eq!(run(program.directory.path(), &["offline", "default", "--url", &url]).0, Some(0));
    gate.release();
    let whole = within("the blob", program.get("docker.io.localhost", &target)).await.unwrap();
    assert!(whole.status == 200 && whole.body == content);
}
