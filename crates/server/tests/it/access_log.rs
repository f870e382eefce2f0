//! The access log: one line per request, written when the request has ended.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use server::TlsSettings;
use testkit::client::Connection;
use testkit::{Authority, BlobSource, Certificate, Door, Endpoint, Fault, Gate, Image, Kind, Rule, within};
use tracing::Level;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::lab::{HUB, Lab, SENDS_FILES, certificates, loopback};

/// The log lines of this thread. Each test's runtime has one thread, so these are the lines of its server.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn capture() -> (Self, DefaultGuard) {
        Self::capture_from(Level::WARN)
    }

    /// Captures the access log, and the server's other lines from this level on.
    fn capture_from(level: Level) -> (Self, DefaultGuard) {
        let lines = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(Level::DEBUG)
            .with_writer(lines.clone())
            .finish()
            .with(Targets::new().with_target("access", Level::INFO).with_target("server", level));
        (lines, tracing::subscriber::set_default(subscriber))
    }

    fn entries(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until there are `count` entries. An entry may come a moment after its answer.
    async fn wait_for(&self, count: usize) -> Vec<Value> {
        let written = async {
            while self.entries().len() < count {
                tokio::task::yield_now().await;
            }
        };
        within("the access log's entries", written).await;
        self.entries()
    }
}

#[tokio::test]
async fn an_entry_describes_the_whole_request() {
    let (lines, _guard) = Lines::capture();
    let lab = Lab::start().await;
    let image = Image::small("one");
    lab.hub.put_image("library/busybox", "1", &image);
    let agent = "containerd/2.3.0";
    lab.ask("GET", HUB, "/v2/busybox/manifests/1", &[("user-agent", agent)]).await;
    let entry = &lines.wait_for(1).await[0];
    assert_eq!(entry["target"], "access");
    assert_eq!(entry["level"], "INFO");
    assert_eq!(entry["registry"], "docker.io");
    assert_eq!(entry["repository"], "library/busybox");
    assert_eq!(entry["kind"], "manifest");
    assert_eq!(entry["reference"], "1");
    assert_eq!(entry["method"], "GET");
    assert_eq!(entry["outcome"], "miss");
    assert_eq!(entry["status"], 200);
    assert_eq!(entry["end"], "complete");
    assert_eq!(entry["bytes"], image.manifest.size());
    assert_eq!(entry["user_agent"], agent);
    assert!(entry["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    let (first, whole) = (entry["ttfb_ms"].as_f64().unwrap(), entry["duration_ms"].as_f64().unwrap());
    assert!(0.0 < first && first <= whole, "{first} {whole}");
}

#[tokio::test]
async fn the_message_and_the_entry_of_a_refusal_have_the_same_id() {
    let (lines, _guard) = Lines::capture();
    let lab = Lab::start().await;
    let answer = lab.get("nonsense.cache.example", "/v2/a/manifests/1").await;
    let missing = lab.get(HUB, "/v2/library/none/manifests/1").await;
    let entries = lines.wait_for(2).await;
    for (answer, entry) in [(&answer, &entries[0]), (&missing, &entries[1])] {
        let id = entry["id"].as_str().unwrap();
        assert!(answer.text().contains(&format!("request {id})")), "{entry} {}", answer.text());
        assert_eq!(entry["status"], 404);
    }
    assert_ne!(entries[0]["id"], entries[1]["id"]);
    assert_eq!(entries[0]["outcome"], "unknown_host");
    assert_eq!(entries[0]["registry"], Value::Null);
    assert_eq!(entries[0]["path"], "/v2/a/manifests/1");
    assert_eq!(entries[1]["outcome"], "not_found");
    let detail = entries[1]["detail"].as_str().unwrap();
    assert!(
        detail.contains("404") && !detail.contains("check the name"),
        "the advice is for the client: {detail}"
    );
}

#[tokio::test]
async fn f44_a_refusal_for_want_of_places_has_an_entry() {
    let (lines, _guard) = Lines::capture();
    let lab = Lab::start_with(|plan| plan.settings.answer_count_max = 0).await;
    assert_eq!(lab.get(HUB, "/v2/library/busybox/manifests/1").await.status, 503);
    let entry = &lines.wait_for(1).await[0];
    assert_eq!((&entry["status"], &entry["outcome"]), (&503.into(), &"overloaded".into()));
    assert_eq!((&entry["registry"], &entry["end"]), (&Value::Null, &"complete".into()));
    assert!(entry["detail"].as_str().unwrap().contains("busy"), "{entry}");
}

#[tokio::test]
async fn every_request_has_one_entry_and_health_checks_have_none() {
    let (lines, _guard) = Lines::capture();
    let lab = Lab::start().await;
    lab.hub.put_image("library/busybox", "1", &Image::small("one"));
    lab.get(HUB, "/livez").await;
    lab.get(HUB, "/readyz").await;
    let mut connection = lab.connect().await;
    for method in ["HEAD", "GET", "GET"] {
        connection.request(method, HUB, "/v2/library/busybox/manifests/1", &[]).await.unwrap();
        within("an answer", connection.read_response(method)).await.unwrap();
    }
    lab.ask("POST", HUB, "/v2/library/busybox/blobs/uploads/", &[]).await;
    let entries = lines.wait_for(4).await;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry["method"].as_str().unwrap(), entry["bytes"].as_u64().unwrap()))
        .collect();
    let size = Image::small("one").manifest.size();
    assert_eq!(told[..3], [("HEAD", 0), ("GET", size), ("GET", size)]);
    assert_eq!((told[3].0, entries[3]["status"].as_u64()), ("POST", Some(405)));
    assert_eq!(lines.entries().len(), 4);
}

