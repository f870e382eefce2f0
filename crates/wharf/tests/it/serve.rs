//! The answers to clients.

use std::sync::Arc;

use testkit::{Behaviour, Door, Endpoint, FakeRegistry, Image, Kind, within};

use crate::program::{Program, configuration, registry};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_comes_from_the_registry_once_and_from_the_disk_after_that() {
    let hub = FakeRegistry::start().await;
    let image = Image::small("first");
    hub.put_image("library/app", "latest", &image);
    let configuration = configuration(&registry("docker.io", &hub));
    let mut program = Program::start(&configuration);
    for round in ["cold", "warm", "restarted"] {
        if round == "restarted" {
            let directory = Arc::clone(&program.directory);
            program.signal(rustix::process::Signal::TERM);
            assert!(program.wait().success());
            program = Program::start_in(directory, &configuration, &[]);
        }
        let answer = program.get("docker.io.localhost", "/v2/app/manifests/latest").await.unwrap();
        assert_eq!((answer.status, &answer.body), (200, &image.manifest.bytes()), "{round}");
        for blob in image.blobs() {
            let target = format!("/v2/library/app/blobs/{}?ns=docker.io", blob.digest);
            let answer = program.get("127.0.0.1", &target).await.unwrap();
            assert_eq!((answer.status, &answer.body), (200, &blob.bytes()), "{round}");
        }
    }
    assert_eq!(hub.log().count(Kind::GetManifest), 1);
    assert_eq!(hub.log().count_at(Endpoint::Cdn, Kind::GetBlob), image.blobs().count());
    let stored = program.directory.path().join("wharf-data/docker.io/VERSION");
    assert!(stored.is_file(), "{}", stored.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn registries_are_served_when_none_of_them_can_be_reached() {
    let hub = FakeRegistry::start_with(Behaviour::default()).await;
    let image = Image::small("kept");
    hub.put_image("library/app", "latest", &image);
    let configuration = configuration(&registry("docker.io", &hub));
    let mut program = Program::start(&configuration);
    let manifest = "/v2/library/app/manifests/latest";
    assert_eq!(program.get("docker.io.localhost", manifest).await.unwrap().status, 200);
    program.signal(rustix::process::Signal::TERM);
    assert!(program.wait().success());

    for endpoint in [Endpoint::Registry, Endpoint::Token, Endpoint::Cdn] {
        hub.set_door(endpoint, Door::Refuse).await;
    }
    let program = Program::start_in(Arc::clone(&program.directory), &configuration, &[]);
    let kept = within("the stale manifest", program.get("docker.io.localhost", manifest)).await.unwrap();
    assert_eq!((kept.status, kept.body), (200, image.manifest.bytes()));
    let unknown = program.get("docker.io.localhost", "/v2/library/other/manifests/latest").await.unwrap();
    assert_eq!(unknown.status, 502);
    assert_eq!(program.get("127.0.0.1", "/readyz").await.unwrap().status, 200);
    let metrics = program.metrics().await;
    let is_stale =
        |line: &str| line.starts_with("wharf_stale_total{registry=\"docker.io\"") && !line.ends_with(" 0");
    assert!(metrics.lines().any(is_stale), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_say_what_each_store_holds() {
    let hub = FakeRegistry::start().await;
    let image = Image::small("held");
    hub.put_image("library/app", "latest", &image);
    let program = Program::start(&configuration(&registry("docker.io", &hub)));
    let manifest = program.get("docker.io.localhost", "/v2/app/manifests/latest").await.unwrap();
    let (mut count, mut bytes) = (0, 0);
    for blob in image.blobs() {
        let target = format!("/v2/library/app/blobs/{}", blob.digest);
        bytes += program.get("docker.io.localhost", &target).await.unwrap().body.len();
        count += 1;
    }
    let expected = [
        format!("wharf_stored_bytes{{registry=\"docker.io\",kind=\"blob\"}} {bytes}"),
        format!("wharf_stored_objects{{registry=\"docker.io\",kind=\"blob\"}} {count}"),
        format!("wharf_stored_bytes{{registry=\"docker.io\",kind=\"manifest\"}} {}", manifest.body.len()),
        "wharf_stored_objects{registry=\"docker.io\",kind=\"manifest\"} 1".to_owned(),
    ];
    // Small blobs are stored a moment after the answer.
    let settled = async {
        loop {
            let metrics = program.metrics().await;
            if expected.iter().all(|line| metrics.lines().any(|it| it == line)) {
                break;
            }
        }
    };
    within(&format!("{expected:?}"), settled).await;
}
