//! "Content Discovery": tags (end-8a, end-8b) and referrers (end-12a, end-12b).

use serde_json::Value;
use testkit::{Artifact, Format, Image, digest_of};

use crate::place::{Form, Place, REPOSITORY, Stage, assert_error, json};

const SBOM: &str = "application/vnd.example.sbom.v1";
const SIGNATURE: &str = "application/vnd.example.signature.v1";

async fn tagged(count: usize) -> (Stage, Vec<String>) {
    let stage = Stage::new().await;
    let image = Image::small("tagged");
    stage.upstream.put_image(REPOSITORY, "t00", &image);
    let tags: Vec<_> = (0..count).map(|number| format!("t{number:02}")).collect();
    for tag in &tags {
        stage.upstream.move_tag(REPOSITORY, tag, image.digest());
    }
    (stage, tags)
}

fn tags_of(document: &Value) -> Vec<String> {
    assert_eq!(document["name"], REPOSITORY);
    let tags = document["tags"].as_array().expect("tags is a list");
    tags.iter().map(|tag| tag.as_str().expect("a tag").to_owned()).collect()
}

/// end-8a: 200 and all tags in order, under the repository's name.
#[tokio::test(flavor = "multi_thread")]
async fn the_tags_of_a_repository_are_listed() {
    let (stage, tags) = tagged(12).await;
    stage
        .while_the_upstream_answers(async |place| {
            let answer = place.get_and_head(&format!("{REPOSITORY}/tags/list")).await;
            assert_eq!(answer.status, 200, "{place:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("link"), None);
            assert_eq!(tags_of(&json(&answer)), tags, "{place:?}");
        })
        .await;
}

/// end-8b: `n` tags, none for zero; from behind `last`, with and without `n`.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_tags_is_listed() {
    let (stage, tags) = tagged(12).await;
    let cases = [
        ("n=5", &tags[..5]),
        ("n=0", &[]),
        ("n=99", &tags[..]),
        ("n=3&last=t04", &tags[5..8]),
        ("last=t04", &tags[5..]),
        ("n=5&last=t11", &[]),
    ];
    stage
        .while_the_upstream_answers(async |place| {
            for (query, wanted) in cases {
                let answer = place.get(&format!("{REPOSITORY}/tags/list?{query}")).await;
                assert_eq!(answer.status, 200, "{place:?} {query}");
                assert_eq!(tags_of(&json(&answer)), wanted, "{place:?} {query}");
                let reaches_end = query == "n=0" || wanted.last() == tags.last() || wanted.is_empty();
                assert_eq!(answer.header("link").is_none(), reaches_end, "{place:?} {query}");
            }
        })
        .await;
}

/// end-8b: `Link` leads from page to page, in the client's own form, until every tag was listed once.
#[tokio::test(flavor = "multi_thread")]
async fn links_lead_through_all_tags() {
    let (stage, tags) = tagged(12).await;
    stage
        .while_the_upstream_answers(async |place| {
            let first = place.get(&format!("{REPOSITORY}/tags/list?n=5")).await;
            let (mut listed, mut answer) = (tags_of(&json(&first)), first);
            while let Some(link) = answer.header("link").map(str::to_owned) {
                answer = place.follow(&link).await;
                listed.extend(tags_of(&json(&answer)));
                assert!(listed.len() <= tags.len(), "{place:?}: {listed:?}");
            }
            assert_eq!(listed, tags, "{place:?}");
        })
        .await;
}

/// end-8a: 404 and `NAME_UNKNOWN` where there is no such repository.
#[tokio::test(flavor = "multi_thread")]
async fn the_tags_of_no_repository_are_unknown() {
    let (stage, _) = tagged(1).await;
    stage
        .while_the_upstream_answers(async |place| {
            let answer = place.get_and_head("library/absent/tags/list").await;
            assert_error(&place, &answer, 404, "NAME_UNKNOWN");
        })
        .await;
}

struct Referred {
    stage: Stage,
    subject: String,
    artifacts: Vec<Artifact>,
}

async fn referred() -> Referred {
    let stage = Stage::new().await;
    let image = Image::small("subject");
    stage.upstream.put_image(REPOSITORY, "1", &image);
    let kinds = [(SBOM, "one"), (SIGNATURE, "two"), (SBOM, "three")];
    let artifacts = kinds.map(|(kind, text)| Artifact::about(&image.manifest, kind, text.as_bytes()));
    for artifact in &artifacts {
        stage.upstream.put_artifact(REPOSITORY, artifact);
    }
    Referred { stage, subject: image.digest().to_owned(), artifacts: artifacts.to_vec() }
}

