//! Crashes, silence, cuts and crowds, with real clients.

use std::path::Path;
use std::time::Duration;

use crate::containerd::{Containerd, HostsForm};
use crate::docker::Docker;
use crate::image::{Form, runnable};
use crate::lab::{CORP, HUB, Lab, Upstream};
use crate::podman::Podman;
use crate::process::{available, wait_until};
use crate::pulls::{APP, push_both};
use crate::skopeo::{Skopeo, assert_layout_holds, contents_of};

#[test]
fn a_killed_and_restarted_wharf_serves_what_it_stored() {
    if !available(&["skopeo"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    let pull = |lab: &Lab, directory: &Path| {
        for (registry, image) in [(HUB, &hub), (CORP, &corp)] {
            let layout = Skopeo::new(lab, directory).copy(&format!("{registry}/{APP}:1"), registry);
            assert_layout_holds(&layout, &contents_of(image));
        }
    };
    pull(&lab, &lab.fresh_directory("before"));
    lab.crash_and_restart();
    pull(&lab, &lab.fresh_directory("after"));
    lab.assert_each_blob_left_upstream_once();
    lab.hub.stop();
    lab.corp.stop();
    lab.crash_and_restart();
    pull(&lab, &lab.fresh_directory("offline"));
}

#[test]
fn a_registry_that_hangs_holds_up_no_other() {
    if !available(&["skopeo"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    let directory = lab.fresh_directory("hanging");
    let skopeo = Skopeo::new(&lab, &directory);
    skopeo.copy(&format!("{CORP}/{APP}:1"), "before");
    lab.corp.hold();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| skopeo.copy(&format!("{CORP}/{APP}:1"), "stale"));
        let layout = skopeo.copy(&format!("{HUB}/{APP}:1"), "other");
        assert_layout_holds(&layout, &contents_of(&hub));
        assert!(!waiting.is_finished(), "the other registry answered while this one was silent");
        let layout = waiting.join().expect("what was stored is served when the registry stays silent");
        assert_layout_holds(&layout, &contents_of(&corp));
    });
}

#[test]
fn a_transfer_cut_by_a_crash_goes_on_where_it_stopped() {
    if !available(&["skopeo"]) {
        return;
    }
    let mut lab = Lab::start();
    let large = runnable(Form::Oci, "large").with_large_layer(lab.directory(), 256 << 20);
    lab.hub.push(APP, "large", &large);
    let directory = lab.fresh_directory("cut");
    let reference = format!("{HUB}/{APP}:large");
    let cut = Skopeo::new(&lab, &directory).start_copy(&reference, "cut");
    wait_until("a part of the layer has come", Duration::from_secs(30), || {
        (lab.count("wharf_fetched_bytes_total", "") > 32 << 20).then_some(())
    });
    lab.hub.hold();
    drop(cut);
    lab.crash_and_restart();
    lab.hub.release();
    let skopeo = Skopeo::new(&lab, &directory);
    let layout = skopeo.copy(&reference, "whole");
    assert_layout_holds(&layout, &contents_of(&large));
    let layer = large.blobs.last().expect("an image has layers");
    let ranges = lab.hub.ranges_sent(layer);
    assert!(!ranges.is_empty(), "the rest is asked for by range");
    let sent: u64 = ranges.iter().sum();
    assert!(sent < layer.size, "only the rest is asked for again, not {sent} of {} bytes", layer.size);
}

#[test]
fn containerd_falls_back_when_wharf_does_not_serve() {
    if !available(&["containerd", "ctr", "runc", "busybox"]) {
        return;
    }
    let mut lab = Lab::start();
    let (image, _) = push_both(&mut lab, "1", Form::Docker);
    let pull = |lab: &Lab, registry: &str| {
        let directory = lab.fresh_directory("fallback");
        let containerd = Containerd::start(lab, &directory, HostsForm::DefaultWithNamespace);
        containerd.add_registry(registry, &lab.bare_host(), &format!("http://{}", lab.hub.address));
        let reference = format!("{registry}/{APP}:1");
        containerd.pull(&reference);
        assert_eq!(containerd.target(&reference), image.manifest.digest);
    };
    // wharf has no registry of this name: it must neither guess nor delay the client.
    pull(&lab, "unknown.test");
    assert_ne!(lab.count("wharf_unrouted_requests_total", "unknown_registry"), 0, "wharf was asked first");
    lab.stop_wharf();
    pull(&lab, HUB);
}

#[test]
fn all_clients_at_once_share_each_transfer() {
    let programs = ["skopeo", "podman", "containerd", "ctr", "runc", "/usr/bin/docker", "dockerd", "busybox"];
    if !available(&programs) {
        return;
    }
    let mut lab = Lab::start();
    let image = runnable(Form::Docker, "shared");
    lab.push(Upstream::Hub, APP, "1", &image);
    let directories = ["docker", "containerd", "podman", "skopeo"].map(|name| lab.fresh_directory(name));
    let docker = Docker::start(&lab, &directories[0]);
    let containerd = Containerd::start(&lab, &directories[1], HostsForm::DefaultWithNamespace);
    let podman = Podman::new(&lab, &directories[2]);
    let skopeo = Skopeo::new(&lab, &directories[3]);
    let reference = format!("{HUB}/{APP}:1");
    std::thread::scope(|scope| {
        scope.spawn(|| docker.pull(&reference));
        scope.spawn(|| containerd.pull(&reference));
        scope.spawn(|| podman.pull(&reference));
        scope.spawn(|| skopeo.copy_with_signatures(&reference, "copy"));
    });
    for printed in [docker.run(&reference), containerd.run(&reference), podman.run(&reference)] {
        assert_eq!(printed.trim_end(), "shared");
    }
    lab.assert_each_blob_left_upstream_once();
}
