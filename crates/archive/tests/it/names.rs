//! Images of archives and exports as people name them.

use std::collections::HashSet;
use std::sync::Arc;

use archive::{OpenTargets, Source, import};

use super::carry::{Disk, Holder, export_to, import_from, layout_tar, named};
use super::{Registry, digest, image, options, write};

#[tokio::test]
async fn an_image_of_docker_hub_is_in_its_library_whatever_the_archive_calls_the_registry() {
    let text = image(b"{}", b"layer");
    for (name, registry) in [
        ("docker.io/alpine:3", None),
        ("index.docker.io/alpine:3", None),
        ("Docker.io/library/alpine:3", None),
        ("registry-1.docker.io/alpine:3", Some("docker.io")),
        ("alpine:3", None),
    ] {
        let disk = Disk::new();
        let index = format!(r#"{{"manifests":[{}]}}"#, named(text.as_bytes(), name));
        let path = layout_tar(&disk, &[b"{}", b"layer", text.as_bytes()], &index);
        let hub = Holder::new("docker.io");
        let report = import_from(&path, &[&Holder::new("ghcr.io"), &hub], registry).await;
        assert_eq!((report.images, report.refused), (1, 0), "{name}: {report:?}");
        assert_eq!(hub.has_tag("library/alpine", "3").await, Some(digest(text.as_bytes())), "{name}");
    }
}

#[tokio::test]
async fn a_directory_of_a_registry_that_becomes_docker_hub_gets_the_names_of_docker_hub() {
    let registry = Registry::new();
    registry.blob(b"{}");
    registry.blob(b"layer");
    let manifest = registry.manifest("alpine", &image(b"{}", b"layer"));
    write(&registry.v2().join("repositories/alpine/_manifests/tags/3/current/link"), manifest.to_string());
    let hub = Holder::new("docker.io");
    let source = Arc::new(Source::open(registry.0.path(), None).unwrap());
    let targets = OpenTargets(vec![hub.walked().await]);
    let report = import(source, &targets, &options(Some("docker.io")), |_| {}).await.unwrap();
    assert_eq!(report.images, 1, "{report:?}");
    assert_eq!(hub.has_tag("library/alpine", "3").await, Some(manifest));
}

#[tokio::test]
async fn an_export_finds_images_by_every_name_that_people_write() {
    let lab = Holder::with_aliases("lab.example:5000", &["lab"]);
    let hub = Holder::with_aliases("docker.io", &["hub", "index.docker.io"]);
    let digest = hub.simple("library/alpine", "3", b"layer").await;
    hub.simple("lab/app", "3", b"another").await;
    lab.simple("app", "3", b"third").await;
    let targets = vec![hub.walked().await, lab.walked().await];
    for (selector, expected) in [
        ("alpine:3", 1),
        ("hub/alpine:3", 1),
        ("INDEX.docker.io/alpine:3", 1),
        (&*format!("alpine@{digest}"), 1),
        (&*format!("@{digest}"), 1),
        ("hub/alp*", 1),
        // The registry of that alias, and no repository of Docker Hub.
        ("lab/app:3", 1),
        ("lab/*", 1),
        ("docker.io/lab/app:3", 1),
        ("*:3", 3),
    ] {
        let disk = Disk::new();
        let written = export_to(&disk.path("a.tar"), targets.clone(), &[selector], HashSet::new()).await;
        assert_eq!((written.report.images, written.report.refused), (expected, 0), "{selector}");
    }
}

#[tokio::test]
async fn a_selector_of_a_registry_that_is_not_configured_is_refused_with_that_reason() {
    let hub = Holder::new("docker.io");
    hub.simple("library/alpine", "3", b"layer").await;
    let disk = Disk::new();
    let selectors = ["alpine:3", "quay.io/org/app:1", "quay.io/*"];
    let written = export_to(&disk.path("a.tar"), vec![hub.walked().await], &selectors, HashSet::new()).await;
    assert_eq!((written.report.images, written.report.refused), (1, 2));
    for refusal in &written.report.refusals {
        assert!(refusal.reason.contains("no registry \"quay.io\""), "{refusal}");
    }
}
