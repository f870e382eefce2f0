//! cosign and oras: artifacts attached to an image, found by the referrers API and by its fallback tags.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::Kind;

use crate::image::Form;
use crate::lab::{CORP, HUB, Lab};
use crate::process::Surroundings;
use crate::pulls::{APP, push_both};

use super::referring::Referring;
use super::{built, run};

const VERIFY: [&str; 5] =
    ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog", "--allow-http-registry"];
const WITHIN: Duration = Duration::from_secs(60);

/// cosign with its own key and without a transparency log, which tests cannot reach.
struct Cosign<'a> {
    surroundings: &'a Surroundings,
    keys: PathBuf,
}

impl<'a> Cosign<'a> {
    fn new(surroundings: &'a Surroundings, directory: &Path) -> Self {
        let keys = directory.join("keys");
        fs::create_dir(&keys).expect("created");
        let cosign = Self { surroundings, keys };
        cosign.run(&["generate-key-pair"]);
        cosign
    }

    fn sign(&self, reference: &str, more: &[&str]) {
        let sign =
            ["sign", "--key", "cosign.key", "--yes", "--allow-http-registry", "--allow-insecure-registry"];
        let unlogged = ["--use-signing-config=false", "--tlog-upload=false"];
        self.run(&[&sign[..], &unlogged, more, &[reference]].concat());
    }

    fn verify(&self, reference: &str) {
        self.run(&[&VERIFY[..], &[reference]].concat());
    }

    fn verifies(&self, reference: &str) -> bool {
        let mut command = self.command(&[&VERIFY[..], &[reference]].concat());
        self.surroundings.try_run(&mut command, WITHIN).status.expect("it ends").success()
    }

    fn run(&self, arguments: &[&str]) {
        self.surroundings.run(&mut self.command(arguments));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.surroundings.command("cosign");
        command.current_dir(&self.keys).env("COSIGN_PASSWORD", "").args(arguments);
        command
    }
}

/// Once as cosign 3 stores it by default, and once the old way under the tag `sha256-<hex>.sig`.
#[test]
fn cosign_verifies_by_fallback_tags_also_while_the_registry_is_away() {
    if !built(&["cosign"]) {
        return;
    }
    for form in [&[][..], &["--new-bundle-format=false"]] {
        let mut lab = Lab::start();
        let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
        let cosign = Cosign::new(&lab.surroundings, lab.directory());
        cosign.sign(&format!("{}/{APP}@{}", lab.hub.address, hub.manifest.digest), form);
        let through = format!("{}/{APP}@{}", lab.vhost(HUB), hub.manifest.digest);
        cosign.verify(&through);
        cosign.verify(&through);
        let unsigned = format!("{}/{APP}@{}", lab.vhost(CORP), corp.manifest.digest);
        assert!(!cosign.verifies(&unsigned), "an image of the same name elsewhere is not signed by it");
        drop(cosign);
        lab.hub.stop();
        lab.crash_and_restart();
        let cosign = Cosign { surroundings: &lab.surroundings, keys: lab.directory().join("keys") };
        cosign.verify(&through);
    }
}

#[test]
fn client_f4_cosign_verifies_by_referrers_after_a_restart_while_the_registry_is_away() {
    if !built(&["cosign"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, _) = push_both(&mut lab, "1", Form::Oci);
    let cosign = Cosign::new(&lab.surroundings, lab.directory());
    let digest = &hub.manifest.digest;
    cosign.sign(&format!("{}/{APP}@{digest}", lab.hub.address), &[]);
    let mut referring = Referring::start();
    referring.take(&lab.hub, APP, digest, Some("1"));
    // Only the index under the tag names the artifact; with the API there is no such tag.
    referring.take(&lab.hub, APP, &digest.replace(':', "-"), None);
    let through = |referring: &Referring| format!("{}/{}@{digest}", referring.host(), Referring::name(APP));
    cosign.verify(&through(&referring));
    assert_ne!(referring.registry.count(Kind::Referrers), 0, "it was found by the referrers API");
    referring.lose_registry_and_restart();
    cosign.verify(&through(&referring));
}

#[test]
fn oras_discovers_and_copies_what_is_attached() {
    if !built(&["oras"]) {
        return;
    }
    const KIND: &str = "application/vnd.test.sbom";
    let mut lab = Lab::start();
    let (hub, _) = push_both(&mut lab, "1", Form::Oci);
    let digest = &hub.manifest.digest;
    fs::write(lab.directory().join("sbom.json"), "{}\n").expect("written");
    let mut attach = lab.surroundings.command("oras");
    attach.current_dir(lab.directory()).args(["attach", "--plain-http", "--artifact-type", KIND]);
    attach.args([&format!("{}/{APP}@{digest}", lab.hub.address), "sbom.json:application/json"]);
    lab.surroundings.run(&mut attach);
    let mut referring = Referring::start();
    referring.take(&lab.hub, APP, digest, Some("1"));
    referring.take(&lab.hub, APP, &digest.replace(':', "-"), None);
    let check = |lab: &Lab, name: &str, directory: &Path| {
        let reference = format!("{name}@{digest}");
        let arguments = ["discover", "--plain-http", "--format", "json", "--artifact-type", KIND, &reference];
        let found = run(&lab.surroundings, "oras", &arguments);
        let found: Value = serde_json::from_str(&found).expect("JSON");
        let referrers = found["referrers"].as_array().expect("a list");
        assert_eq!(referrers.len(), 1, "{found}");
        assert_eq!(referrers[0]["artifactType"], KIND);
        let target = format!("{}:1", directory.join("layout").display());
        let copy = ["copy", "--recursive", "--from-plain-http", "--to-oci-layout", &reference, &target];
        run(&lab.surroundings, "oras", &copy);
        let attached =
            referrers[0]["digest"].as_str().expect("named").trim_start_matches("sha256:").to_owned();
        assert!(directory.join("layout/blobs/sha256").join(attached).exists(), "it was copied along");
    };
    let by_tag = format!("{}/{APP}", lab.vhost(HUB));
    for _ in ["cold", "warm"] {
        check(&lab, &by_tag, &lab.fresh_directory("by-tag"));
        let by_list = format!("{}/{}", referring.host(), Referring::name(APP));
        check(&lab, &by_list, &lab.fresh_directory("by-list"));
    }
    lab.hub.stop();
    lab.crash_and_restart();
    check(&lab, &by_tag, &lab.fresh_directory("by-tag"));
    referring.lose_registry_and_restart();
    let by_list = format!("{}/{}", referring.host(), Referring::name(APP));
    check(&lab, &by_list, &lab.fresh_directory("by-list"));
}
