use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;
use crate::config::LogFormat;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `events` writes to a log with these settings, without the time of each line.
fn written(settings: &Log, events: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing::subscriber::with_default(subscriber(settings, move || writer.clone()), events);
    let bytes = lines.0.lock().unwrap().clone();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(without_time).collect()
}

/// A time is `2026-01-31T12:00:00.000000Z`.
fn without_time(line: &str) -> String {
    let start = if line.starts_with('{') { "{\"time\":\"".len() } else { 0 };
    let time = &line[start..start + 27];
    assert!(time.starts_with("20") && time.ends_with('Z') && &time[10..11] == "T", "{line}");
    format!("{}{}", &line[..start], &line[start + 27..])
}

fn settings(format: LogFormat) -> Log {
    Log { level: tracing::Level::INFO, format, access: true }
}

const EVIL: &str = "a\r\nb\u{1b}[31m\u{7f}\u{9b}\t\0\"\\ü";

fn evil_event() {
    tracing::info!(target: "access", client = EVIL, shown = %EVIL, status = 200, ok = true, ms = 0.25, none = None::<u64>, "got {EVIL}");
}

#[test]
fn text_lines_hold_one_event_each() {
    let lines = written(&settings(LogFormat::Text), || {
        tracing::info!(target: "wharf", "started");
        tracing::warn!(target: "cache", name = "docker.io", empty = "", spaced = "a b", nan = f64::NAN, left = -1, "odd");
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
        let lines = written(&Log { level, format: LogFormat::Text, access }, events);
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
