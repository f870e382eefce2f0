//! The alerts and the dashboard of `deploy`, in a real Prometheus (Debian's) that scrapes wharf under load.
//!
//! A test without Prometheus prints `skipped` and passes, unless `WHARF_REQUIRE_CLIENTS` is set.
//! `.ci/install` installs it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use testkit::client::{self, request};
use testkit::{Behaviour, FakeRegistry, Image, RateLimit};

use crate::daemon::{Daemon, available, find, free_address};
use crate::program::{PATIENCE, Program, configuration, registry, run};

const HOST: &str = "docker.io.localhost";

fn deployed(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file)
}

/// Runs promtool.
///
/// # Panics If it finds a mistake, with what it says.
fn promtool(arguments: &[&str]) {
    let ran = Command::new(find("promtool").unwrap()).args(arguments).output().unwrap();
    let told = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(ran.status.success(), "{}", told.join(""));
}

/// wharf with everything that has a metric: a certificate, an authority (that does not answer), a cap, images
/// to keep warm, an upstream with two addresses and a rate limit.
fn wharf(directory: &Arc<TempDir>, hub: &FakeRegistry, second: &FakeRegistry) -> Program {
    let at_localhost = format!("http://localhost:{}", second.url().rsplit_once(':').unwrap().1);
    let two = format!("upstream = [{:?}, {at_localhost:?}]", hub.url());
    let hub = registry("docker.io", hub).replace(&format!("upstream = {:?}", hub.url()), &two);
    let text = configuration(&format!(
        "[server.tls]\nlisten = \"127.0.0.1:0\"\ncert_file = \"tls/cert.pem\"\nkey_file = \"tls/key.pem\"\n\
         [server.acme]\nterms_agreed = true\nnames = [\"reg.example\"]\n\
         directory = \"https://{}/directory\"\n\
         [warm]\nimages = [\"docker.io/library/app:v0\"]\nevery = \"1m\"\n\
         {hub}max_size = \"50MB\"\ncredentials = \"docker-config:{}\"\n",
        free_address(),
        directory.path().join("docker.json").display()
    ));
    std::fs::write(directory.path().join("wharf.toml"), &text).unwrap();
    std::fs::write(directory.path().join("docker.json"), "{}").unwrap();
    let (code, told, complaint) = run(directory.path(), &["cert", "--dir", "tls"]);
    assert_eq!(code, Some(0), "{told}{complaint}");
    Program::start_in(Arc::clone(directory), &text, &[])
}

/// Pulls two images, each twice, so that there are misses, hits and checked tags.
async fn load(program: &Program) {
    for tag in ["v0", "v1", "v0", "v1"] {
        let manifest = format!("/v2/library/app/manifests/{tag}");
        assert_eq!(program.get(HOST, &manifest).await.unwrap().status, 200);
    }
    for image in images() {
        for blob in image.blobs() {
            let target = format!("/v2/library/app/blobs/{}", blob.digest);
            for method in ["GET", "GET", "HEAD"] {
                let answer = request(method, program.address, HOST, &target, &[]).await.unwrap();
                assert_eq!(answer.status, 200);
            }
        }
    }
}

fn images() -> [Image; 2] {
    [Image::generated(1, &[300_000, 5_000]), Image::generated(2, &[700_000])]
}

/// A running Prometheus that scrapes wharf every second and knows the alerts.
struct Prometheus {
    _daemon: Daemon,
    address: SocketAddr,
}

impl Prometheus {
    fn start(directory: &Path, wharf: SocketAddr) -> Self {
        let address = free_address();
        let settings = directory.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{:?}]\n\
             scrape_configs:\n- job_name: wharf\n  static_configs: [{{targets: [{:?}]}}]\n",
            deployed("prometheus/alerts.yml"),
            wharf.to_string(),
        );
        std::fs::write(&settings, text).unwrap();
        let mut command = Command::new(find("prometheus").unwrap());
        command
            .arg(format!("--config.file={}", settings.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("prometheus").display()))
            .arg(format!("--web.listen-address={address}"));
        let daemon = Daemon::start(command, address);
        daemon.wait_for("ready to receive web requests", 1);
        Self { _daemon: daemon, address }
    }

    async fn ask(&self, target: &str) -> Value {
        let answer = client::get(self.address, "localhost", target, &[]).await.unwrap();
        let value: Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!(value["status"], "success", "{target}: {value}");
        value["data"].clone()
    }

    /// The number of series in the result of a query.
    async fn count(&self, query: &str) -> usize {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.ask(&format!("/api/v1/query?query={escaped}")).await["result"].as_array().unwrap().len()
    }

    async fn rules(&self) -> Vec<Value> {
        let groups = self.ask("/api/v1/rules").await["groups"].take();
        let rules = groups.as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
        rules.cloned().collect()
    }
}

/// The left side of an alert's comparison, which has a value also while all is well.
fn measured(query: &str) -> String {
    let comparison = [" > ", " < ", " == "].into_iter().filter_map(|sign| query.rfind(sign)).max();
    query[..comparison.unwrap_or_else(|| panic!("{query} compares nothing"))].to_owned()
}

/// The queries of the dashboard, with values for its variables.
fn dashboard_queries() -> Vec<String> {
    let text = std::fs::read_to_string(deployed("grafana/wharf.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    let queries = targets.flatten().map(|target| {
        let query = target["expr"].as_str().unwrap();
        let filled = [("$registry", ".*"), ("$__rate_interval", "1m"), ("$__range", "1h")];
        filled.into_iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value))
    });
    queries.collect()
}

#[test]
fn the_alerts_fire_when_they_should_and_only_then() {
    if !available(&["promtool"]) {
        return;
    }
    promtool(&["check", "rules", deployed("prometheus/alerts.yml").to_str().unwrap()]);
    promtool(&["test", "rules", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/monitoring/alerts.yml")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_alerts_and_the_dashboard_finds_series_under_load_and_no_alert_fires() {
    if !available(&["prometheus"]) {
        return;
    }
    let window = Duration::from_secs(6 * 3600);
    let behaviour = Behaviour {
        rate_limit: Some(RateLimit { limit: 10_000, remaining: 10_000, window }),
        ..Behaviour::default()
    };
    let hub = FakeRegistry::start_with(behaviour).await;
    let second = FakeRegistry::start().await;
    for (number, image) in images().iter().enumerate() {
        hub.put_image("library/app", &format!("v{number}"), image);
    }
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let program = wharf(&directory, &hub, &second);
    let prometheus = Prometheus::start(directory.path(), program.admin);
    let mut wanted = dashboard_queries();
    let rules = prometheus.rules().await;
    wanted.extend(rules.iter().map(|rule| measured(rule["query"].as_str().unwrap())));
    assert!(wanted.len() > 50, "{wanted:#?}");

    let deadline = Instant::now() + PATIENCE;
    while !wanted.is_empty() {
        load(&program).await;
        let mut empty = Vec::new();
        for query in wanted {
            if prometheus.count(&query).await == 0 {
                empty.push(query);
            }
        }
        wanted = empty;
        assert!(Instant::now() < deadline, "these find nothing: {wanted:#?}");
    }
    for rule in prometheus.rules().await {
        assert!(rule["health"] == "ok" && rule["state"] != "firing", "{rule:#}");
    }
}
