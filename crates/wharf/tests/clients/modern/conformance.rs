//! The official conformance suite of the distribution specification, without the push tests
//! (docs/how-to/run-the-oci-conformance-suite.md).

use std::time::Duration;

use testkit::{Artifact, Image};

use super::built;
use super::referring::Referring;
use crate::process::{Ran, Surroundings};

const REPOSITORY: &str = "conformance/repo1";
const WITHIN: Duration = Duration::from_secs(120);

#[test]
fn the_official_conformance_suite_passes_without_pushing() {
    if !built(&["conformance"]) {
        return;
    }
    let mut referring = Referring::start();
    let image = Image::generated(1, &[300_000, 5_000_000]);
    referring.registry.put_image(REPOSITORY, "latest", &image);
    let sbom = Artifact::about(&image.manifest, "application/vnd.example.sbom", b"{}");
    referring.registry.put_artifact(REPOSITORY, &sbom);
    let directory = tempfile::tempdir().expect("a directory is created");
    let surroundings = Surroundings::new(directory.path(), &[]);
    for round in ["cold", "warm"] {
        let ran = run_suite(&surroundings, &referring, &image);
        let report = String::from_utf8_lossy(&ran.stdout).into_owned();
        println!("{round}:\n{report}{}", ran.stderr);
        assert!(report.contains("OCI Conformance Result: Pass"), "the last word of the suite");
        assert_passed(&report, &["ping", "read-only", "missing-manifest", "invalid-digest-format"]);
    }
    for blob in image.blobs() {
        assert_eq!(
            referring.registry.log().body_bytes(&blob.digest),
            blob.size(),
            "sent once: {}",
            blob.digest
        );
    }
    referring.lose_registry_and_restart();
    let ran = run_suite(&surroundings, &referring, &image);
    let report = String::from_utf8_lossy(&ran.stdout).into_owned();
    println!("offline:\n{report}{}", ran.stderr);
    // Only the registry can say that content does not exist, so wharf cannot while the registry is down.
    assert_passed(
        &report,
        &["read-only/head", "read-only/pull", "read-only/referrers", "read-only/tag-list"],
    );
}

fn assert_passed(report: &str, tests: &[&str]) {
    for test in tests {
        let line = format!("OCI Conformance Test/{test}: Pass");
        assert!(report.lines().any(|said| said.trim() == line), "not in the report: {line}");
    }
}

fn run_suite(surroundings: &Surroundings, referring: &Referring, image: &Image) -> Ran {
    let blobs: Vec<_> = image.blobs().map(|blob| &*blob.digest).collect();
    let results = surroundings.home().join("results");
    let mut command = surroundings.command("conformance");
    command
        .current_dir(surroundings.home())
        .env("OCI_RESULTS_DIR", results)
        .env("OCI_REGISTRY", referring.host())
        .env("OCI_TLS", "disabled")
        .env("OCI_VERSION", "1.1")
        .env("OCI_REPO1", Referring::name(REPOSITORY))
        .env("OCI_RO_DATA_TAGS", "latest")
        .env("OCI_RO_DATA_MANIFESTS", image.digest())
        .env("OCI_RO_DATA_BLOBS", blobs.join(" "))
        .env("OCI_RO_DATA_REFERRERS", image.digest());
    for disabled in ["PUSH", "BLOBS_DELETE", "MANIFESTS_DELETE", "TAGS_DELETE"] {
        command.env(format!("OCI_API_{disabled}"), "false");
    }
    surroundings.try_run(&mut command, WITHIN)
}
