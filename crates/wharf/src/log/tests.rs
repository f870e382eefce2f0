use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;
use crate::config::LogFormat;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that `events` writes to a log with these settings, without their times.
fn written(settings: &Log, events: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let line = Line::new(format_of(settings), false);
    tracing::subscriber::with_default(subscriber(settings, line, move || writer.clone()).0, events);
    lines.text().lines().map(without_time).collect()
}

/// A time is `2026-01-31T12:00:00.000000Z`.
fn without_time(line: &str) -> String {
    let start = if line.starts_with('{') { "{\"time\":\"".len() } else { 0 };
    let time = &line[start..start + 27];
    assert!(time.starts_with("20") && time.ends_with('Z') && &time[10..11] == "T", "{line}");
    format!("{}{}", &line[..start], &line[start + 27..])
}

fn settings(format: LogFormat) -> Log {
    Log { level: tracing::Level::INFO, format: Some(format), access: true }
}

const EVIL: &str = "a\r\nb\u{1b}[31m\u{7f}\u{9b}\t\0\"\\ü";

fn evil_event() {
    tracing::info!(
        target: "access",
        client = EVIL,
        shown = %EVIL,
        status = 200,
        ok = true,
        ms = 0.25,
        none = None::<u64>,
        "got {EVIL}"
    );
}

#[test]
fn text_lines_hold_one_event_each() {
    let lines = written(&settings(LogFormat::Text), || {
        tracing::info!(target: "wharf", "started");
        tracing::warn!(
            target: "cache",
            name = "docker.io",
            empty = "",
            spaced = "a b",
            nan = f64::NAN,
            left = -1,
            "odd"
        );
        evil_event();
    });
    let evil = r#"a\r\nb\u001b[31m\u007f\u009b\t\u0000\"\\ü"#;
    assert_eq!(
        lines,
        [
            "  INFO wharf: started".to_owned(),
            "  WARN cache: odd name=docker.io empty=\"\" spaced=\"a b\" nan=null left=-1".to_owned(),
            format!(
                "  INFO access: got {} client=\"{evil}\" shown=\"{evil}\" status=200 ok=true ms=0.25",
                evil.replace("\\\"", "\"").replace("\\\\", "\\")
            ),
        ]
    );
}

/// Three errors, of which the first quotes the second, as errors of the store do.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("open x: {source}")]
    Store { source: Box<Failure> },
    #[error("cannot read it")]
    Read { source: io::Error },
}

#[test]
fn an_error_is_logged_with_each_of_its_causes_once() {
    let read = Failure::Read { source: io::Error::other("the disk is gone") };
    let error = Failure::Store { source: Box::new(read) };
    let error: &(dyn std::error::Error + 'static) = &error;
    for (format, expected) in [
        (LogFormat::Text, "  WARN wharf: failed error=\"open x: cannot read it: the disk is gone\""),
        (
            LogFormat::Json,
            "{\"time\":\"\",\"level\":\"warn\",\"module\":\"wharf\",\"message\":\"failed\",\
             \"error\":\"open x: cannot read it: the disk is gone\"}",
        ),
    ] {
        let lines = written(&settings(format), || tracing::warn!(target: "wharf", error, "failed"));
        assert_eq!(lines, [expected], "{format:?}");
    }
}

#[test]
fn json_lines_are_json() {
    let lines = written(&settings(LogFormat::Json), evil_event);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line.chars().filter(|c| c.is_control()).count(), 0, "{line}");
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    let expected = serde_json::json!({
        "time": "", "level": "info", "module": "access", "message": format!("got {EVIL}"),
        "client": EVIL, "shown": EVIL, "status": 200, "ok": true, "ms": 0.25,
    });
    assert_eq!(value, expected);
}

#[test]
fn long_fields_are_cut_between_characters() {
    let long = "ü".repeat(2000);
    for format in [LogFormat::Text, LogFormat::Json] {
        let lines = written(&settings(format), || tracing::info!(target: "wharf", long, "{long}"));
        assert_eq!(lines[0].matches('ü').count(), 2 * 512, "{format:?}");
    }
}

#[test]
fn levels_and_the_access_log_are_apart() {
    let events = || {
        tracing::info!(target: "access", "request");
        tracing::debug!(target: "access", "detail");
        tracing::info!(target: "upstream::gate", "ours");
        tracing::debug!(target: "storage", "ours");
        tracing::info!(target: "hyper::proto", "theirs");
        tracing::warn!(target: "rustls", "theirs");
    };
    let check = |level, access, expected: &[&str]| {
        let lines = written(&Log { level, format: Some(LogFormat::Text), access }, events);
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_start()).collect();
        assert_eq!(lines, expected, "{level} {access}");
    };
    let (request, gate, store, rustls) =
        ("INFO access: request", "INFO upstream::gate: ours", "DEBUG storage: ours", "WARN rustls: theirs");
    check(tracing::Level::INFO, true, &[request, gate, rustls]);
    check(tracing::Level::INFO, false, &[gate, rustls]);
    check(tracing::Level::ERROR, true, &[request]);
    check(tracing::Level::TRACE, false, &[gate, store, rustls]);
}

/// The lines that `events` writes in the short format.
fn short(is_coloured: bool, events: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let line = Line::new(LogFormat::Short, is_coloured);
    let subscriber = subscriber(&settings(LogFormat::Short), line, move || writer.clone()).0;
    tracing::subscriber::with_default(subscriber, events);
    lines.text()
}