/// A lab with a blob whose transfer pauses half way, and the blob's path.
async fn lab_with_paused_blob() -> (Lab, String, Gate) {
    let lab = Lab::start_with(|plan| plan.settings.half_closed_max = Duration::from_millis(300)).await;
    let digest = lab.hub.put_blob(BlobSource::Generated { seed: 6, len: 1 << 20 });
    let gate = Gate::new();
    lab.hub.script(Rule::new(Kind::GetBlob, Fault::PauseAt(1 << 19, gate.clone())));
    (lab, format!("/v2/library/busybox/blobs/{digest}"), gate)
}

/// A connection whose answer has begun and now waits at the gate.
async fn connection_in_the_middle(lab: &Lab, target: &str, gate: &Gate) -> Connection {
    let mut connection = lab.connect().await;
    connection.request("GET", HUB, target, &[]).await.unwrap();
    within("the head", connection.read_head("GET")).await.unwrap();
    gate.reached(1).await;
    connection
}

#[tokio::test]
async fn an_entry_is_written_at_the_end_of_the_body() {
    let (lines, _guard) = Lines::capture();
    let (lab, target, gate) = lab_with_paused_blob().await;
    let mut connection = connection_in_the_middle(&lab, &target, &gate).await;
    assert!(lines.entries().is_empty());
    gate.release();
    let (_, end) = within("the body", connection.read_rest()).await;
    assert!(end.is_ok());
    let entry = &lines.wait_for(1).await[0];
    assert_eq!((&entry["end"], &entry["bytes"]), (&"complete".into(), &(1 << 20).into()));
}

#[tokio::test]
async fn a_client_that_disconnects_is_not_an_error() {
    let (lines, _guard) = Lines::capture();
    let (lab, target, gate) = lab_with_paused_blob().await;
    drop(connection_in_the_middle(&lab, &target, &gate).await);
    let entry = lines.wait_for(1).await[0].clone();
    assert_eq!(
        (&entry["end"], &entry["outcome"], &entry["level"]),
        (&"left".into(), &"miss".into(), &"INFO".into())
    );
    assert_eq!(entry["status"], 200);
    gate.release();
}

#[tokio::test]
async fn a_client_that_disconnects_before_the_answer_has_an_entry() {
    let (lines, _guard) = Lines::capture();
    let lab = Lab::start_with(|plan| plan.settings.half_closed_max = Duration::from_millis(300)).await;
    let gate = Gate::new();
    lab.hub.script(Rule::new(Kind::HeadManifest, Fault::Stall(gate.clone())).before_auth());
    let mut connection = lab.connect().await;
    connection.request("GET", HUB, "/v2/library/busybox/manifests/1", &[]).await.unwrap();
    gate.reached(1).await;
    drop(connection);
    let entry = lines.wait_for(1).await[0].clone();
    assert_eq!((&entry["end"], &entry["outcome"]), (&"left".into(), &"left".into()));
    assert_eq!(entry["status"], 499);
    gate.release();
}

#[tokio::test]
async fn a_broken_body_is_logged_with_its_reason() {
    let (lines, _guard) = Lines::capture();
    let lab = Lab::start().await;
    let digest = lab.hub.put_blob(BlobSource::Generated { seed: 6, len: 1 << 20 });
    lab.hub.script(Rule::new(Kind::GetBlob, Fault::FlipBit(1000)));
    let answer = lab.get(HUB, &format!("/v2/library/busybox/blobs/{digest}")).await;
    assert!(!answer.complete);
    let entry = &lines.wait_for(1).await[0];
    assert_eq!((&entry["end"], &entry["status"]), (&"cut".into(), &200.into()));
    assert!(entry["detail"].as_str().unwrap().contains("digest"), "{entry}");
    let text = lab.metrics.encode();
    let line = "wharf_requests_total{registry=\"docker.io\",kind=\"blob\",outcome=\"cut\",status=\"200\"} 1";
    assert!(text.lines().any(|it| it == line), "{text}");
}

