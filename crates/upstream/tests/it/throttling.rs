//! An upstream that asks to be left alone is.

use std::time::{Duration, SystemTime};

use testkit::{Auth, Behaviour, Fault, Kind, Rule};
use upstream::{BlobRange, ErrorKind};

use crate::rig::{Rig, bytes, read};

fn throttled(retry_after: Option<&str>) -> Behaviour {
    Behaviour {
        auth: Auth::Anonymous,
        throttled: true,
        retry_after: retry_after.map(str::to_owned),
        redirects: false,
        ..Behaviour::default()
    }
}

#[tokio::test]
async fn f10_retry_after_in_every_shape_means_silence() {
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
    let cases = [
        (None, 10..=10),
        (Some("7"), 7..=7),
        (Some(soon.as_str()), 50..=60),
        (Some("999999999999"), 900..=900),
        (Some("nonsense"), 10..=10),
        (Some("0"), 0..=0),
    ];
    for (retry_after, seconds) in cases {
        let rig = Rig::start(throttled(retry_after)).await;
        let digest = rig.put_manifest();
        let error = rig.get(&digest).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Throttled, Some(429)), "{retry_after:?}");
        assert!(seconds.contains(&error.retry_after().unwrap().as_secs()), "{retry_after:?}: {error:?}");
        for _ in 0..5 {
            let error = rig.head("latest").await.unwrap_err();
            assert_eq!((error.kind(), error.status()), (ErrorKind::Throttled, None), "{retry_after:?}");
            assert!(error.retry_after().is_some());
        }
        assert_eq!(rig.registry.requests().len(), 1, "{retry_after:?}");
        assert_eq!(rig.sample("wharf_upstream_throttled_total{registry=\"fake\"}"), Some(1));
    }
}

#[tokio::test]
async fn f10_after_the_rest_it_is_asked_again() {
    let rig = Rig::start(throttled(Some("1"))).await;
    let digest = rig.put_manifest();
    assert_eq!(rig.get(&digest).await.unwrap_err().kind(), ErrorKind::Throttled);
    rig.registry.change(|behaviour| behaviour.throttled = false);
    while let Err(error) = rig.get(&digest).await {
        assert_eq!(error.kind(), ErrorKind::Throttled);
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.registry.requests().len(), 2);
}

#[tokio::test]
async fn f10_a_pull_under_way_gets_its_blobs_though_manifests_are_limited() {
    let rig = Rig::start(throttled(None)).await;
    let manifest = rig.put_manifest();
    let digest = rig.registry.put_blob(bytes(100));
    rig.get(&manifest).await.unwrap_err();
    rig.registry.change(|behaviour| behaviour.throttled = false);
    assert_eq!(read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await.0, bytes(100));
    assert_eq!(rig.get(&manifest).await.unwrap_err().kind(), ErrorKind::Throttled);
}

#[tokio::test]
async fn f10_a_limit_on_blobs_is_one_on_everything() {
    let rig = Rig::start(throttled(None)).await;
    let manifest = rig.put_manifest();
    let digest = rig.registry.put_blob(bytes(100));
    assert_eq!(rig.blob(&digest, BlobRange::Whole).await.unwrap_err().kind(), ErrorKind::Throttled);
    rig.registry.change(|behaviour| behaviour.throttled = false);
    assert_eq!(rig.get(&manifest).await.unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!(rig.registry.requests().len(), 1);
}

#[tokio::test]
async fn f09_a_503_that_says_for_how_long_is_respected() {
    let rig = Rig::start(Behaviour { throttled: false, ..throttled(None) }).await;
    let digest = rig.put_manifest();
    let headers = vec![("retry-after".to_owned(), "20".to_owned())];
    let fault = Fault::StatusWith { code: 503, headers, body: "".into() };
    rig.registry.script(Rule::new(Kind::GetManifest, fault));
    let error = rig.get(&digest).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Unreachable, Some(503)));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(20)));
    let error = rig.get(&digest).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Resting, None));
    assert_eq!(rig.registry.log().count(Kind::GetManifest), 1, "it is not tried again");
}