const DIGEST: &str = "sha256:fb25670cf427cc442c763b5c5bac8b4401830696757c078ebbf0aec939a6307e";

fn requests() {
    tracing::info!(
        target: "access", outcome = "hit", status = 200, method = %"GET", registry = "docker.io",
        repository = "library/alpine", reference = %DIGEST, kind = "blob", end = "complete", bytes = 1_093_461_u64,
        duration_ms = 0.542, client = %"192.168.1.20:60476", user_agent = "containerd/2.1.4", id = %"77e7f65c-5",
        "request"
    );
    tracing::info!(
        target: "access", outcome = "revalidated", status = 200, method = %"HEAD", registry = "ghcr.io",
        repository = "org/app", reference = %"3.20", kind = "manifest", end = "complete", bytes = 0_u64,
        duration_ms = 95.4, client = %"[fd00::1]:60476", "request"
    );
    tracing::info!(
        target: "access", outcome = "no_selector", status = 404, method = %"GET", path = "/v2/x/tags/list",
        kind = "other", end = "complete", bytes = 310_u64, duration_ms = 0.1, client = %"10.0.0.7:1",
        detail = "\u{1b}[31mwhich registry?", "request"
    );
    tracing::info!(
        target: "access", outcome = "miss", status = 200, method = %"GET", registry = "quay.io",
        repository = "a/b", reference = %DIGEST, kind = "blob", end = "left", bytes = 2_000_000_000_u64,
        duration_ms = 12_345.0, client = %"10.0.0.7:1", kept = false, "request"
    );
}

#[test]
fn a_person_sees_the_outcome_first_and_no_more_than_matters() {
    let text = short(false, || {
        requests();
        tracing::info!(target: "wharf::wiring", "started");
        tracing::warn!(target: "cache", name = "docker.io", "odd");
    });
    let lines: Vec<&str> = text.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    assert_eq!(
        lines,
        [
            "hit         200 GET docker.io/library/alpine@sha256:fb25670cf427  1.1 MB in 1 ms  192.168.1.20",
            "revalidated 200 HEAD ghcr.io/org/app:3.20 in 95 ms  [fd00::1]",
            "no_selector 404 GET /v2/x/tags/list  310 B in 0 ms  10.0.0.7  \\u001b[31mwhich registry?",
            "miss        200 GET quay.io/a/b@sha256:fb25670cf427  2.0 GB in 12 s  10.0.0.7  left  not kept",
            "started",
            "WARN odd name=docker.io",
        ]
    );
    let (time, _) = text.split_once(' ').unwrap();
    assert!(time.len() == "12:00:00Z".len() && time.matches(':').count() == 2, "{time}");
}

#[test]
fn colours_are_for_the_outcome_and_the_level() {
    let text = short(true, || {
        requests();
        tracing::warn!(target: "cache", "odd");
    });
    for expected in [
        "\u{1b}[32mhit        \u{1b}[0m 200",
        "\u{1b}[31mno_selector\u{1b}[0m 404",
        "\u{1b}[36mmiss       \u{1b}[0m 200",
        "\u{1b}[33mWARN \u{1b}[0modd",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text:?}");
    }
}

#[test]
fn colours_are_for_terminals_whose_owner_did_not_refuse_them() {
    let check = |is_terminal, variables: &[(&str, &str)], expected| {
        let variable =
            |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        assert_eq!(is_coloured(is_terminal, variable), expected, "{variables:?}");
    };
    check(true, &[], true);
    check(true, &[("TERM", "xterm"), ("NO_COLOR", "")], true);
    check(true, &[("NO_COLOR", "1")], false);
    check(true, &[("TERM", "dumb")], false);
    check(false, &[], false);
}

#[test]
fn f41_the_level_changes_while_the_log_runs() {
    let lines = Lines::default();
    let writer = lines.clone();
    let first = settings(LogFormat::Text);
    let (subscriber, levels) = subscriber(&first, Line::new(LogFormat::Text, false), move || writer.clone());
    let debug = Log { level: tracing::Level::DEBUG, access: false, ..first.clone() };
    tracing::subscriber::with_default(subscriber, || {
        for (settings, text) in [(&first, "one"), (&debug, "two"), (&first, "three")] {
            levels.set(settings);
            tracing::debug!(target: "wharf", "debug {text}");
            tracing::info!(target: "access", "access {text}");
        }
    });
    let told: Vec<String> = lines.text().lines().map(without_time).collect();
    let told: Vec<&str> =
        told.iter().filter_map(|line| line.split_once(": ")).map(|(_, text)| text).collect();
    assert_eq!(told, ["access one", "debug two", "access three"]);
}

#[test]
fn every_crate_that_logs_is_known_as_our_own() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crates' directory");
    let mut logging = Vec::new();
    for entry in std::fs::read_dir(crates).expect("the crates' directory") {
        let directory = entry.expect("a crate").path();
        let manifest = std::fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
        let product = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        if product.lines().any(|line| line.starts_with("tracing.workspace")) {
            logging.push(directory.file_name().expect("a name").to_string_lossy().into_owned());
        }
    }
    assert!(logging.len() > 4, "{logging:?}");
    logging.retain(|name| !OWN_TARGETS.contains(&name.as_str()));
    assert_eq!(logging, [""; 0], "their lines below warn would not be printed");
}
