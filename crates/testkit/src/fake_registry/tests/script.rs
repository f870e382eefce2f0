use super::{REPOSITORY, ask, blob, get, manifest, simple};
use crate::{Endpoint, FakeRegistry, Fault, Kind, Rule};

async fn statuses(registry: &FakeRegistry, target: &str, count: usize) -> Vec<u16> {
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(get(registry, target).await.status);
    }
    seen
}

#[tokio::test]
async fn rules_apply_from_the_nth_request_a_number_of_times() {
    let registry = simple().await;
    registry.put_manifest(REPOSITORY, Some("x"), "text/plain", "{}");
    let rule = Rule::new(Kind::GetManifest, Fault::Status(500)).from_nth(2).times(2);
    let scripted = registry.script(rule);
    assert_eq!(statuses(&registry, &manifest("x"), 5).await, [200, 500, 500, 200, 200]);
    assert_eq!(scripted.applied(), 2);
    scripted.wait_applied(2).await;
}

#[tokio::test]
async fn rules_match_kind_repository_and_reference() {
    let registry = simple().await;
    registry.put_manifest(REPOSITORY, Some("x"), "text/plain", "{}");
    registry.put_manifest(REPOSITORY, Some("y"), "text/plain", "{}");
    registry.put_manifest("other", Some("x"), "text/plain", "{}");
    registry.script(Rule::new(Kind::GetManifest, Fault::Status(500)).repository(REPOSITORY).reference("x"));
    assert_eq!(get(&registry, &manifest("x")).await.status, 500);
    assert_eq!(get(&registry, &manifest("y")).await.status, 200);
    assert_eq!(get(&registry, "/v2/other/manifests/x").await.status, 200);
    let head = ask(&registry, Endpoint::Registry, "HEAD", &manifest("x"), &[]).await.unwrap();
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn only_the_newest_matching_rule_applies_and_it_can_be_removed() {
    let registry = simple().await;
    registry.put_manifest(REPOSITORY, Some("x"), "text/plain", "{}");
    let old = registry.script(Rule::new(Kind::GetManifest, Fault::Status(500)));
    registry.script(Rule::new(Kind::GetManifest, Fault::Status(501)).once());
    assert_eq!(statuses(&registry, &manifest("x"), 2).await, [501, 500]);
    assert_eq!(old.applied(), 1);
    old.remove();
    assert_eq!(get(&registry, &manifest("x")).await.status, 200);
}

#[tokio::test]
async fn challenges_are_not_affected_or_counted_by_default() {
    let registry = FakeRegistry::start().await;
    let spoilt = registry.script(Rule::new(Kind::GetManifest, Fault::Status(500)).once());
    assert_eq!(statuses(&registry, &manifest("x"), 2).await, [401, 401]);
    assert_eq!(spoilt.applied(), 0);
    registry.script(Rule::new(Kind::GetManifest, Fault::Status(503)).before_auth());
    assert_eq!(get(&registry, &manifest("x")).await.status, 503);
}

#[tokio::test]
async fn faults_apply_to_blobs_at_the_endpoint_that_serves_them() {
    let registry = simple().await;
    let digest = registry.put_blob("content");
    registry.script(Rule::new(Kind::GetBlob, Fault::Status(500)));
    assert_eq!(get(&registry, &blob(&digest)).await.status, 500);
    registry.change(|behaviour| behaviour.redirects = true);
    let redirect = get(&registry, &blob(&digest)).await;
    assert_eq!(redirect.status, 307);
    let target = redirect.header("location").unwrap().strip_prefix(&registry.url_of(Endpoint::Cdn)).unwrap();
    assert_eq!(ask(&registry, Endpoint::Cdn, "GET", target, &[]).await.unwrap().status, 500);
    registry.script(Rule::new(Kind::GetBlob, Fault::Status(502)).at(Endpoint::Registry));
    assert_eq!(get(&registry, &blob(&digest)).await.status, 502);
}

#[tokio::test]
async fn the_log_can_be_cleared_and_waited_for() {
    let registry = simple().await;
    let digest = registry.put_blob("content");
    get(&registry, &blob(&digest)).await;
    registry.log().clear();
    assert_eq!((registry.requests().len(), registry.log().body_bytes(&digest)), (0, 0));
    let (answer, ()) = tokio::join!(get(&registry, "/v2/"), registry.wait_for_requests(1));
    assert_eq!(answer.status, 200);
    registry.log().wait_for(Kind::Version, 1).await;
    let [record] = &registry.requests()[..] else { panic!("one request since") };
    assert_eq!((record.number, record.status, record.method.as_str()), (1, Some(200), "GET"));
    assert_eq!(record.header("host"), Some(&*registry.host_of(Endpoint::Registry)));
}
