//! Clients use the files that `wharf client --apply` writes. A client that does not use them finds no
//! registry: the real names lead nowhere here.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::image::Form;
use crate::lab::{CORP, HUB, Lab, wharf_program};
use crate::podman::Podman;
use crate::process::available;
use crate::pulls::{APP, push_both};
use crate::skopeo::write_registries;

/// Writes the settings of `tool` below `root`, twice. Returns the second report.
fn apply(lab: &Lab, tool: &str, root: &Path) -> String {
    let run = || {
        let mut command = lab.surroundings.command(wharf_program());
        command.args(["client", tool, "--apply", "--root"]).arg(root);
        lab.surroundings.run(command.arg("--config").arg(lab.directory().join("wharf.toml")))
    };
    run();
    String::from_utf8(run()).expect("a report is text")
}

#[test]
fn podman_pulls_with_the_file_that_was_written_for_it() {
    if !available(&["podman", "runc", "busybox"]) {
        return;
    }
    let mut lab = Lab::start();
    push_both(&mut lab, "1", Form::Oci);
    let directory = lab.fresh_directory("podman");
    write_registries(&directory, &[]);
    let report = apply(&lab, "podman", &directory);
    assert!(report.contains("nothing changed"), "{report}");
    let written = directory.join("etc/containers/registries.conf.d/50-wharf.conf");
    fs::rename(written, directory.join("registries.conf")).expect("podman reads it here");
    let podman = Podman::with_settings(&lab.surroundings, &directory);
    for (registry, owner) in [(HUB, "hub"), (CORP, "company")] {
        let reference = format!("{registry}/{APP}:1");
        podman.pull(&reference);
        assert_eq!(podman.run(&reference).trim_end(), format!("1 of the {owner}"));
    }
}

#[test]
fn containerd_pulls_with_the_files_that_were_written_for_it() {
    if !available(&["containerd", "ctr", "runc", "busybox"]) {
        return;
    }
    let mut lab = Lab::start();
    push_both(&mut lab, "1", Form::Oci);
    let directory = lab.fresh_directory("containerd");
    let report = apply(&lab, "containerd-1", &directory);
    assert!(report.contains("nothing changed"), "{report}");
    fs::rename(directory.join("etc/containerd/certs.d"), directory.join("certs.d"))
        .expect("ctr reads it here");
    let containerd = Containerd::start_with(&lab.surroundings, &directory);
    for (registry, owner) in [(HUB, "hub"), (CORP, "company")] {
        let reference = format!("{registry}/{APP}:1");
        containerd.pull(&reference);
        assert_eq!(containerd.run(&reference).trim_end(), format!("1 of the {owner}"));
    }
}

#[test]
fn docker_pulls_and_builds_with_the_file_that_was_written_for_it() {
    if !available(&["/usr/bin/docker", "dockerd", "containerd", "runc", "busybox"]) {
        return;
    }
    let mut lab = Lab::start();
    push_both(&mut lab, "1", Form::Docker);
    let directory = lab.fresh_directory("docker");
    let report = apply(&lab, "docker-classic", &directory);
    assert!(report.contains("nothing changed"), "{report}");
    let written = fs::read(directory.join("etc/docker/daemon.json")).expect("it is written");
    let settings: Value = serde_json::from_slice(&written).expect("it is JSON");
    let docker = Docker::start_with(&lab.surroundings, &directory, settings);
    for (reference, owner) in
        [(format!("{APP}:1"), "hub"), (format!("{}/{APP}:1", lab.vhost(CORP)), "company")]
    {
        docker.pull(&reference);
        assert_eq!(docker.run(&reference).trim_end(), format!("1 of the {owner}"));
        docker.remove(&reference);
        docker.build(&format!("built-{owner}"), &format!("FROM {reference}\nRUN cat /etc/marker\n"));
    }
}
