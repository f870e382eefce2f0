//! "Pulling manifests" and "Checking if content exists in the registry" (end-3).

use bytes::Bytes;
use serde_json::{Value, json};
use testkit::{Format, Image, Index, digest_of};

use crate::place::{Phase, Place, REPOSITORY, Stage, assert_error};

/// The answer to a pull of `reference` is this manifest, by GET and by HEAD, whatever the client accepts.
async fn assert_manifest(place: &Place<'_>, reference: &str, media_type: &str, bytes: &Bytes) {
    let path = format!("{REPOSITORY}/manifests/{reference}");
    let answer = place.get_and_head(&path).await;
    assert_eq!(answer.status, 200, "{place:?}: {}", answer.text());
    assert_eq!(answer.body, bytes, "{place:?}");
    assert_eq!(answer.header("content-type"), Some(media_type), "{place:?}");
    assert_eq!(answer.header("content-length"), Some(&*bytes.len().to_string()), "{place:?}");
    let digest = answer.header("docker-content-digest").expect("a digest");
    assert!(digest.starts_with("sha512:") || digest == digest_of(bytes), "{place:?}: {digest}");
    let picky = place.ask("GET", &path, &[("Accept", "application/vnd.example.other+json")]).await;
    assert_eq!((picky.status, &picky.body), (200, bytes), "{place:?}: the stored manifest, unconverted");
}

/// end-3: 200, the manifest byte for byte, its digest, length and media type; HEAD the same without a body.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_pulled_by_tag_and_by_digest() {
    let stage = Stage::new().await;
    let images = [Image::small("oci"), Image::builder(Format::Docker).command(&["docker"]).build()];
    for (image, tag) in images.iter().zip(["oci", "Docker_2.1-x"]) {
        stage.upstream.put_image(REPOSITORY, tag, image);
    }
    stage
        .everywhere(async |place| {
            for (image, tag) in images.iter().zip(["oci", "Docker_2.1-x"]) {
                for reference in [tag, image.digest()] {
                    let manifest = &image.manifest;
                    assert_manifest(&place, reference, &manifest.media_type, &manifest.bytes()).await;
                }
            }
        })
        .await;
}

/// "Warnings": a warning, which a stale tag has, has the code 299 and the agent `-`.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_tag_warns_as_the_specification_writes_it() {
    let stage = Stage::new().await;
    stage.upstream.put_image(REPOSITORY, "1", &Image::small("stale"));
    stage
        .everywhere(async |place| {
            let answer = place.get(&format!("{REPOSITORY}/manifests/1")).await;
            let warning = answer.header("warning");
            assert_eq!(warning.is_some(), place.phase == Phase::Alone, "{place:?}: {warning:?}");
            if let Some(warning) = warning {
                let text = warning.strip_prefix("299 - \"").and_then(|rest| rest.strip_suffix('"'));
                assert!(text.is_some_and(|text| !text.contains('"')), "{warning}");
            }
        })
        .await;
}

/// end-3: an index, and an index within an index, are manifests like any other, and their content is pulled
/// by digest.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_within_an_index_is_pulled_level_by_level() {
    let stage = Stage::new().await;
    let inner = Index::of(Format::Oci, &[Image::small("inner")]);
    stage.upstream.put_index(REPOSITORY, "inner", &inner);
    let descriptor = inner.manifest.descriptor();
    let media_type = Format::Oci.index();
    let outer = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": [descriptor] }).to_string();
    let outer = Bytes::from(outer);
    stage.upstream.put_manifest(REPOSITORY, Some("outer"), media_type, outer.clone());
    stage
        .everywhere(async |place| {
            assert_manifest(&place, "outer", media_type, &outer).await;
            assert_manifest(&place, inner.digest(), media_type, &inner.manifest.bytes()).await;
            let image = &inner.images[0].manifest;
            assert_manifest(&place, &image.digest, &image.media_type, &image.bytes()).await;
        })
        .await;
}

/// "Pushing manifests" lets registries refuse manifests from 4 MiB on; one a little smaller must be pulled.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_of_nearly_four_megabytes_is_pulled() {
    let stage = Stage::new().await;
    let mut document: Value = serde_json::from_slice(&Image::small("large").manifest.bytes()).expect("JSON");
    document["annotations"] = json!({ "com.example.ballast": "x".repeat(3_900_000) });
    let bytes = Bytes::from(document.to_string());
    stage.upstream.put_manifest(REPOSITORY, Some("large"), Format::Oci.manifest(), bytes.clone());
    let digest = digest_of(&bytes);
    stage
        .everywhere(async |place| {
            for reference in ["large", &digest] {
                assert_manifest(&place, reference, Format::Oci.manifest(), &bytes).await;
            }
        })
        .await;
}

/// image-spec, "Registered algorithms": a manifest is also pulled by its SHA-512 digest.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_pulled_by_its_sha512_digest() {
    let stage = Stage::new().await;
    let manifest = Image::small("sha512").manifest;
    let digest = crate::blobs::sha512_of(&manifest.bytes());
    stage.upstream.put_manifest_under(REPOSITORY, &digest, &manifest.media_type, manifest.bytes());
    stage
        .everywhere(async |place| {
            assert_manifest(&place, &digest, &manifest.media_type, &manifest.bytes()).await;
        })
        .await;
}

/// end-3: 404 and `MANIFEST_UNKNOWN` for a tag, a digest and a repository that do not exist.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_not_there_is_unknown() {
    let stage = Stage::new().await;
    stage.upstream.put_image(REPOSITORY, "1", &Image::small("other"));
    let absent = digest_of(b"nobody has this");
    let paths = [
        format!("{REPOSITORY}/manifests/absent"),
        format!("{REPOSITORY}/manifests/{absent}"),
        "library/absent/manifests/1".to_owned(),
    ];
    stage
        .while_the_upstream_answers(async |place| {
            for path in &paths {
                let answer = place.get_and_head(path).await;
                assert_error(&place, &answer, 404, "MANIFEST_UNKNOWN");
            }
        })
        .await;
}

/// "Pulling manifests" gives the grammar of names and tags; other texts are refused without a request to the
/// upstream.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_reference_or_name_is_refused() {
    let stage = Stage::new().await;
    let long_tag = "t".repeat(129);
    let cases = [
        (format!("{REPOSITORY}/manifests/sha256:baddigeststring"), "DIGEST_INVALID"),
        (format!("{REPOSITORY}/manifests/sha256:{}", "A".repeat(64)), "DIGEST_INVALID"),
        (format!("{REPOSITORY}/manifests/md5:{}", "a".repeat(32)), "DIGEST_INVALID"),
        ("Library/app/manifests/1".to_owned(), "NAME_INVALID"),
        ("library/-app/manifests/1".to_owned(), "NAME_INVALID"),
        ("library/../app/manifests/1".to_owned(), "NAME_INVALID"),
    ];
    stage
        .everywhere(async |place| {
            for (path, code) in &cases {
                assert_error(&place, &place.get(path).await, 400, code);
            }
            // The specification calls this code optional ("Legacy Docker support error codes").
            for tag in [".hidden", &long_tag] {
                let answer = place.get(&format!("{REPOSITORY}/manifests/{tag}")).await;
                assert_eq!(answer.status, 400, "{place:?} {tag}");
                assert_eq!(crate::place::json(&answer)["errors"][0]["code"], "TAG_INVALID", "{place:?}");
            }
        })
        .await;
    assert!(stage.upstream.requests().is_empty(), "{:#?}", stage.upstream.requests());
}
