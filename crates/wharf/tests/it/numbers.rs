//! The access log, the metrics and `wharf stats` agree after a mixed load.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::client::{self, request};
use testkit::{Door, Endpoint, FakeRegistry, Image, within};

use crate::program::{Program, configuration, registry, run};

/// More than is pulled.
const CAP_BYTES: u64 = 50_000_000;

const HOST: &str = "docker.io.localhost";

/// The value of `key` in a line of the log.
fn field<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// The value of a series.
fn metric(text: &str, series: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

/// The sums of the access log. Of two numbers, the first is of answers from the store.
#[derive(Default)]
struct Logged {
    /// By kind, outcome and status.
    requests: BTreeMap<(String, String, String), u64>,
    pulls: [u64; 2],
    bytes: [u64; 2],
}

impl Logged {
    fn of(log: &str) -> Self {
        let mut told = Self::default();
        for line in log.lines().filter(|line| line.contains(" request outcome=")) {
            let [kind, outcome, status] = ["kind", "outcome", "status"].map(|key| field(line, key).unwrap());
            *told.requests.entry((kind.to_owned(), outcome.to_owned(), status.to_owned())).or_default() += 1;
            assert_eq!(field(line, "end"), Some("complete"), "{line}");
            let source = match outcome {
                "hit" | "revalidated" | "stale" => 0,
                "miss" | "join" | "bypass" => 1,
                _ => continue,
            };
            if matches!(kind, "manifest" | "blob") {
                told.pulls[source] += 1;
                told.bytes[source] += field(line, "bytes").unwrap().parse::<u64>().unwrap();
            }
        }
        told
    }
}

/// Sends requests of every kind: misses, joins, hits, ranges, refusals, and hits without the upstream.
/// Returns how many.
async fn load(program: &Program, hub: &FakeRegistry) -> usize {
    let images = [Image::generated(1, &[300_000, 5_000]), Image::generated(2, &[700_000])];
    let mut count = 0;
    for (number, image) in images.iter().enumerate() {
        hub.put_image("library/app", &format!("v{number}"), image);
        let manifest = format!("/v2/library/app/manifests/v{number}");
        for method in ["GET", "GET", "HEAD"] {
            let answer = request(method, program.address, HOST, &manifest, &[]).await.unwrap();
            assert_eq!(answer.status, 200);
            count += 1;
        }
        for blob in image.blobs() {
            let target = format!("/v2/library/app/blobs/{}", blob.digest);
            let (one, other) = tokio::join!(program.get(HOST, &target), program.get(HOST, &target));
            assert!(one.unwrap().complete && other.unwrap().complete);
            let range = [("range", "bytes=10-99")];
            assert_eq!(client::get(program.address, HOST, &target, &range).await.unwrap().status, 206);
            count += 3;
        }
    }
    let absent = format!("/v2/library/app/blobs/sha256:{}", "0".repeat(64));
    assert_eq!(program.get(HOST, &absent).await.unwrap().status, 404);
    assert_eq!(program.get(HOST, "/v2/library/app/tags/list").await.unwrap().status, 200);
    hub.set_door(Endpoint::Registry, Door::Refuse).await;
    assert_eq!(program.get(HOST, "/v2/library/app/manifests/v0").await.unwrap().status, 200);
    count + 3
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_the_metrics_and_stats_agree_after_a_mixed_load() {
    let hub = FakeRegistry::start().await;
    let text = format!("{}max_size = \"{CAP_BYTES}B\"\n", registry("docker.io", &hub));
    let program = Program::start(&configuration(&text));
    let count = load(&program, &hub).await;
    let is_request = |line: &&str| line.contains(" request outcome=");
    let written = async {
        while program.log().lines().filter(is_request).count() < count {
            tokio::task::yield_now().await;
        }
    };
    within("every request has its line", written).await;

    let Logged { requests, pulls, bytes } = Logged::of(&program.log());
    assert!(pulls.iter().chain(&bytes).all(|sum| *sum > 0), "{pulls:?} {bytes:?}");

    // What the metrics say.
    let metrics = program.metrics().await;
    for ((kind, outcome, status), count) in &requests {
        let series = format!(
            "wharf_requests_total{{registry=\"docker.io\",kind=\"{kind}\",outcome=\"{outcome}\",status=\"{status}\"}}"
        );
        assert_eq!(metric(&metrics, &series), *count, "{series}");
    }
    let by_registry = |name: &str| metric(&metrics, &format!("{name}{{registry=\"docker.io\"}}"));
    assert_eq!(by_registry("wharf_served_from_store_bytes_total"), bytes[0]);
    assert_eq!(by_registry("wharf_served_from_upstream_bytes_total"), bytes[1]);

    // What the statistics say.
    let url = format!("http://{}", program.admin);
    let wharf =
        |arguments: &[&str]| run(program.directory.path(), &[arguments, &["--url", &url][..]].concat()).1;
    let stats = || serde_json::from_str::<Value>(&wharf(&["stats", "--json"])).unwrap();
    let counted = async { while stats()["registries"][0]["counting"] == true {} };
    within("everything is counted", counted).await;
    let told = stats();
    let store = &told["registries"][0];
    let sums = ["store_requests", "upstream_requests", "store_bytes", "upstream_bytes"];
    let expected = [pulls[0], pulls[1], bytes[0], bytes[1]];
    assert_eq!(sums.map(|key| store["pulls"][key].as_u64().unwrap()), expected);
    assert_eq!(store["pulls"], told["total"]["pulls"]);
    let ratio = pulls[0] as f64 / (pulls[0] + pulls[1]) as f64;
    // Decimals do not come back to the last bit.
    assert!((store["pulls"]["hit_ratio_requests"].as_f64().unwrap() - ratio).abs() < 1e-9);
    let ratio_of_bytes = bytes[0] as f64 / (bytes[0] + bytes[1]) as f64;
    assert!((store["pulls"]["hit_ratio_bytes"].as_f64().unwrap() - ratio_of_bytes).abs() < 1e-9);
    assert_eq!((by_registry("wharf_images"), &store["images"]), (2, &Value::from(2)));
    let of_store = |name: &str| metric(&metrics, &format!("{name}{{registry=\"docker.io\"}}"));
    assert_eq!(of_store("wharf_cap_bytes"), store["cap_bytes"].as_u64().unwrap());
    assert_eq!(of_store("wharf_cap_bytes"), CAP_BYTES);
    assert!(of_store("wharf_oldest_use_seconds") < 600 && store["oldest_use"].is_string(), "{store}");
    let metrics = program.metrics().await;
    for (kind, key) in [("blob", "blobs"), ("manifest", "manifests")] {
        let labels = format!("{{registry=\"docker.io\",kind=\"{kind}\"}}");
        let held = &store[key];
        assert_eq!(metric(&metrics, &format!("wharf_stored_bytes{labels}")), held["bytes"].as_u64().unwrap());
        assert_eq!(
            metric(&metrics, &format!("wharf_stored_objects{labels}")),
            held["objects"].as_u64().unwrap()
        );
    }
    let table = wharf(&["stats"]);
    assert!(table.contains("(all)") && table.contains(&format!("{:.1} %", 100.0 * ratio)), "{table}");

    // What was purged is counted alike.
    let purged = wharf(&["purge", "app:v1"]);
    assert!(purged.contains("removed"), "{purged}");
    let (told, metrics) = (stats(), program.metrics().await);
    let evicted = &told["registries"][0]["evicted"]["purge"];
    let labels = "{registry=\"docker.io\",reason=\"purge\"}";
    assert_eq!(evicted["images"], 1);
    let freed = metric(&metrics, &format!("wharf_evicted_bytes_total{labels}"));
    assert_eq!(evicted["bytes"].as_u64().unwrap(), freed);
    assert!(freed > 700_000, "{freed}");
    assert_eq!(told["registries"][0]["evicted"], told["total"]["evicted"]);
    let line = program.wait_for_line("images were removed");
    let said = ["registry", "reason", "images", "bytes"].map(|key| field(&line, key).unwrap().to_owned());
    assert_eq!(said, ["docker.io", "purge", "1", &freed.to_string()]);
    assert_eq!(told["registries"][0]["images"], 1);
}
