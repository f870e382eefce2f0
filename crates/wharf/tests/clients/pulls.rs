//! Each client with every way to reach wharf that it supports, and every form of image that it can store.

use std::collections::BTreeSet;
use std::path::Path;

use crate::containerd::{Containerd, HostsForm};
use crate::docker::Docker;
use crate::image::{Form, Image, bill_of_materials_of, digest, for_two_platforms, runnable, signature_of};
use crate::lab::{CORP, HUB, Lab, Upstream};
use crate::podman::Podman;
use crate::process::available;
use crate::skopeo::{Skopeo, assert_layout_holds, contents_of};

pub(crate) const APP: &str = "library/app";
const LARGE_BYTES: usize = 1 << 30;

/// Both registries hold `library/app:<tag>`, each its own.
pub(crate) fn push_both(lab: &mut Lab, tag: &str, form: Form) -> (Image, Image) {
    let [hub, corp] = ["hub", "company"].map(|owner| runnable(form, &format!("{tag} of the {owner}")));
    assert_ne!(hub.manifest.digest, corp.manifest.digest);
    lab.push(Upstream::Hub, APP, tag, &hub);
    lab.push(Upstream::Corp, APP, tag, &corp);
    (hub, corp)
}

#[test]
fn skopeo_copies_every_form_of_image_unchanged() {
    if !available(&["skopeo", "zstd"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    let (hub_zstd, corp_zstd) = push_both(&mut lab, "zstd", Form::OciZstd);
    let (index, platforms) = for_two_platforms("several platforms");
    for upstream in [Upstream::Hub, Upstream::Corp] {
        for image in &platforms {
            lab.push(upstream, "team/multi", &image.manifest.digest, image);
        }
        lab.registry(upstream).push_manifest("team/multi", "1", &index);
    }
    lab.pull_three_times(|lab, directory| {
        let skopeo = Skopeo::new(lab, directory);
        for (registry, image, zstd) in [(HUB, &hub, &hub_zstd), (CORP, &corp, &corp_zstd)] {
            for (reference, image) in [
                (format!("{registry}/{APP}:1"), image),
                (format!("{registry}/{APP}@{}", image.manifest.digest), image),
                (format!("{registry}/{APP}:zstd"), zstd),
            ] {
                let layout = skopeo.copy(&reference, &reference.replace(['/', ':', '@'], "-"));
                assert_layout_holds(&layout, &contents_of(image));
            }
            let layout = skopeo.copy(&format!("{registry}/team/multi:1"), &format!("{registry}-multi"));
            assert_layout_holds(&layout, &[&index]);
            for image in &platforms {
                assert_layout_holds(&layout, &contents_of(image));
            }
        }
    });
}

#[test]
fn two_copies_of_one_gibibyte_cost_one_transfer() {
    if !available(&["skopeo"]) {
        return;
    }
    let mut lab = Lab::start();
    let large = runnable(Form::Oci, "large").with_large_layer(lab.directory(), LARGE_BYTES);
    lab.push(Upstream::Hub, APP, "large", &large);
    let copy = |lab: &Lab, purpose: &str| {
        let directory = lab.fresh_directory(purpose);
        let layout = Skopeo::new(lab, &directory).copy(&format!("{HUB}/{APP}:large"), "large");
        assert_layout_holds(&layout, &contents_of(&large));
        std::fs::remove_dir_all(layout).expect("a gibibyte is given back");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| copy(&lab, "one"));
        scope.spawn(|| copy(&lab, "other"));
    });
    lab.assert_each_blob_left_upstream_once();
    lab.hub.stop();
    copy(&lab, "offline");
}

