use super::*;
use crate::values::{
    BypassReason, Evicted, FillEnd, Kind, LeftAlone, PullFailure, StoreCall, Stored, UpstreamKind,
};

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
    hub.request(Kind::Blob, Answered::Hit, 206);
    hub.request(Kind::Blob, Answered::Hit, 206);
    metrics.registry("ghcr.io").request(Kind::Manifest, Answered::Miss, 200);
    check(&metrics, r#"wharf_requests_total{registry="docker.io",kind="blob",outcome="hit",status="206"} 2"#);
    check(
        &metrics,
        r#"wharf_requests_total{registry="ghcr.io",kind="manifest",outcome="miss",status="200"} 1"#,
    );
}

fn every_event(hub: &RegistryMetrics) {
    hub.look_up_scrub(|| Some(1), || Some(1));
    hub.store_writable(true);
    hub.scrubbed_bytes(1);
    hub.scrub_damaged();
    hub.scrub_healed();
    hub.served_bytes(10);
    hub.fetched_bytes(7);
    hub.pulled_bytes(Answered::Hit, 8);
    hub.pulled_bytes(Answered::Join, 9);
    hub.upstream_request(UpstreamKind::HeadManifest, Some(200));
    hub.upstream_request(UpstreamKind::Token, None);
    hub.fill_started();
    hub.fill_started();
    hub.fill_ended(FillEnd::Done);
    hub.joined();
    hub.resumed();
    hub.bypassed(BypassReason::StoreFailed);
    hub.stale(PullFailure::Timeout);
    hub.revalidated(true);
    hub.verify_failed();
    hub.quarantined();
    hub.store_failed(StoreCall::Fsync);
    hub.breaker(2);
    hub.rate_limit(100, 42);
    hub.throttled();
    hub.first_byte(Kind::Manifest, 0.003);
    hub.upstream_answered(UpstreamKind::Token, Duration::from_millis(30));
    hub.left_alone(LeftAlone::Host);
    hub.look_up_offline(|| Some(true));
    hub.look_up_addresses(|| vec![true, false]);
    hub.look_up_inventory(|| Some(3), || Some(60), || Some(1000));
    hub.evicted(Evicted::Cap, 2, 2000);
    hub.look_up_stored(|| {
        let others = [Stored::Manifest, Stored::Partial, Stored::Quarantine, Stored::List];
        let none = others.map(|kind| (kind, 0, 0));
        Some([(Stored::Blob, 4096, 2), none[0], none[1], none[2], none[3]])
    });
}

