use std::sync::Arc;
use std::time::Duration;

use http::Method;
use policy::host_health::{RequestOutcome, Target, TargetKind};
use telemetry::Metrics;
use tokio::time::Instant;

use super::{ClientPauses, Gate, HostRole};
use crate::error::{Error, ErrorKind};
use crate::operation::target_of;
use crate::transport::Allowance;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

fn gate() -> (Arc<Gate>, Metrics) {
    gate_of("https://registry.example/v2/")
}

fn gate_of(root: &str) -> (Arc<Gate>, Metrics) {
    let metrics = Metrics::new(&["corp".to_owned()]);
    (Gate::new("corp", metrics.registry("corp"), HostRole::Registry, root.parse().unwrap(), 64), metrics)
}

fn target(repository: &str, kind: TargetKind, reference: &str) -> Arc<Target> {
    target_of(&repository.parse().unwrap(), kind, &Method::GET, reference.to_owned())
}

fn admit(gate: &Arc<Gate>, target: &Arc<Target>) -> Result<super::Permit, Error> {
    gate.admit(target, None, HEADER_TIMEOUT, &mut Allowance::until(Instant::now() + HEADER_TIMEOUT))
}

fn fail(gate: &Arc<Gate>, target: &Arc<Target>, error: &Error, count: usize) {
    for _ in 0..count {
        admit(gate, target).unwrap().report(&Err(error.clone()));
    }
}

fn late() -> Error {
    Error::new(ErrorKind::TimedOut, "registry.example", "did not answer in time")
}

fn unconnected() -> Error {
    Error::new(ErrorKind::Unreachable, "registry.example", "could not be reached").without_connection()
}

fn sample(metrics: &Metrics, name: &str) -> String {
    let text = metrics.encode();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    line.rsplit(' ').next().unwrap().to_owned()
}

fn state(metrics: &Metrics) -> String {
    sample(metrics, "wharf_upstream_breaker_state{")
}

#[tokio::test(start_paused = true)]
async fn f01_after_five_failures_requests_are_answered_here_at_once() {
    let (gate, metrics) = gate();
    let latest = target("library/app", TargetKind::Manifests, "latest");
    assert_eq!(state(&metrics), "0");
    fail(&gate, &latest, &unconnected(), 5);
    assert_eq!(state(&metrics), "2");
    let error = admit(&gate, &latest).unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Resting, None));
    assert!(error.retry_after().is_some());
    assert!(gate.take_probe().is_none(), "not yet");
    tokio::time::advance(Duration::from_secs(1)).await;
    let (mut probing, is_left_alone) = gate.take_probe().unwrap();
    assert!(is_left_alone);
    assert_eq!(state(&metrics), "1");
    assert!(gate.take_probe().is_none(), "one at a time");
    assert!(admit(&gate, &latest).is_err(), "no client's request is a probe");
    probing.report(RequestOutcome::Answered, None);
    assert_eq!(state(&metrics), "0");
    assert!(admit(&gate, &latest).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_ends_in_a_panic_is_made_again() {
    let (gate, metrics) = gate();
    fail(&gate, &target("library/app", TargetKind::Manifests, "latest"), &unconnected(), 5);
    tokio::time::advance(Duration::from_secs(1)).await;
    drop(gate.take_probe().unwrap());
    assert_eq!(state(&metrics), "2");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(gate.take_probe().is_some());
}

#[tokio::test(start_paused = true)]
async fn k13_silence_for_one_path_is_about_that_path() {
    let (gate, metrics) = gate();
    let tags = target("library/app", TargetKind::Tags, "");
    fail(&gate, &tags, &late(), 5);
    let error = admit(&gate, &tags).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resting);
    assert!(error.to_string().contains("failed at this several times"), "{error}");
    for other in [
        target("library/app", TargetKind::Manifests, "latest"),
        target("library/other", TargetKind::Tags, ""),
    ] {
        assert!(admit(&gate, &other).is_ok());
    }
    assert_eq!(state(&metrics), "0");
    assert_eq!(sample(&metrics, "wharf_upstream_left_alone_total{registry=\"corp\",reason=\"path\"}"), "1");
}

