use serde_json::Value;

use super::{REPOSITORY, ask, blob, get, manifest, simple};
use crate::{
    Artifact, BlobSource, Endpoint, FakeRegistry, Format, Image, Index, Kind, RateLimit, Referrers, digest_of,
};

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[tokio::test]
async fn an_image_can_be_pulled_by_tag_and_by_digest() {
    let registry = simple().await;
    let image = Image::small("one");
    registry.put_image(REPOSITORY, "v1", &image);
    for reference in ["v1", image.digest()] {
        let answer = get(&registry, &manifest(reference)).await;
        assert_eq!((answer.status, answer.complete), (200, true));
        assert_eq!(answer.body, image.manifest.bytes());
        assert_eq!(answer.header("content-type"), Some(image.manifest.media_type.as_str()));
        assert_eq!(answer.header("docker-content-digest"), Some(image.digest()));
        let head = ask(&registry, Endpoint::Registry, "HEAD", &manifest(reference), &[]).await.unwrap();
        assert_eq!((head.status, &head.headers, head.body.len()), (200, &answer.headers, 0));
    }
    for part in image.blobs() {
        let answer = get(&registry, &blob(&part.digest)).await;
        assert_eq!(digest_of(&answer.body), part.digest);
    }
    assert_eq!(registry.log().body_bytes(image.digest()), image.manifest.size());
    assert_eq!(registry.count(Kind::GetManifest), 2);
    assert_eq!(registry.count(Kind::HeadManifest), 2);
}

#[tokio::test]
async fn tags_move_and_vanish_while_digests_stay() {
    let registry = simple().await;
    let index = Index::of(Format::Oci, &[Image::small("a"), Image::small("b")]);
    registry.put_index(REPOSITORY, "latest", &index);
    assert_eq!(get(&registry, &manifest("latest")).await.body, index.manifest.bytes());
    let child = &index.images[1];
    registry.move_tag(REPOSITORY, "latest", child.digest());
    assert_eq!(get(&registry, &manifest("latest")).await.body, child.manifest.bytes());
    registry.remove_tag(REPOSITORY, "latest");
    let gone = get(&registry, &manifest("latest")).await;
    assert_eq!(
        (gone.status, json(&gone.body)["errors"][0]["code"].as_str()),
        (404, Some("MANIFEST_UNKNOWN"))
    );
    assert_eq!(get(&registry, &manifest(child.digest())).await.status, 200);
    registry.remove_manifest(REPOSITORY, child.digest());
    assert_eq!(get(&registry, &manifest(child.digest())).await.status, 404);
}

#[tokio::test]
async fn blobs_live_where_they_were_put() {
    let registry = simple().await;
    let everywhere = registry.put_blob("everywhere");
    let here = registry.put_blob_in(REPOSITORY, "here");
    let elsewhere = registry.put_blob_in("other", "elsewhere");
    assert_eq!(get(&registry, &blob(&everywhere)).await.status, 200);
    assert_eq!(get(&registry, &blob(&here)).await.status, 200);
    let missing = get(&registry, &blob(&elsewhere)).await;
    assert_eq!((missing.status, missing.text().contains("BLOB_UNKNOWN")), (404, true));
    registry.put_blob_in(REPOSITORY, "elsewhere");
    assert_eq!(get(&registry, &blob(&elsewhere)).await.status, 200);
    registry.remove_blob(&elsewhere);
    assert_eq!(get(&registry, &blob(&elsewhere)).await.status, 404);
}

#[tokio::test]
async fn wrong_bytes_are_served_as_configured() {
    let registry = simple().await;
    let digest = registry.put_blob("truth");
    registry.put_blob_under(&digest, "a longer lie");
    assert_eq!(get(&registry, &blob(&digest)).await.body, "a longer lie");
    registry.put_manifest_under(REPOSITORY, &digest, "text/plain", "{}");
    let answer = get(&registry, &manifest(&digest)).await;
    assert_eq!((answer.text().as_str(), answer.header("docker-content-digest")), ("{}", Some(&*digest)));
    registry.change(|behaviour| behaviour.content_digest = false);
    assert_eq!(get(&registry, &manifest(&digest)).await.header("docker-content-digest"), None);
}

#[tokio::test]
async fn generated_blobs_are_streamed_and_counted() {
    let registry = simple().await;
    let source = BlobSource::Generated { seed: 9, len: 3 << 20 };
    let digest = registry.put_blob(source);
    let answer = get(&registry, &blob(&digest)).await;
    assert_eq!(digest_of(&answer.body), digest);
    assert_eq!(answer.header("content-length"), Some("3145728"));
    assert_eq!(registry.log().body_bytes(&digest), 3 << 20);
}

#[tokio::test]
async fn blobs_are_redirected_to_a_cdn_that_wants_no_credential() {
    let registry = FakeRegistry::start().await;
    registry.change(|behaviour| behaviour.auth = crate::Auth::Anonymous);
    let digest = registry.put_blob("content");
    let redirect = get(&registry, &blob(&digest)).await;
    assert_eq!(redirect.status, 307);
    let location = redirect.header("location").unwrap();
    let target = location.strip_prefix(&registry.url_of(Endpoint::Cdn)).unwrap();
    let answer = ask(&registry, Endpoint::Cdn, "GET", target, &[]).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "content"));

    let leak = [("authorization", "Bearer leaked")];
    let refused = ask(&registry, Endpoint::Cdn, "GET", target, &leak).await.unwrap();
    assert_eq!(refused.status, 400);
    assert_eq!(registry.log().refused_credentials(), 1);
    assert_eq!(registry.log().credentials(Endpoint::Cdn), [crate::Credential::Bearer("leaked".into())]);

    registry.expire_signatures();
    assert_eq!(ask(&registry, Endpoint::Cdn, "GET", target, &[]).await.unwrap().status, 403);
    let forged = target.replace("signature=0", "signature=99");
    assert_eq!(ask(&registry, Endpoint::Cdn, "GET", &forged, &[]).await.unwrap().status, 403);
    let fresh = get(&registry, &blob(&digest)).await;
    let target = fresh.header("location").unwrap().strip_prefix(&registry.url_of(Endpoint::Cdn)).unwrap();
    assert_eq!(ask(&registry, Endpoint::Cdn, "HEAD", target, &[]).await.unwrap().status, 200);

    assert_eq!(registry.log().count_at(Endpoint::Registry, Kind::GetBlob), 2);
    assert_eq!(registry.log().count_for(Kind::GetBlob, &digest), 6);
    registry.change(|behaviour| behaviour.head_blob = false);
    assert_eq!(ask(&registry, Endpoint::Registry, "HEAD", &blob(&digest), &[]).await.unwrap().status, 405);
}