#[test]
fn signatures_and_bills_of_materials_come_by_their_fallback_tags() {
    if !available(&["skopeo"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    let signature = signature_of(&hub.manifest);
    let tag = hub.manifest.digest.replace(':', "-");
    lab.hub.push(APP, &format!("{tag}.sig"), &signature);
    // No client reads the config of a signature.
    lab.expect_blobs(Upstream::Hub, &signature.blobs[1..]);
    let (document, referrers) = bill_of_materials_of(&hub.manifest);
    lab.push(Upstream::Hub, APP, &document.manifest.digest, &document);
    lab.hub.push_manifest(APP, &tag, &referrers);
    lab.pull_three_times(|lab, directory| {
        let skopeo = Skopeo::new(lab, directory);
        let signed = skopeo.copy_with_signatures(&format!("{HUB}/{APP}:1"), "signed");
        assert_eq!(signed.len(), 1, "the signature comes along");
        let unsigned = skopeo.copy_with_signatures(&format!("{CORP}/{APP}:1"), "unsigned");
        assert!(unsigned.is_empty(), "an image of the same name elsewhere is not signed by it");
        let layout = skopeo.copy(&format!("{HUB}/{APP}@{}", document.manifest.digest), "document");
        assert_layout_holds(&layout, &contents_of(&document));
        let listed = skopeo.raw_manifest(&format!("{HUB}/{APP}:{tag}"));
        assert_eq!(digest(&mut listed.as_slice()), referrers.digest);
        let manifest = skopeo.raw_manifest(&format!("{CORP}/{APP}:1"));
        assert_eq!(digest(&mut manifest.as_slice()), corp.manifest.digest);
    });
}

/// Pushes an image in each of two forms to both registries. Returns each with its registry, its tag and the
/// text that its container prints.
fn push_all(lab: &mut Lab) -> [(&'static str, &'static str, Image, &'static str); 4] {
    let (hub, corp) = push_both(lab, "1", Form::Docker);
    let (hub_zstd, corp_zstd) = push_both(lab, "zstd", Form::OciZstd);
    [
        (HUB, "1", hub, "1 of the hub"),
        (CORP, "1", corp, "1 of the company"),
        (HUB, "zstd", hub_zstd, "zstd of the hub"),
        (CORP, "zstd", corp_zstd, "zstd of the company"),
    ]
}

#[test]
fn podman_pulls_and_runs() {
    if !available(&["podman", "runc", "busybox", "zstd"]) {
        return;
    }
    let mut lab = Lab::start();
    let images = push_all(&mut lab);
    lab.pull_three_times(|lab, directory| {
        let podman = Podman::new(lab, directory);
        for (registry, tag, image, marker) in &images {
            let reference = format!("{registry}/{APP}:{tag}");
            podman.pull(&reference);
            let digests = (image.config().digest.clone(), image.manifest.digest.clone());
            assert_eq!(podman.digests(&reference), digests, "{reference}");
            assert_eq!(podman.run(&reference).trim_end(), *marker);
        }
    });
}

#[test]
fn containerd_pulls_by_namespace_parameter() {
    pull_with_containerd(HostsForm::DefaultWithNamespace);
}

#[test]
fn containerd_pulls_by_host_name() {
    pull_with_containerd(HostsForm::HostPerRegistry);
}

#[test]
fn containerd_pulls_by_path() {
    pull_with_containerd(HostsForm::PathPerRegistry);
}

fn pull_with_containerd(form: HostsForm) {
    if !available(&["containerd", "ctr", "runc", "busybox", "zstd"]) {
        return;
    }
    let mut lab = Lab::start();
    let images = push_all(&mut lab);
    let (index, platforms) = for_two_platforms("several platforms");
    for image in &platforms {
        lab.push(Upstream::Corp, "team/multi", &image.manifest.digest, image);
    }
    lab.corp.push_manifest("team/multi", "1", &index);
    lab.pull_three_times(|lab, directory| {
        let containerd = Containerd::start(lab, directory, form);
        let mut expected = BTreeSet::from([index.digest.clone()]);
        for (registry, tag, image, marker) in &images {
            let reference = format!("{registry}/{APP}:{tag}");
            containerd.pull(&reference);
            assert_eq!(containerd.target(&reference), image.manifest.digest, "{reference}");
            assert_eq!(containerd.run(&reference).trim_end(), *marker);
            expected.extend(contents_of(image).iter().map(|blob| blob.digest.clone()));
        }
        let multi = format!("{CORP}/team/multi:1");
        containerd.pull_all_platforms(&multi);
        assert_eq!(containerd.target(&multi), index.digest);
        for image in &platforms {
            expected.extend(contents_of(image).iter().map(|blob| blob.digest.clone()));
        }
        assert_eq!(containerd.content(), expected, "what the content store holds");
    });
}

#[test]
fn docker_pulls_through_its_registry_mirror() {
    if !available(&["/usr/bin/docker", "dockerd", "containerd", "runc", "busybox"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Docker);
    lab.pull_three_times(|lab, directory| {
        let docker = Docker::start(lab, directory);
        check_docker(&docker, "app", "1", &hub, "1 of the hub");
        check_docker(&docker, &format!("{}/{APP}", lab.vhost(CORP)), "1", &corp, "1 of the company");
    });
}

#[test]
fn docker_gets_the_new_image_when_a_tag_moves() {
    if !available(&["/usr/bin/docker", "dockerd", "containerd", "runc", "busybox"]) {
        return;
    }
    let lab = Lab::start();
    let directory = lab.fresh_directory("moving");
    let docker = Docker::start(&lab, &directory);
    for marker in ["old", "new"] {
        let image = runnable(Form::Docker, marker);
        lab.hub.push(APP, "latest", &image);
        docker.pull("app");
        assert_eq!(docker.config("app"), image.config().digest);
        assert_eq!(docker.run("app").trim_end(), marker);
    }
}

fn check_docker(docker: &Docker<'_>, repository: &str, tag: &str, image: &Image, marker: &str) {
    let reference = format!("{repository}:{tag}");
    docker.pull(&reference);
    assert_eq!(docker.config(&reference), image.config().digest, "{reference}");
    assert_eq!(docker.repository_digest(&reference), format!("{repository}@{}", image.manifest.digest));
    assert_eq!(docker.run(&reference).trim_end(), marker);
}

#[test]
fn buildkit_builds_from_an_image_behind_the_mirror() {
    if !available(&["/usr/bin/docker", "dockerd", "containerd", "runc", "busybox"]) {
        return;
    }
    let mut lab = Lab::start();
    push_both(&mut lab, "1", Form::Oci);
    lab.pull_three_times(build_from_both);
}

fn build_from_both(lab: &Lab, directory: &Path) {
    let docker = Docker::start(lab, directory);
    let company = format!("{}/{APP}:1", lab.vhost(CORP));
    let dockerfile = format!(
        "FROM {company} AS company\nFROM app:1\nCOPY --from=company /etc/marker /etc/other\n\
         RUN cat /etc/marker /etc/other > /etc/both\nCMD [\"/bin/cat\", \"/etc/both\"]\n",
    );
    docker.build("built", &dockerfile);
    assert_eq!(docker.run("built"), "1 of the hub\n1 of the company\n");
}
