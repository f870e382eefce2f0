//! Tags and referrers, page by page.

use oci::{Digest, Page};
use testkit::{Artifact, Auth, Behaviour, Fault, Image, Kind, Referrers, Rule};
use upstream::{Error, ErrorKind, LIST_BYTES_MAX, ListPage, ListRequest, Upstream};

use crate::rig::{REPOSITORY, Rig, repository};

fn behaviour() -> Behaviour {
    Behaviour { auth: Auth::Anonymous, page_max: 2, referrers: Referrers::Filtered, ..Behaviour::default() }
}

async fn tags(rig: &Rig, n: Option<u32>, last: Option<&str>) -> Result<ListPage, Error> {
    let page = Page { n, last: last.map(str::to_owned), cursor: None };
    rig.upstream.list(&ListRequest::Tags { repository: repository(), page }).await
}

async fn referrers(rig: &Rig, digest: &str, artifact_type: Option<&str>) -> Result<ListPage, Error> {
    let digest: Digest = digest.parse().unwrap();
    let artifact_type = artifact_type.map(str::to_owned);
    let page = Page::default();
    rig.upstream.list(&ListRequest::Referrers { repository: repository(), digest, artifact_type, page }).await
}

#[tokio::test]
async fn tags_come_as_the_upstream_wrote_them_with_the_way_to_the_next_page() {
    let rig = Rig::start(behaviour()).await;
    for tag in ["a", "b", "c"] {
        rig.registry.put_image(REPOSITORY, tag, &Image::small(tag));
    }
    let first = tags(&rig, None, None).await.unwrap();
    let text = String::from_utf8(first.bytes.to_vec()).unwrap();
    assert!(text.contains("\"a\"") && text.contains("\"b\"") && !text.contains("\"c\""), "{text}");
    assert_eq!(first.media_type.unwrap().essence(), "application/json");
    let next = first.next.unwrap();
    assert!(next.contains("last=b"), "{next}");
    let last = tags(&rig, Some(1), Some("b")).await.unwrap();
    assert!(String::from_utf8_lossy(&last.bytes).contains("\"c\""));
    assert_eq!(last.next, None);
    let requests = rig.registry.requests();
    let targets: Vec<_> = requests.iter().map(|request| request.target.as_str()).collect();
    let list = format!("/v2/{REPOSITORY}/tags/list");
    assert_eq!(targets, [list.clone(), format!("{list}?n=1&last=b")]);
}

#[tokio::test]
async fn s13_values_of_the_query_are_escaped() {
    let rig = Rig::start(behaviour()).await;
    rig.registry.put_image(REPOSITORY, "a", &Image::small("a"));
    tags(&rig, None, Some("a&n=9#x%")).await.unwrap();
    assert!(rig.registry.requests()[0].target.ends_with("?last=a%26n%3D9%23x%25"));
}

#[tokio::test]
async fn referrers_keep_the_filters_that_were_applied() {
    let rig = Rig::start(behaviour()).await;
    let image = Image::small("subject");
    rig.registry.put_image(REPOSITORY, "a", &image);
    let artifact = Artifact::about(&image.manifest, "application/vnd.example.sbom+json", b"{}");
    rig.registry.put_artifact(REPOSITORY, &artifact);
    let all = referrers(&rig, image.digest(), None).await.unwrap();
    assert_eq!(all.filters_applied, None);
    assert_eq!(all.media_type.unwrap().as_str(), "application/vnd.oci.image.index.v1+json");
    assert!(String::from_utf8_lossy(&all.bytes).contains(&artifact.manifest.digest));
    let some = referrers(&rig, image.digest(), Some("application/vnd.example.sbom+json")).await.unwrap();
    assert_eq!(some.filters_applied.as_deref(), Some("artifactType"));
}

#[tokio::test]
async fn an_upstream_without_referrers_has_none() {
    let rig = Rig::start(Behaviour { referrers: Referrers::Off, ..behaviour() }).await;
    let image = Image::small("subject");
    rig.registry.put_image(REPOSITORY, "a", &image);
    assert_eq!(referrers(&rig, image.digest(), None).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn s21_a_page_larger_than_the_bound_is_refused() {
    let rig = Rig::start(behaviour()).await;
    rig.registry.put_image(REPOSITORY, "a", &Image::small("a"));
    rig.registry.script(
        Rule::new(Kind::Tags, Fault::Body(vec![b' '; LIST_BYTES_MAX + 1].into())).and(Fault::Chunked),
    );
    assert_eq!(tags(&rig, None, None).await.unwrap_err().kind(), ErrorKind::Invalid);
    rig.registry.script(Rule::new(Kind::Tags, Fault::HtmlPortal));
    assert_eq!(tags(&rig, None, None).await.unwrap_err().kind(), ErrorKind::Invalid);
}
