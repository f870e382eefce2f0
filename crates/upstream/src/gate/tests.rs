use std::sync::Arc;
use std::time::Duration;

use telemetry::{Metrics, RegistryMetrics, UpstreamKind};

use super::Gate;
use crate::error::{Error, ErrorKind};

const HOST: &str = "registry.example";

fn gate() -> (Gate, Metrics) {
    let metrics = Metrics::new(&["corp".to_owned()]);
    let registry: Arc<RegistryMetrics> = metrics.registry("corp");
    (Gate::new("corp", Some(registry)), metrics)
}

fn fail(gate: &Gate, count: u32) {
    for _ in 0..count {
        let error = Error::new(ErrorKind::TimedOut, HOST, "did not answer in time");
        gate.admit(UpstreamKind::GetBlob, HOST).unwrap().report(&Err(error));
    }
}

fn refusal(gate: &Gate, kind: UpstreamKind) -> Option<Error> {
    gate.admit(kind, HOST).err()
}

fn breaker(metrics: &Metrics) -> String {
    let text = metrics.encode();
    let line =
        text.lines().find(|line| line.starts_with("wharf_upstream_breaker_state{")).unwrap().to_owned();
    line.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn f01_after_five_failures_requests_are_answered_here_at_once() {
    let (gate, metrics) = gate();
    assert_eq!(breaker(&metrics), "0");
    fail(&gate, 5);
    assert_eq!(breaker(&metrics), "2");
    let error = refusal(&gate, UpstreamKind::HeadManifest).unwrap();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Resting, None));
    assert!(error.retry_after().is_some());
    tokio::time::advance(Duration::from_secs(1)).await;
    let probe = gate.admit(UpstreamKind::HeadManifest, HOST).unwrap();
    assert_eq!(breaker(&metrics), "1");
    assert!(refusal(&gate, UpstreamKind::HeadManifest).is_some(), "one probe at a time");
    drop(probe);
    assert_eq!(breaker(&metrics), "2", "a probe whose caller went away proves nothing");
}

#[tokio::test(start_paused = true)]
async fn f10_a_limit_on_manifests_leaves_blobs_alone() {
    let (gate, _metrics) = gate();
    gate.rest(UpstreamKind::GetManifest, HOST, 429, Duration::from_secs(60));
    for kind in [UpstreamKind::HeadManifest, UpstreamKind::GetManifest, UpstreamKind::List] {
        let error = refusal(&gate, kind).unwrap();
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
        assert_eq!(error.status(), None, "nobody was asked");
    }
    assert!(refusal(&gate, UpstreamKind::GetBlob).is_none());
    assert!(refusal(&gate, UpstreamKind::HeadBlob).is_none());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(refusal(&gate, UpstreamKind::GetManifest).is_none());
}

#[tokio::test(start_paused = true)]
async fn f10_a_limit_on_blobs_stops_everything_for_a_second_at_least() {
    let (gate, _metrics) = gate();
    gate.rest(UpstreamKind::GetBlob, HOST, 429, Duration::ZERO);
    for kind in [UpstreamKind::GetBlob, UpstreamKind::GetManifest] {
        assert_eq!(refusal(&gate, kind).unwrap().kind(), ErrorKind::Throttled);
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(refusal(&gate, UpstreamKind::GetBlob).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_shorter_rest_does_not_cut_a_longer_one_short() {
    let (gate, _metrics) = gate();
    gate.rest(UpstreamKind::GetBlob, HOST, 503, Duration::from_secs(30));
    gate.rest(UpstreamKind::GetBlob, HOST, 429, Duration::from_secs(2));
    tokio::time::advance(Duration::from_secs(5)).await;
    let error = refusal(&gate, UpstreamKind::GetBlob).unwrap();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Resting, Some(Duration::from_secs(25))));
}