#[test]
fn every_event_of_a_registry_has_a_series() {
    let metrics = metrics();
    every_event(&metrics.registry("docker.io"));
    for line in [
        r#"wharf_served_bytes_total{registry="docker.io"} 10"#,
        r#"wharf_images{registry="docker.io"} 3"#,
        r#"wharf_oldest_use_seconds{registry="docker.io"} 60"#,
        r#"wharf_cap_bytes{registry="docker.io"} 1000"#,
        r#"wharf_evicted_images_total{registry="docker.io",reason="cap"} 2"#,
        r#"wharf_evicted_bytes_total{registry="docker.io",reason="cap"} 2000"#,
        r#"wharf_fetched_bytes_total{registry="docker.io"} 7"#,
        r#"wharf_served_from_store_bytes_total{registry="docker.io"} 8"#,
        r#"wharf_served_from_upstream_bytes_total{registry="docker.io"} 9"#,
        r#"wharf_upstream_requests_total{registry="docker.io",kind="head_manifest",status="200"} 1"#,
        r#"wharf_upstream_requests_total{registry="docker.io",kind="token",status="none"} 1"#,
        r#"wharf_fills_in_flight{registry="docker.io"} 1"#,
        r#"wharf_fills_total{registry="docker.io",end="done"} 1"#,
        r#"wharf_joined_total{registry="docker.io"} 1"#,
        r#"wharf_resumed_total{registry="docker.io"} 1"#,
        r#"wharf_bypassed_total{registry="docker.io",reason="store_failed"} 1"#,
        r#"wharf_stale_total{registry="docker.io",reason="timeout"} 1"#,
        r#"wharf_revalidations_total{registry="docker.io",changed="yes"} 1"#,
        r#"wharf_verify_failures_total{registry="docker.io"} 1"#,
        r#"wharf_quarantined_total{registry="docker.io"} 1"#,
        r#"wharf_store_failures_total{registry="docker.io",call="fsync"} 1"#,
        r#"wharf_upstream_breaker_state{registry="docker.io"} 2"#,
        r#"wharf_upstream_address_up{registry="docker.io",address="1"} 1"#,
        r#"wharf_upstream_address_up{registry="docker.io",address="2"} 0"#,
        r#"wharf_upstream_rate_limit{registry="docker.io"} 100"#,
        r#"wharf_upstream_rate_limit_remaining{registry="docker.io"} 42"#,
        r#"wharf_upstream_throttled_total{registry="docker.io"} 1"#,
        r#"wharf_first_byte_seconds_bucket{le="0.005",registry="docker.io",kind="manifest"} 1"#,
        r#"wharf_first_byte_seconds_bucket{le="0.002",registry="docker.io",kind="manifest"} 0"#,
        r#"wharf_fills_in_flight{registry="ghcr.io"} 0"#,
        r#"wharf_upstream_answer_seconds_bucket{le="0.05",registry="docker.io",kind="token"} 1"#,
        r#"wharf_upstream_answer_seconds_bucket{le="0.025",registry="docker.io",kind="token"} 0"#,
        r#"wharf_upstream_left_alone_total{registry="docker.io",reason="host"} 1"#,
        r#"wharf_stored_bytes{registry="docker.io",kind="blob"} 4096"#,
        r#"wharf_stored_objects{registry="docker.io",kind="blob"} 2"#,
    ] {
        check(&metrics, line);
    }
}