#[tokio::test(start_paused = true)]
async fn k13_who_waits_in_vain_and_leaves_has_seen_a_failure_and_who_leaves_soon_has_not() {
    let (gate, _metrics) = gate();
    for (waited, is_failure) in [(Duration::from_secs(1), false), (HEADER_TIMEOUT, true)] {
        let latest = target("library/app", TargetKind::Manifests, "latest");
        for _ in 0..5 {
            let permit = admit(&gate, &latest).unwrap();
            tokio::time::advance(waited).await;
            drop(permit);
        }
        assert_eq!(admit(&gate, &latest).is_err(), is_failure, "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn f10_a_limit_on_manifests_leaves_blobs_and_lists_alone() {
    let (gate, _metrics) = gate();
    let latest = target("library/app", TargetKind::Manifests, "latest");
    gate.throttle(&latest, None, Duration::from_secs(60));
    for reference in ["latest", "other"] {
        let error = admit(&gate, &target("library/app", TargetKind::Manifests, reference)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
        assert_eq!(error.status(), None, "nobody was asked");
    }
    for kind in [TargetKind::Blobs, TargetKind::Tags, TargetKind::Referrers] {
        assert!(admit(&gate, &target("library/app", kind, "x")).is_ok(), "{kind:?}");
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(admit(&gate, &latest).is_ok());
}

#[tokio::test(start_paused = true)]
async fn f10_a_limit_on_blobs_stops_everything_for_a_second_at_least() {
    let (gate, _metrics) = gate();
    gate.throttle(&target("library/app", TargetKind::Blobs, "x"), None, Duration::ZERO);
    for kind in [TargetKind::Blobs, TargetKind::Manifests, TargetKind::Tags] {
        assert_eq!(admit(&gate, &target("library/app", kind, "x")).unwrap_err().kind(), ErrorKind::Throttled);
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(admit(&gate, &target("library/app", TargetKind::Blobs, "x")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn f10_a_limit_is_one_repositorys_until_another_tells_it_too() {
    let (gate, metrics) = gate();
    gate.throttle(&target("library/one", TargetKind::Manifests, "latest"), None, Duration::from_secs(60));
    let third = target("library/three", TargetKind::Manifests, "latest");
    assert!(admit(&gate, &third).is_ok());
    gate.throttle(&target("library/two", TargetKind::Manifests, "latest"), None, Duration::from_secs(60));
    assert_eq!(admit(&gate, &third).unwrap_err().kind(), ErrorKind::Throttled);
    let told = "wharf_upstream_left_alone_total{registry=\"corp\",reason=\"throttled\"}";
    assert_eq!(sample(&metrics, told), "2");
}

#[tokio::test(start_paused = true)]
async fn f10_requests_to_other_hosts_do_not_end_the_pause_of_a_login() {
    let (gate, _metrics) = gate();
    let pauses = ClientPauses::default();
    let blob = target("library/app", TargetKind::Blobs, "x");
    gate.throttle(&blob, Some(&pauses), Duration::from_secs(60));
    // Blobs come from the hosts of a content network.
    for number in 0..8 {
        let (content, _metrics) = gate_of(&format!("https://content-{number}.example/"));
        content.check_further(&blob, Some(&pauses)).unwrap();
    }
    assert_eq!(gate.check_further(&blob, Some(&pauses)).unwrap_err().kind(), ErrorKind::Throttled);
    gate.check_further(&blob, None).unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    gate.check_further(&blob, Some(&pauses)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn k14_a_further_connection_is_let_through_and_held_back_like_any_other() {
    let (gate, _metrics) = gate();
    let blob = target("library/app", TargetKind::Blobs, "x");
    gate.check_further(&blob, None).unwrap();
    fail(&gate, &blob, &late(), 5);
    assert_eq!(gate.check_further(&blob, None).unwrap_err().kind(), ErrorKind::Resting);
}

#[tokio::test(start_paused = true)]
async fn newcomer_8_what_is_left_alone_says_why_it_failed_last() {
    let (gate, _metrics) = gate();
    let latest = target("library/app", TargetKind::Manifests, "latest");
    let bad = |status: u16| {
        let response = http::Response::builder().status(status).body("").unwrap();
        Ok(reqwest::Response::from(response))
    };
    for status in [500, 503, 500, 500, 502] {
        admit(&gate, &latest).unwrap().report(&bad(status));
    }
    let told = admit(&gate, &latest).unwrap_err().to_string();
    assert!(told.contains("failed at this several times in a row"), "{told}");
    assert!(told.ends_with("(last error: it answered 502)"), "{told}");
    // Another path of another repository failed later, and that is not why this one is left alone.
    fail(&gate, &target("library/other", TargetKind::Manifests, "1"), &late(), 1);
    let told = admit(&gate, &latest).unwrap_err().to_string();
    assert!(told.ends_with("(last error: it answered 502)"), "{told}");
    // A client that leaves after having waited for all of the time is a failure as well.
    let silent = target("library/silent", TargetKind::Blobs, "sha256:1");
    while let Ok(permit) = admit(&gate, &silent) {
        tokio::time::advance(HEADER_TIMEOUT).await;
        drop(permit);
    }
    let told = admit(&gate, &silent).unwrap_err().to_string();
    assert!(told.ends_with("(last error: it did not answer in time)"), "{told}");
    let broken = target("library/broken", TargetKind::Tags, "");
    let lost = Error::new(ErrorKind::Interrupted, "registry.example", "broke off its answer");
    (0..5).for_each(|_| gate.conclude(&broken, Some(&lost)));
    let told = admit(&gate, &broken).unwrap_err().to_string();
    assert!(told.ends_with("(last error: it broke off its answer)"), "{told}");
    gate.pause_target(&broken, Duration::from_secs(7));
    let told = admit(&gate, &broken).unwrap_err().to_string();
    assert!(told.ends_with("(last error: it answered 503 and asked for a pause of 7 s)"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn newcomer_8_a_host_that_is_left_alone_says_why() {
    let (gate, _metrics) = gate();
    let refused = "could not be reached: nothing listens on port 443 there; check the address and the port";
    let refused = Error::new(ErrorKind::Unreachable, "registry.example", refused).without_connection();
    fail(&gate, &target("library/app", TargetKind::Manifests, "latest"), &refused, 5);
    let never_asked = target("library/never-asked", TargetKind::Blobs, "sha256:1");
    let told = admit(&gate, &never_asked).unwrap_err().to_string();
    assert!(
        told.ends_with(
            "gets no requests for a moment (last error: it could not be reached: nothing listens on port 443 there; \
             check the address and the port)"
        ),
        "{told}"
    );
    // What our own request finds out is later.
    tokio::time::advance(Duration::from_secs(1)).await;
    let (mut probing, _) = gate.take_probe().unwrap();
    probing.report(RequestOutcome::NotConnected, Some(&unconnected()));
    let told = gate.check_further(&never_asked, None).unwrap_err().to_string();
    assert!(told.ends_with("(last error: it could not be reached)"), "{told}");
}
