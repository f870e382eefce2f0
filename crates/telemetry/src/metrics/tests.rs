use super::*;
use crate::kind::{Kind, UpstreamKind};

fn metrics() -> Metrics {
    Metrics::new(&["docker.io".to_owned(), "ghcr.io".to_owned()])
}

/// Asserts that the exposition holds exactly this line.
#[track_caller]
fn check(metrics: &Metrics, line: &str) {
    let text = metrics.encode();
    assert!(text.lines().any(|found| found == line), "no line {line:?} in:\n{text}");
}

#[test]
fn a_request_is_counted_under_its_registry_kind_outcome_and_status() {
    let metrics = metrics();
    let hub = metrics.registry("docker.io");
    hub.request(Kind::Blob, "hit", 206);
    hub.request(Kind::Blob, "hit", 206);
    metrics.registry("ghcr.io").request(Kind::Manifest, "miss", 200);
    check(&metrics, r#"wharf_requests_total{registry="docker.io",kind="blob",outcome="hit",status="206"} 2"#);
    check(
        &metrics,
        r#"wharf_requests_total{registry="ghcr.io",kind="manifest",outcome="miss",status="200"} 1"#,
    );
}

fn every_event(hub: &RegistryMetrics) {
    hub.served_bytes(10);
    hub.fetched_bytes(7);
    hub.upstream_request(UpstreamKind::HeadManifest, Some(200));
    hub.upstream_request(UpstreamKind::Token, None);
    hub.fill_started();
    hub.fill_started();
    hub.fill_ended("stored");
    hub.joined();
    hub.resumed();
    hub.bypassed("disk_full");
    hub.stale("timeout");
    hub.revalidated(true);
    hub.verify_failed();
    hub.quarantined();
    hub.store_failed("fsync");
    hub.breaker(2);
    hub.rate_limit(100, 42);
    hub.throttled();
    hub.first_byte(Kind::Manifest, 0.003);
}

#[test]
fn every_event_of_a_registry_has_a_series() {
    let metrics = metrics();
    every_event(&metrics.registry("docker.io"));
    for line in [
        r#"wharf_served_bytes_total{registry="docker.io"} 10"#,
        r#"wharf_fetched_bytes_total{registry="docker.io"} 7"#,
        r#"wharf_upstream_requests_total{registry="docker.io",kind="head_manifest",status="200"} 1"#,
        r#"wharf_upstream_requests_total{registry="docker.io",kind="token",status="none"} 1"#,
        r#"wharf_fills_in_flight{registry="docker.io"} 1"#,
        r#"wharf_fills_total{registry="docker.io",end="stored"} 1"#,
        r#"wharf_joined_total{registry="docker.io"} 1"#,
        r#"wharf_resumed_total{registry="docker.io"} 1"#,
        r#"wharf_bypassed_total{registry="docker.io",reason="disk_full"} 1"#,
        r#"wharf_stale_total{registry="docker.io",reason="timeout"} 1"#,
        r#"wharf_revalidations_total{registry="docker.io",changed="yes"} 1"#,
        r#"wharf_verify_failures_total{registry="docker.io"} 1"#,
        r#"wharf_quarantined_total{registry="docker.io"} 1"#,
        r#"wharf_store_failures_total{registry="docker.io",call="fsync"} 1"#,
        r#"wharf_upstream_breaker_state{registry="docker.io"} 2"#,
        r#"wharf_upstream_rate_limit{registry="docker.io"} 100"#,
        r#"wharf_upstream_rate_limit_remaining{registry="docker.io"} 42"#,
        r#"wharf_upstream_throttled_total{registry="docker.io"} 1"#,
        r#"wharf_first_byte_seconds_bucket{le="0.005",registry="docker.io",kind="manifest"} 1"#,
        r#"wharf_first_byte_seconds_bucket{le="0.002",registry="docker.io",kind="manifest"} 0"#,
        r#"wharf_fills_in_flight{registry="ghcr.io"} 0"#,
    ] {
        check(&metrics, line);
    }
}

#[test]
fn the_process_counts_what_belongs_to_no_registry() {
    let metrics = metrics();
    metrics.connection_opened();
    metrics.connection_opened();
    metrics.connection_closed("idle");
    metrics.unrouted("unknown_host", 404);
    metrics.draining();
    metrics.timer_late(Duration::from_millis(4));
    metrics.panicked();
    metrics.count_dropped_log_lines(|| 5);
    metrics.count_dropped_log_lines(|| 1000);
    metrics.count_body_memory(|| vec![("lists", 7), ("windows", 0)]);
    for line in [
        "wharf_connections 1",
        r#"wharf_connections_closed_total{why="idle"} 1"#,
        r#"wharf_body_memory_bytes{sort="lists"} 7"#,
        r#"wharf_body_memory_bytes{sort="windows"} 0"#,
        r#"wharf_unrouted_requests_total{reason="unknown_host",status="404"} 1"#,
        "wharf_draining 1",
        r#"wharf_runtime_lateness_seconds_bucket{le="0.002"} 0"#,
        r#"wharf_runtime_lateness_seconds_bucket{le="0.005"} 1"#,
        "wharf_panics_total 1",
        "wharf_log_lines_dropped_total 5",
    ] {
        check(&metrics, line);
    }
    check(&metrics, "wharf_log_lines_dropped_total 5");
}

#[test]
fn invented_status_codes_add_no_series() {
    let metrics = metrics();
    let hub = metrics.registry("docker.io");
    for status in 0..=u16::MAX {
        hub.upstream_request(UpstreamKind::GetBlob, Some(status));
    }
    let text = metrics.encode();
    let of_blobs = r#"wharf_upstream_requests_total{registry="docker.io",kind="get_blob","#;
    let series = text.lines().filter(|line| line.starts_with(of_blobs)).count();
    assert!(series <= 33, "{series} series");
    check(
        &metrics,
        r#"wharf_upstream_requests_total{registry="docker.io",kind="get_blob",status="other"} 65036"#,
    );
}

#[test]
fn every_series_has_the_prefix_a_help_text_and_a_single_family_block() {
    let metrics = metrics();
    every_event(&metrics.registry("docker.io"));
    let text = metrics.encode();
    let mut families: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(families.len() > 20, "{families:?}");
    for family in &families {
        assert!(family.starts_with("wharf_"), "{family}");
        assert!(text.contains(&format!("# HELP {family} ")), "{family} has no help text");
    }
    let count = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), count, "a family is printed twice");
    assert!(text.ends_with("# EOF\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn memory_and_descriptors_are_read_when_asked_for() {
    let text = metrics().encode();
    for name in ["wharf_process_resident_memory_bytes ", "wharf_process_open_files "] {
        let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert!(value.parse::<u64>().unwrap() > 0, "{name}{value}");
    }
}

/// The sum of the series of this name with all of these labels; none without any.
fn sum(text: &str, name: &str, labels: &[&str]) -> Option<u64> {
    let is_meant = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
    let values: Vec<u64> =
        text.lines().filter(is_meant).map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

#[test]
fn newcomer_12_what_alerts_ask_for_is_counted_from_the_start() {
    let text = metrics().encode();
    for registry in [r#"registry="docker.io""#, r#"registry="ghcr.io""#] {
        for (name, label) in [
            ("wharf_stale_total", r#"reason="unavailable""#),
            ("wharf_stale_total", r#"reason="timeout""#),
            ("wharf_store_failures_total", r#"call="pwritev""#),
            ("wharf_store_failures_total", r#"call="fsync""#),
            ("wharf_requests_total", r#"kind="manifest",outcome="denied",status="403""#),
            ("wharf_requests_total", r#"kind="blob",outcome="overloaded",status="503""#),
            ("wharf_requests_total", r#"kind="blob",outcome="left",status="4xx""#),
            ("wharf_bypassed_total", r#"reason="store_failed""#),
            ("wharf_fills_total", r#"end="done""#),
            ("wharf_revalidations_total", r#"changed="yes""#),
            ("wharf_upstream_left_alone_total", r#"reason="host""#),
            ("wharf_upstream_requests_total", r#"kind="token",status="none""#),
            ("wharf_verify_failures_total", registry),
        ] {
            assert_eq!(sum(&text, name, &[registry, label]), Some(0), "{name} {registry} {label}");
        }
    }
    assert_eq!(sum(&text, "wharf_unrouted_requests_total", &[r#"reason="overloaded""#]), Some(0));
    assert_eq!(sum(&text, "wharf_connections_closed_total", &[r#"why="slow_reader""#]), Some(0));
}

#[test]
fn nothing_is_counted_before_it_happens() {
    let text = metrics().encode();
    let counted: Vec<_> = text
        .lines()
        .filter(|line| line.contains("_total") && !line.starts_with('#') && !line.ends_with(" 0"))
        .collect();
    assert!(counted.is_empty(), "{counted:?}");
}

#[test]
fn the_certificate_s_end_shows_once_it_is_known() {
    let metrics = metrics();
    assert!(!metrics.encode().contains("\nwharf_tls_certificate_expiry_timestamp_seconds "));
    metrics.tls_certificate_ends(1_795_966_813);
    check(&metrics, "wharf_tls_certificate_expiry_timestamp_seconds 1795966813");
}