/// The descriptors of an answer that is the index which the specification asks for.
async fn referrers(place: &Place<'_>, digest: &str, query: &str) -> (Vec<Value>, Option<String>) {
    let answer = place.get_and_head(&format!("{REPOSITORY}/referrers/{digest}{query}")).await;
    assert_eq!(answer.status, 200, "{place:?}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some(Format::Oci.index()), "{place:?}");
    let document = json(&answer);
    assert_eq!(document["schemaVersion"], 2, "{place:?}");
    assert_eq!(document["mediaType"], Format::Oci.index(), "{place:?}");
    let descriptors = document["manifests"].as_array().expect("manifests is a list").clone();
    (descriptors, answer.header("oci-filters-applied").map(str::to_owned))
}

fn digests(descriptors: &[Value]) -> Vec<&str> {
    let mut digests: Vec<_> =
        descriptors.iter().map(|descriptor| descriptor["digest"].as_str().expect("a digest")).collect();
    digests.sort_unstable();
    digests
}

/// end-12a: 200 and an index of all that refers to the subject, with its artifact type; also, once it was
/// listed, while the upstream is gone.
#[tokio::test(flavor = "multi_thread")]
async fn the_referrers_of_a_manifest_are_listed() {
    let Referred { stage, subject, artifacts } = referred().await;
    let mut wanted: Vec<_> = artifacts.iter().map(|artifact| &*artifact.manifest.digest).collect();
    wanted.sort_unstable();
    stage
        .everywhere(async |place| {
            let (descriptors, filters) = referrers(&place, &subject, "").await;
            assert_eq!(digests(&descriptors), wanted, "{place:?}");
            assert_eq!(filters, None, "{place:?}");
            assert!(descriptors.iter().all(|descriptor| descriptor["artifactType"].is_string()));
        })
        .await;
}

/// end-12b: filtered by `artifactType`, the answer says so in `OCI-Filters-Applied`.
#[tokio::test(flavor = "multi_thread")]
async fn referrers_are_filtered_by_artifact_type() {
    let Referred { stage, subject, .. } = referred().await;
    stage
        .everywhere(async |place| {
            for (kind, count) in [(SBOM, 2), (SIGNATURE, 1), ("application/vnd.example.none", 0)] {
                let query = format!("?artifactType={kind}");
                let (descriptors, filters) = referrers(&place, &subject, &query).await;
                assert_eq!(descriptors.len(), count, "{place:?} {kind}");
                assert!(descriptors.iter().all(|descriptor| descriptor["artifactType"] == kind));
                assert_eq!(filters.as_deref(), Some("artifactType"), "{place:?}");
            }
        })
        .await;
}

/// end-12a: a digest that nothing refers to has an empty list, never a 404.
#[tokio::test(flavor = "multi_thread")]
async fn a_digest_without_referrers_has_an_empty_list() {
    let Referred { stage, .. } = referred().await;
    let unknown = digest_of(b"nothing refers to this");
    stage
        .everywhere(async |place| {
            let (descriptors, _) = referrers(&place, &unknown, "").await;
            assert!(descriptors.is_empty(), "{place:?}: {descriptors:?}");
        })
        .await;
}

/// end-12a: 400 for a digest with an invalid syntax.
#[tokio::test(flavor = "multi_thread")]
async fn the_referrers_of_no_digest_are_refused() {
    let stage = Stage::new().await;
    stage
        .everywhere(async |place| {
            let answer = place.get(&format!("{REPOSITORY}/referrers/sha256:baddigeststring")).await;
            assert_error(&place, &answer, 400, "DIGEST_INVALID");
        })
        .await;
}

/// end-12a: a list too long for one index is paged by `Link`, which keeps the filter.
#[tokio::test(flavor = "multi_thread")]
async fn links_lead_through_all_referrers() {
    let Referred { stage, subject, .. } = referred().await;
    stage.upstream.change(|behaviour| behaviour.page_max = 1);
    stage
        .while_the_upstream_answers(async |place| {
            let mut answer =
                place.get(&format!("{REPOSITORY}/referrers/{subject}?artifactType={SBOM}")).await;
            let mut count = 0;
            loop {
                let document = json(&answer);
                let page = document["manifests"].as_array().expect("manifests is a list");
                assert!(page.iter().all(|descriptor| descriptor["artifactType"] == SBOM), "{place:?}");
                count += page.len();
                let Some(link) = answer.header("link").map(str::to_owned) else { break };
                assert!(count < 2, "{place:?}: a page behind the last");
                answer = place.follow(&link).await;
            }
            assert_eq!(count, 2, "{place:?}");
        })
        .await;
}

/// "Registry Proxying": a proxy that uses `ns` names it in `OCI-Namespace`.
#[tokio::test(flavor = "multi_thread")]
async fn the_namespace_that_was_gone_by_is_named() {
    let (stage, _) = tagged(1).await;
    stage
        .while_the_upstream_answers(async |place| {
            for path in ["tags/list", "manifests/t00", "manifests/absent"] {
                let answer = place.get_and_head(&format!("{REPOSITORY}/{path}")).await;
                let wanted = (place.form == Form::Namespace).then_some(place.registry);
                assert_eq!(answer.header("oci-namespace"), wanted, "{place:?} {path}");
            }
        })
        .await;
}
