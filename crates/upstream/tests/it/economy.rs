//! The requests that pulls cost the registry.

use testkit::{Auth, Behaviour, Endpoint, Format, Image, Index, Kind};
use upstream::BlobRange;

use crate::rig::{REPOSITORY, Rig, read};

/// The requests of a client with a cold cache: HEAD of the tag, index, manifest, configuration, five layers.
async fn pull(rig: &Rig, index: &Index) {
    let head = rig.head("latest").await.unwrap();
    assert_eq!(head.digest.unwrap().to_string(), index.manifest.digest);
    rig.get(&index.manifest.digest).await.unwrap();
    let image = &index.images[0];
    assert_eq!(rig.get(image.digest()).await.unwrap().bytes, image.manifest.bytes());
    for blob in image.blobs() {
        let (got, error) = read(rig.blob(&blob.digest, BlobRange::Whole).await.unwrap()).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(got, blob.bytes());
    }
}

fn index() -> Index {
    Index::of(Format::Oci, &[Image::generated(7, &[1000, 2000, 3000, 4000, 5000])])
}

#[tokio::test]
async fn a_cold_pull_of_five_layers_costs_nine_requests_a_token_and_one_challenge() {
    let rig = Rig::start(Behaviour::default()).await;
    let index = index();
    rig.registry.put_index(REPOSITORY, "latest", &index);
    pull(&rig, &index).await;
    let seen = rig.registry.requests();
    let at = |endpoint| seen.iter().filter(|request| request.endpoint == endpoint).count();
    assert_eq!((at(Endpoint::Registry), at(Endpoint::Token), at(Endpoint::Cdn)), (10, 1, 6));
    assert_eq!(seen.iter().filter(|request| request.status == Some(401)).count(), 1);
    assert_eq!(rig.registry.log().count(Kind::Version), 0, "no ping is needed");
    assert_eq!(rig.registry.log().refused_credentials(), 0);
}

#[tokio::test]
async fn after_the_first_challenge_other_repositories_bring_their_token_along() {
    let rig = Rig::start(Behaviour::default()).await;
    let index = index();
    rig.registry.put_index(REPOSITORY, "latest", &index);
    rig.head("latest").await.unwrap();
    rig.registry.log().clear();
    let image = Image::small("other");
    rig.registry.put_image("library/busybox", "latest", &image);
    let other = "library/busybox".parse().unwrap();
    let latest = "latest".parse().unwrap();
    upstream::Upstream::head_manifest(&rig.upstream, &other, &latest, policy::head_trust::Stakes::Nothing)
        .await
        .unwrap();
    let statuses: Vec<_> =
        rig.registry.requests().iter().map(|request| (request.kind, request.status)).collect();
    assert_eq!(statuses, [(Kind::Token, Some(200)), (Kind::HeadManifest, Some(200))]);
}

#[tokio::test]
async fn basic_credentials_are_sent_unasked_once_they_were_asked_for() {
    let behaviour = Behaviour { auth: Auth::basic("robot", "word"), ..Behaviour::default() };
    let rig = Rig::start_with(behaviour, |settings| {
        settings.credentials = credentials::Settings::password("robot", "word");
    })
    .await;
    let index = index();
    rig.registry.put_index(REPOSITORY, "latest", &index);
    pull(&rig, &index).await;
    assert_eq!(rig.registry.requests().iter().filter(|request| request.status == Some(401)).count(), 1);
    assert_eq!(rig.registry.log().refused_credentials(), 0, "the CDN must see none");
}

#[tokio::test]
async fn every_request_is_counted() {
    let rig = Rig::start(Behaviour::default()).await;
    let index = index();
    rig.registry.put_index(REPOSITORY, "latest", &index);
    pull(&rig, &index).await;
    let sample = |kind: &str, status: &str| {
        let labels = format!("registry=\"fake\",kind=\"{kind}\",status=\"{status}\"");
        rig.sample(&format!("wharf_upstream_requests_total{{{labels}}}"))
    };
    assert_eq!(sample("head_manifest", "401"), Some(1));
    assert_eq!(sample("head_manifest", "200"), Some(1));
    assert_eq!(sample("token", "200"), Some(1));
    assert_eq!(sample("get_manifest", "200"), Some(2));
    assert_eq!(sample("get_blob", "307"), Some(6));
    assert_eq!(sample("redirect", "200"), Some(6));
}

#[tokio::test]
async fn connections_are_kept_for_the_next_request() {
    let rig = Rig::start(Behaviour::default()).await;
    let index = index();
    rig.registry.put_index(REPOSITORY, "latest", &index);
    pull(&rig, &index).await;
    let count = |endpoint| rig.registry.log().connections(endpoint);
    let counts = (count(Endpoint::Registry), count(Endpoint::Token), count(Endpoint::Cdn));
    assert_eq!(counts, (1, 1, 1));
}
