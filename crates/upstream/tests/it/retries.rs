//! Retries: their reasons, their number, and the time that they may take.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::{Auth, Behaviour, Door, Endpoint, Fault, Gate, Kind, Rule};
use upstream::{BlobRange, ErrorKind};

use crate::rig::{Rig, bytes, read};

fn anonymous() -> Behaviour {
    Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }
}

#[tokio::test]
async fn f09_a_burst_of_failures_shorter_than_the_attempts_is_invisible() {
    for fault in
        [Fault::Status(500), Fault::Status(502), Fault::Status(503), Fault::Status(504), Fault::Status(520)]
    {
        let rig = Rig::start(anonymous()).await;
        let digest = rig.put_manifest();
        rig.registry.script(Rule::new(Kind::GetManifest, fault).times(2));
        rig.get(&digest).await.unwrap();
        assert_eq!(rig.registry.log().count(Kind::GetManifest), 3);
    }
}

#[tokio::test]
async fn f09_three_attempts_are_made_and_no_more() {
    let rig = Rig::start(anonymous()).await;
    let digest = rig.put_manifest();
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::Status(502)));
    let error = rig.get(&digest).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Unreachable, Some(502)));
    assert_eq!(error.to_string(), format!("{} answered 502", rig.registry.host_of(Endpoint::Registry)));
    assert_eq!(rig.registry.log().count(Kind::GetManifest), 3);
}

#[tokio::test]
async fn f09_retries_end_with_the_budget() {
    // What has given something may use all of it, what has not leaves half to others.
    for (is_known, sent) in [(true, 30..=33), (false, 25..=28)] {
        let rig = Rig::start(anonymous()).await;
        let digest = rig.put_manifest();
        if is_known {
            rig.get(&digest).await.unwrap();
        }
        rig.registry.log().clear();
        // 500 is an answer, so that only the budget is left to end the retries.
        rig.registry.script(Rule::new(Kind::GetManifest, Fault::Status(500)));
        for number in 0..20 {
            let tag = format!("tag-{number}");
            assert_eq!(rig.get(&tag).await.unwrap_err().kind(), ErrorKind::Unreachable);
        }
        let count = rig.registry.log().count(Kind::GetManifest);
        assert!(sent.contains(&count), "20 requests and a reserve of 10 retries: {count}");
    }
}

#[tokio::test]
async fn f22_a_kept_connection_that_died_is_invisible_and_costs_no_retry() {
    let rig = Rig::start(anonymous()).await;
    let digest = rig.put_manifest();
    // More often than the budget of retries could bear.
    for _ in 0..30 {
        rig.registry.script(Rule::new(Kind::GetManifest, Fault::Close).once());
        rig.get(&digest).await.unwrap();
    }
}

#[tokio::test]
async fn f22_the_way_out_is_a_new_connection_not_another_kept_one() {
    let rig = Rig::start(anonymous()).await;
    let digest = rig.put_manifest();
    let gate = Gate::new();
    let held = rig.registry.script(Rule::new(Kind::GetManifest, Fault::Stall(gate.clone())));
    let release = async {
        gate.reached(4).await;
        gate.release();
    };
    let (got, ()) = tokio::join!(join_all((0..4).map(|_| rig.get(&digest))), release);
    assert!(got.into_iter().all(|got| got.is_ok()));
    held.remove();
    assert_eq!(rig.registry.log().connections(Endpoint::Registry), 4);
    // As after a firewall forgot them all: whichever is used is reset, and so would the next one be.
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::Reset).once());
    rig.get(&digest).await.unwrap();
    assert_eq!(rig.registry.log().connections(Endpoint::Registry), 5);
}

#[tokio::test]
async fn f02_a_refused_connection_is_an_error_soon() {
    let rig = Rig::start(anonymous()).await;
    rig.registry.set_door(Endpoint::Registry, Door::Refuse).await;
    let started = Instant::now();
    let error = rig.get("latest").await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Unreachable, None));
    assert!(error.to_string().contains("could not be reached"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn f02_a_name_that_does_not_resolve_is_an_error_soon() {
    let settings = upstream::Settings::new("fake", "http://registry.invalid".parse().unwrap());
    let (upstream, _metrics) = crate::rig::build(settings);
    let started = Instant::now();
    let latest = crate::rig::parse("latest");
    let got = upstream::Upstream::get_manifest(&upstream, &crate::rig::repository(), &latest).await;
    let error = got.unwrap_err();
    assert_eq!((error.kind(), error.host()), (ErrorKind::Unreachable, "registry.invalid"));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn f03_silence_ends_at_the_deadline_after_one_second_try() {
    let rig =
        Rig::start_with(anonymous(), |settings| settings.header_timeout = Duration::from_millis(300)).await;
    let digest = rig.put_manifest();
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::Stall(Gate::new())));
    let started = Instant::now();
    let error = rig.get(&digest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(rig.registry.log().count(Kind::GetManifest), 2);
    rig.registry
        .log()
        .wait_until("the connections are closed", |log| log.open_connections(Endpoint::Registry) == 0)
        .await;
}

#[tokio::test]
async fn f03_a_manifest_that_drips_ends_at_the_deadline() {
    let rig =
        Rig::start_with(anonymous(), |settings| settings.header_timeout = Duration::from_millis(300)).await;
    let digest = rig.put_manifest();
    let drip = Fault::Drip { bytes: 1, every: Duration::from_millis(50) };
    rig.registry.script(Rule::new(Kind::GetManifest, drip));
    assert_eq!(rig.get(&digest).await.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn f03_a_server_that_accepts_and_never_reads_is_timed_out() {
    let rig =
        Rig::start_with(anonymous(), |settings| settings.header_timeout = Duration::from_millis(300)).await;
    let digest = rig.registry.put_blob(bytes(100));
    rig.registry.set_door(Endpoint::Registry, Door::Mute).await;
    assert_eq!(rig.blob(&digest, BlobRange::Whole).await.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn f14_a_dead_content_network_is_an_outage_of_the_blob_only() {
    let rig = Rig::start(anonymous()).await;
    let manifest = rig.put_manifest();
    let digest = rig.registry.put_blob(bytes(100));
    rig.registry.set_door(Endpoint::Cdn, Door::Refuse).await;
    for _ in 0..4 {
        let error = rig.blob(&digest, BlobRange::Whole).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Resting), "{error:?}");
        assert_eq!(error.host(), rig.registry.host_of(Endpoint::Cdn));
    }
    assert_eq!(rig.sample("wharf_upstream_breaker_state{registry=\"fake\"}"), Some(0));
    rig.get(&manifest).await.unwrap();
    rig.registry.set_door(Endpoint::Cdn, Door::Open).await;
    let stream = loop {
        match rig.blob(&digest, BlobRange::Whole).await {
            Err(error) if error.kind() == ErrorKind::Resting => tokio::task::yield_now().await,
            other => break other.unwrap(),
        }
    };
    assert_eq!(read(stream).await.0, bytes(100));
}