#[tokio::test]
async fn tags_come_in_pages() {
    let registry = simple().await;
    for tag in ["c", "a", "d", "b"] {
        registry.put_manifest(REPOSITORY, Some(tag), "text/plain", "{}");
    }
    let path = format!("/v2/{REPOSITORY}/tags/list");
    let all = get(&registry, &path).await;
    assert_eq!(json(&all.body)["tags"], serde_json::json!(["a", "b", "c", "d"]));
    assert_eq!(all.header("link"), None);
    let exactly = get(&registry, &format!("{path}?n=4")).await;
    assert_eq!((json(&exactly.body), exactly.header("link")), (json(&all.body), None));
    let first = get(&registry, &format!("{path}?n=3")).await;
    assert_eq!(json(&first.body)["tags"], serde_json::json!(["a", "b", "c"]));
    let link = first.header("link").unwrap().to_owned();
    assert_eq!(link, format!("<{path}?last=c&n=3>; rel=\"next\""));
    let rest = get(&registry, &link[1..link.find('>').unwrap()]).await;
    assert_eq!((json(&rest.body)["tags"].clone(), rest.header("link")), (serde_json::json!(["d"]), None));
    registry.change(|behaviour| behaviour.page_max = 2);
    assert_eq!(json(&get(&registry, &path).await.body)["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(get(&registry, "/v2/unknown/tags/list").await.status, 404);
}

#[tokio::test]
async fn referrers_are_listed_if_the_api_is_supported() {
    let registry = simple().await;
    let image = Image::small("subject");
    registry.put_image(REPOSITORY, "v1", &image);
    let artifacts = ["text/one", "text/two"].map(|kind| Artifact::about(&image.manifest, kind, b"x"));
    for artifact in &artifacts {
        registry.put_artifact(REPOSITORY, artifact);
    }
    let path = format!("/v2/{REPOSITORY}/referrers/{}", image.digest());
    assert_eq!(get(&registry, &path).await.status, 404);
    registry.change(|behaviour| behaviour.referrers = Referrers::Unfiltered);
    let all = get(&registry, &format!("{path}?artifactType=text%2Fone")).await;
    assert_eq!(json(&all.body)["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(all.header("oci-filters-applied"), None);
    registry.change(|behaviour| behaviour.referrers = Referrers::Filtered);
    let one = get(&registry, &format!("{path}?artifactType=text%2Fone")).await;
    assert_eq!(one.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(json(&one.body)["manifests"][0]["digest"], artifacts[0].manifest.digest.as_str());
    assert_eq!(json(&one.body)["manifests"].as_array().unwrap().len(), 1);
    registry.change(|behaviour| behaviour.page_max = 1);
    assert!(get(&registry, &path).await.header("link").unwrap().contains("?last=sha256:"));
    let none = get(&registry, &format!("/v2/{REPOSITORY}/referrers/{}", digest_of(b""))).await;
    assert_eq!((none.status, json(&none.body)["manifests"].clone()), (200, serde_json::json!([])));
}

#[tokio::test]
async fn the_rate_limit_counts_gets_down_and_then_refuses() {
    let registry = simple().await;
    registry.put_manifest(REPOSITORY, Some("x"), "text/plain", "{}");
    registry.change(|behaviour| {
        let window = std::time::Duration::from_secs(21_600);
        behaviour.rate_limit = Some(RateLimit { limit: 100, remaining: 1, window });
        behaviour.retry_after = Some("soon".to_owned());
    });
    let head = ask(&registry, Endpoint::Registry, "HEAD", &manifest("x"), &[]).await.unwrap();
    assert_eq!(head.header("ratelimit-limit"), Some("100;w=21600"));
    assert_eq!(head.header("ratelimit-remaining"), Some("1;w=21600"));
    let last = get(&registry, &manifest("x")).await;
    assert_eq!((last.status, last.header("ratelimit-remaining")), (200, Some("0;w=21600")));
    let refused = get(&registry, &manifest("x")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("soon")));
    let head = ask(&registry, Endpoint::Registry, "HEAD", &manifest("x"), &[]).await.unwrap();
    assert_eq!(head.status, 200);
    registry.change(|behaviour| behaviour.throttled = true);
    let head = ask(&registry, Endpoint::Registry, "HEAD", &manifest("x"), &[]).await.unwrap();
    assert_eq!(head.status, 429);
}

#[tokio::test]
async fn nothing_can_be_written() {
    let registry = simple().await;
    let put = ask(&registry, Endpoint::Registry, "PUT", &manifest("x"), &[]).await.unwrap();
    assert_eq!(put.status, 405);
    assert_eq!(get(&registry, "/v2/_catalog").await.status, 404);
    assert_eq!(get(&registry, "/v2/").await.text(), "{}");
}