#[tokio::test]
async fn a_failed_pull_is_logged_with_its_causes_and_answered_without_them() {
    let (lines, _guard) = Lines::capture();
    let lab = Lab::start().await;
    lab.hub.set_door(Endpoint::Registry, Door::Refuse).await;
    let answer = lab.get(HUB, "/v2/library/busybox/manifests/1").await;
    assert_eq!(answer.status, 502);
    let entry = &lines.wait_for(1).await[0];
    let detail = entry["detail"].as_str().unwrap();
    for cause in ["nothing listens on port", "tcp connect error", "Connection refused (os error 111)"] {
        assert_eq!(detail.matches(cause).count(), 1, "{cause}: {detail}");
    }
    let text = answer.text();
    assert!(text.contains("nothing listens on port"), "{text}");
    assert!(!text.contains("connect error") && !text.contains("os error"), "{text}");
}

#[tokio::test]
async fn a_body_that_cannot_be_completed_is_logged_with_its_causes() {
    let (lines, _guard) = Lines::capture();
    let lab = Lab::start().await;
    let digest = lab.hub.put_blob(BlobSource::Generated { seed: 6, len: 4 << 20 });
    lab.hub.script(Rule::new(Kind::GetBlob, Fault::CutAt(1 << 20)).once());
    lab.hub.script(Rule::new(Kind::GetBlob, Fault::Close).from_nth(2));
    let answer = lab.get(HUB, &format!("/v2/library/busybox/blobs/{digest}")).await;
    assert!(!answer.complete);
    let entry = &lines.wait_for(1).await[0];
    assert_eq!(entry["end"], "cut");
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.starts_with("upstream unavailable: "), "{detail}");
    assert_eq!(detail.matches("error sending request").count(), 1, "{detail}");
}

#[tokio::test]
async fn a_file_that_cannot_be_sent_is_logged_with_its_cause() {
    if !SENDS_FILES {
        return;
    }
    let (lines, _guard) = Lines::capture();
    let lab = Lab::start().await;
    let digest = lab.hub.put_blob(BlobSource::Generated { seed: 6, len: 48 << 20 });
    let target = format!("/v2/library/busybox/blobs/{digest}");
    while lab.get(HUB, &target).await.header("cache-status") != Some("wharf; hit") {}
    let before = lines.entries().len();
    let mut client = Connection::open_slow(lab.address, 4096).await.unwrap();
    client.request("GET", HUB, &target, &[]).await.unwrap();
    within("the head", client.read_head("GET")).await.unwrap();
    lab.truncate_blob(&digest, 40 << 20);
    let (_, end) = within("the connection breaks", client.read_rest()).await;
    assert!(end.is_err());
    let entry = lines.wait_for(before + 1).await.pop().unwrap();
    assert_eq!(entry["end"], "cut");
    assert_eq!(entry["detail"], "cannot send a stored file: it is shorter than before");
}

#[tokio::test]
async fn a_failed_tls_handshake_is_logged_with_its_cause() {
    let (lines, _guard) = Lines::capture_from(Level::DEBUG);
    let set = certificates(&[Authority::new().server_identity(Certificate::Valid)]);
    let tls = TlsSettings::new(vec![loopback()], set);
    let lab = Lab::start_with(|plan| plan.settings.tls = Some(tls)).await;
    let mut client = Connection::open(lab.tls.unwrap()).await.unwrap();
    client.send(b"\0\0 garbage").await.unwrap();
    within("the server closes", client.read_raw_to_end()).await.1.ok();
    let ended = &lines.wait_for(1).await[0];
    assert_eq!((&ended["message"], &ended["why"]), (&"connection ended".into(), &"tls".into()));
    let error = ended["error"].as_str().unwrap();
    assert_eq!(error.matches("InvalidContentType").count(), 1, "{error}");
}

#[tokio::test]
async fn a_client_cannot_write_lines_of_its_own() {
    let (lines, _guard) = Lines::capture();
    let lab = Lab::start().await;
    let agent = "a\tb".to_owned() + &"c".repeat(1000);
    lab.ask("GET", HUB, "/v2/", &[("user-agent", &agent)]).await;
    lab.send_raw(b"GET /v2/\xc2\x9b31m HTTP/1.0\r\nHost: x\r\n\r\n").await;
    let entries = lines.wait_for(2).await;
    let logged = entries[0]["user_agent"].as_str().unwrap();
    assert!(logged.starts_with("a?bccc") && logged.len() == 256, "{logged}");
    for entry in &entries {
        let text = entry.to_string();
        assert!(!text.chars().any(char::is_control) && !text.contains("\\u009b"), "{text}");
    }
}

#[tokio::test]
async fn newcomer_28_tls_at_the_plain_port_is_one_warning_that_says_what_to_do() {
    let (lines, _guard) = Lines::capture();
    let lab = Lab::start().await;
    // Other bytes that are not HTTP cause no warning.
    lab.send_raw(b"\0\0\0\0\r\n\r\n").await;
    for _ in 0..2 {
        lab.send_raw(&[0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x01, 0x00]).await;
    }
    lab.get(HUB, "/v2/").await;
    let entries = lines.wait_for(2).await;
    let warnings: Vec<_> = entries.iter().filter(|entry| entry["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 1, "{entries:?}");
    let text = warnings[0]["message"].as_str().unwrap();
    assert!(text.contains("http://") && text.contains("[server.tls]"), "{text}");
}
