//! Pages of tags, referrers and the catalog.

use testkit::{Artifact, Door, Endpoint, Image, Referrers};

use crate::lab::{HUB, Lab, QUAY};

async fn lab_with_tags() -> Lab {
    let lab = Lab::start().await;
    for tag in ["a", "b", "c", "d", "e"] {
        lab.quay.put_image("org/app", tag, &Image::small(tag));
    }
    lab
}

/// Follows the links from `target` by their path and query, as clients do, and returns all tags.
async fn walk(lab: &Lab, host: &str, target: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut target = target.to_owned();
    for _ in 0..10 {
        let answer = lab.get(host, &target).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let document: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
        let page = document["tags"].as_array().unwrap();
        tags.extend(page.iter().map(|tag| tag.as_str().unwrap().to_owned()));
        let Some(link) = answer.header("link") else { return tags };
        let (next, parameters) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
        assert_eq!(parameters, "; rel=\"next\"");
        assert!(next.starts_with('/'), "{next}");
        target = next.to_owned();
    }
    panic!("the pages do not end");
}

#[tokio::test]
async fn pages_of_tags_follow_each_other_in_every_form() {
    let lab = lab_with_tags().await;
    let rows = [
        (QUAY, "/v2/org/app/tags/list?n=2"),
        ("cache.example", "/v2/org/app/tags/list?n=2&ns=quay.io"),
        ("cache.example", "/quay.io/v2/org/app/tags/list?n=2"),
        ("cache.example", "/v2/quay.io/org/app/tags/list?n=2"),
        ("cache.example", "/v2/quay.io/v2/org/app/tags/list?n=2"),
        (QUAY, "/v2/org/app/tags/list"),
    ];
    for (host, target) in rows {
        assert_eq!(walk(&lab, host, target).await, ["a", "b", "c", "d", "e"], "{host} {target}");
    }
}

#[tokio::test]
async fn a_huge_page_size_is_cut() {
    let lab = lab_with_tags().await;
    let target = "/v2/org/app/tags/list?n=9223372036854775808";
    assert_eq!(walk(&lab, QUAY, target).await, ["a", "b", "c", "d", "e"]);
    assert!(lab.quay.requests().iter().all(|request| !request.target.contains("9223372036854775808")));
}

#[tokio::test]
async fn client_f8_seen_tags_are_served_as_stale_during_an_outage() {
    let lab = lab_with_tags().await;
    let fresh = lab.get(QUAY, "/v2/org/app/tags/list?n=2").await;
    assert_eq!((fresh.status, fresh.header("warning"), fresh.header("age")), (200, None, None));
    lab.quay.set_door(Endpoint::Registry, Door::Refuse).await;
    let stale = lab.get(QUAY, "/v2/org/app/tags/list?n=2").await;
    assert_eq!((stale.status, stale.text(), stale.header("link")), (200, fresh.text(), fresh.header("link")));
    assert!(stale.header("warning").is_some_and(|warning| warning.contains("stale")));
    assert!(stale.header("age").is_some());
    assert_eq!(lab.get(QUAY, "/v2/org/app/tags/list?n=3").await.status, 502, "another page was never seen");
}

#[tokio::test]
async fn tags_of_an_unknown_repository_are_name_unknown() {
    let lab = Lab::start().await;
    let answer = lab.get(HUB, "/v2/org/none/tags/list").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("NAME_UNKNOWN"), "{}", answer.text());
}

#[tokio::test]
async fn referrers_are_passed_through_with_their_filter() {
    let lab = Lab::start().await;
    lab.quay.change(|behaviour| behaviour.referrers = Referrers::Filtered);
    let image = Image::small("one");
    lab.quay.put_image("org/app", "1", &image);
    lab.quay.put_artifact("org/app", &Artifact::about(&image.manifest, "application/spdx+json", b"{}"));
    let target = format!("/v2/org/app/referrers/{}?artifactType=application/spdx%2Bjson", image.digest());
    let answer = lab.get(QUAY, &target).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/vnd.oci.image.index.v1+json"));
    assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
    let document: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!(document["manifests"].as_array().unwrap().len(), 1);
    lab.quay.set_door(Endpoint::Registry, Door::Refuse).await;
    let stale = lab.get(QUAY, &target).await;
    assert_eq!((stale.status, &stale.body), (200, &answer.body));
    assert!(stale.header("warning").is_some());
}

#[tokio::test]
async fn missing_referrers_are_not_found_even_in_an_outage() {
    let lab = Lab::start().await;
    let digest = Image::small("one").digest().to_owned();
    let target = format!("/v2/org/app/referrers/{digest}");
    let tag = format!("/v2/org/app/manifests/{}", digest.replace(':', "-"));
    for target in [&target, &tag] {
        let answer = lab.get(QUAY, target).await;
        assert_eq!(answer.status, 404, "{target}");
        assert!(answer.text().contains("MANIFEST_UNKNOWN"), "{target}: {}", answer.text());
    }
    lab.quay.set_door(Endpoint::Registry, Door::Refuse).await;
    for target in [&target, &tag] {
        let answer = lab.get(QUAY, target).await;
        assert_eq!(answer.status, 404, "{target}");
        assert!(answer.text().contains("MANIFEST_UNKNOWN"), "{target}: {}", answer.text());
    }
}

#[tokio::test]
async fn the_catalog_lists_the_stored_repositories() {
    let lab = lab_with_tags().await;
    lab.quay.put_image("another/app", "1", &Image::small("z"));
    assert_eq!(lab.get(QUAY, "/v2/_catalog").await.text(), "{\"repositories\":[]}");
    for target in ["/v2/org/app/manifests/a", "/v2/another/app/manifests/1"] {
        assert_eq!(lab.get(QUAY, target).await.status, 200);
    }
    let before = lab.upstream_requests();
    let all = lab.get(QUAY, "/v2/_catalog").await;
    assert_eq!(all.text(), "{\"repositories\":[\"another/app\",\"org/app\"]}");
    assert_eq!(all.header("link"), None);
    let page = lab.get("cache.example", "/v2/_catalog?n=1&ns=quay.io").await;
    assert_eq!(page.text(), "{\"repositories\":[\"another/app\"]}");
    assert_eq!(page.header("link"), Some("</v2/_catalog?n=1&last=another/app&ns=quay.io>; rel=\"next\""));
    let rest = lab.get("cache.example", "/v2/_catalog?n=1&last=another/app&ns=quay.io").await;
    assert_eq!(rest.text(), "{\"repositories\":[\"org/app\"]}");
    assert_eq!(rest.header("link"), None);
    assert_eq!(lab.get(HUB, "/v2/_catalog").await.text(), "{\"repositories\":[]}");
    assert_eq!(lab.upstream_requests(), before);
}

#[tokio::test]
async fn a_catalog_that_is_turned_off_is_not_there() {
    let lab = Lab::start_with(|plan| plan.catalog = false).await;
    assert_eq!(lab.get(QUAY, "/v2/_catalog").await.status, 404);
}