#[test]
fn events_of_no_registry_are_counted() {
    let metrics = metrics();
    metrics.connection_opened();
    metrics.connection_opened();
    metrics.connection_closed(CloseReason::Idle);
    metrics.unrouted(Answered::UnknownHost, 404);
    metrics.draining();
    metrics.timer_late(Duration::from_millis(4));
    metrics.panicked();
    metrics.count_dropped_log_lines(|| 5);
    metrics.count_body_memory(|| vec![("lists", 7), ("windows", 0)]);
    metrics.reloaded(Reloaded::Failure);
    metrics.config_loaded(1_795_966_813);
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
        r#"wharf_config_reloads_total{result="failure"} 1"#,
        r#"wharf_config_reloads_total{result="success"} 0"#,
        "wharf_config_loaded_timestamp_seconds 1795966813",
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
fn each_scrape_reads_memory_and_descriptors() {
    let text = metrics().encode();
    for name in ["wharf_process_resident_memory_bytes ", "wharf_process_open_files "] {
        let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert!(value.parse::<u64>().unwrap() > 0, "{name}{value}");
    }
}

/// The sum of the series with this name and all of these labels; `None` if there is no such series.
fn sum(text: &str, name: &str, labels: &[&str]) -> Option<u64> {
    let is_meant = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
    let values: Vec<u64> =
        text.lines().filter(is_meant).map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

#[test]
fn newcomer_12_series_for_alerts_exist_from_the_start() {
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
fn every_counter_starts_at_zero() {
    let text = metrics().encode();
    let counted: Vec<_> = text
        .lines()
        .filter(|line| line.contains("_total") && !line.starts_with('#') && !line.ends_with(" 0"))
        .collect();
    assert!(counted.is_empty(), "{counted:?}");
}

#[test]
fn the_certificate_s_expiry_appears_once_it_is_known() {
    let metrics = metrics();
    assert!(!metrics.encode().contains("\nwharf_tls_certificate_expiry_timestamp_seconds"));
    let ends = |file: &str, ends| (file.to_owned(), ends);
    metrics.tls_certificates_end(vec![ends("one.pem", 1_795_966_813), ends("two.pem", 1)]);
    check(&metrics, r#"wharf_tls_certificate_expiry_timestamp_seconds{cert_file="one.pem"} 1795966813"#);
    check(&metrics, r#"wharf_tls_certificate_expiry_timestamp_seconds{cert_file="two.pem"} 1"#);
    metrics.tls_certificates_end(vec![ends("two.pem", 1)]);
    assert!(!metrics.encode().contains("one.pem"));
}

/// All series of a registry, and no other, appear and vanish with it.
#[test]
fn a_registry_s_series_appear_and_vanish_with_it() {
    let metrics = metrics();
    every_event(&metrics.registry("docker.io"));
    let before = metrics.encode();
    every_event(&metrics.registry("quay.io"));
    let series = |of: &str| metrics.encode().lines().filter(|line| line.contains(of)).count();
    let of_quay = series(r#"registry="quay.io""#);
    assert_eq!(of_quay, series(r#"registry="docker.io""#));
    metrics.remove_registry("quay.io");
    assert_eq!(series("quay.io"), 0);
    let without_memory = |text: &str| {
        let kept = text.lines().filter(|line| !line.starts_with("wharf_process_"));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(without_memory(&metrics.encode()), without_memory(&before));
    // A registry that returns starts at 0.
    metrics.registry("quay.io");
    check(&metrics, r#"wharf_joined_total{registry="quay.io"} 0"#);
}

#[test]
fn events_of_a_removed_registry_are_not_printed() {
    let metrics = metrics();
    let old = metrics.registry("quay.io");
    metrics.remove_registry("quay.io");
    old.joined();
    assert!(!metrics.encode().contains("quay.io"));
    // An old and a new backend of one registry count together.
    let new = metrics.registry("quay.io");
    let same = metrics.registry("quay.io");
    new.joined();
    same.joined();
    check(&metrics, r#"wharf_joined_total{registry="quay.io"} 2"#);
}

/// Rows of the tables in the reference: `| `name` | type | labels | ... |`.
fn documented() -> Vec<crate::Declaration> {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/metrics.md"));
    let page = page.unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `wharf_"));
    let mut documented: Vec<_> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let labels = cells[2].split(',').map(|label| label.trim().trim_matches('`'));
            let labels = labels.filter(|label| !label.is_empty()).map(|label| &*label.to_owned().leak());
            crate::Declaration {
                name: cells[0].trim_matches('`').to_owned(),
                metric_type: cells[1].to_owned().leak(),
                labels: labels.collect(),
            }
        })
        .collect();
    documented.sort();
    documented
}

#[test]
fn the_reference_has_every_metric_with_its_type_and_labels_and_no_other() {
    let mut declared = crate::declarations();
    declared.sort();
    assert_eq!(documented(), declared);
}

#[test]
fn every_declared_metric_is_printed_with_its_labels() {
    let metrics = metrics();
    every_event(&metrics.registry("docker.io"));
    metrics.tls_certificates_end(vec![("cert.pem".to_owned(), 1)]);
    metrics.config_loaded(1);
    metrics.count_body_memory(|| vec![("lists", 7)]);
    metrics.warmed(2, 1, 1);
    metrics.acme_ordered(Ordered::Success, 1);
    metrics.acme_ordered(Ordered::Failure, 2);
    metrics.acme_uncovered(3);
    let text = metrics.encode();
    for declared in crate::declarations() {
        let series = text.lines().find(|line| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let histogram = declared.metric_type == "histogram";
            name == declared.name || histogram && name == format!("{}_count", declared.name)
        });
        let series = series.unwrap_or_else(|| panic!("{} is not printed:\n{text}", declared.name));
        let labels = series.split_once('{').map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
        let labels: Vec<&str> = labels.split(',').filter_map(|label| label.split('=').next()).collect();
        let labels: Vec<&str> = labels.into_iter().filter(|label| !label.is_empty()).collect();
        assert_eq!(labels, declared.labels, "{series}");
    }
}
