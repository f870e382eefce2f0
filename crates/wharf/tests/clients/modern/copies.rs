//! crane, oras and regctl: they know no mirrors, so images are named through wharf.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::image::{Form, for_two_platforms};
use crate::lab::{CORP, HUB, Lab, Upstream};
use crate::process::Process;
use crate::pulls::{APP, push_both};
use crate::skopeo::{assert_layout_holds, contents_of};

use super::{built, names, run};

#[test]
fn crane_pulls_and_validates_by_host_and_by_path() {
    if !built(&["crane"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    let (index, platforms) = for_two_platforms("several platforms");
    for image in &platforms {
        lab.push(Upstream::Hub, "team/multi", &image.manifest.digest, image);
    }
    lab.hub.push_manifest("team/multi", "1", &index);
    lab.pull_three_times(|lab, directory| {
        let crane = |arguments: &[&str]| run(&lab.surroundings, "crane", arguments);
        for (registry, image) in [(HUB, &hub), (CORP, &corp)] {
            for (number, name) in names(lab, registry, APP).iter().enumerate() {
                let reference = format!("{name}:1");
                assert_eq!(crane(&["digest", "--insecure", &reference]), image.manifest.digest);
                assert_eq!(crane(&["manifest", "--insecure", &reference]).as_bytes(), image.manifest.bytes());
                crane(&["validate", "--insecure", "--remote", &reference]);
                let layout = directory.join(format!("{registry}-{number}"));
                let target = layout.display().to_string();
                crane(&["pull", "--insecure", "--format", "oci", &reference, &target]);
                assert_layout_holds(&layout, &contents_of(image));
            }
        }
        let multi = format!("{}/team/multi:1", lab.vhost(HUB));
        crane(&["validate", "--insecure", "--remote", &multi]);
    });
}

/// From wharf into another registry, which is crane's own.
#[test]
fn crane_copies_from_wharf_into_another_registry() {
    if !built(&["crane"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    lab.pull_three_times(|lab, directory| {
        let (_target, host) = serve_with_crane(lab, directory);
        for (registry, image) in [(HUB, &hub), (CORP, &corp)] {
            let [from, _] = names(lab, registry, APP);
            let to = format!("{host}/copied/{registry}:1");
            run(&lab.surroundings, "crane", &["copy", "--insecure", &format!("{from}:1"), &to]);
            run(&lab.surroundings, "crane", &["validate", "--insecure", "--remote", &to]);
            let digest = run(&lab.surroundings, "crane", &["digest", "--insecure", &to]);
            assert_eq!(digest, image.manifest.digest);
        }
    });
}

/// A registry in memory, and where it listens.
fn serve_with_crane(lab: &Lab, directory: &Path) -> (Process, String) {
    let mut command = lab.surroundings.command("crane");
    command.args(["registry", "serve", "--address", "127.0.0.1:0"]);
    let mut process = Process::start(&mut command, directory.join("crane.log"));
    let port = process.wait_ready(|process| {
        let log = process.log();
        let port = log.lines().find_map(|line| line.split_once("serving on port "))?.1;
        port.trim().parse::<u16>().ok()
    });
    (process, format!("127.0.0.1:{port}"))
}

#[test]
fn oras_copies_images_and_pulls_artifacts() {
    if !built(&["oras"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::OciZstd);
    let content = b"an artifact is any file\n";
    fs::write(lab.directory().join("file.txt"), content).expect("written");
    let upstream = format!("{}/team/artifact:1", lab.hub.address);
    let mut push = lab.surroundings.command("oras");
    push.current_dir(lab.directory()).args([
        "push",
        "--plain-http",
        "--artifact-type",
        "application/vnd.test",
    ]);
    lab.surroundings.run(push.args([&upstream, "file.txt:text/plain"]));
    lab.expect_blobs_of(Upstream::Hub, "team/artifact", "1");
    lab.pull_three_times(|lab, directory| {
        for (registry, image) in [(HUB, &hub), (CORP, &corp)] {
            for (number, name) in names(lab, registry, APP).iter().enumerate() {
                let layout = directory.join(format!("{registry}-{number}"));
                let target = format!("{}:1", layout.display());
                let from = format!("{name}:1");
                let arguments = ["copy", "--from-plain-http", "--to-oci-layout", &from, &target];
                run(&lab.surroundings, "oras", &arguments);
                assert_layout_holds(&layout, &contents_of(image));
            }
        }
        for (number, name) in names(lab, HUB, "team/artifact").iter().enumerate() {
            let output = directory.join(format!("artifact-{number}"));
            let target = output.display().to_string();
            run(
                &lab.surroundings,
                "oras",
                &["pull", "--plain-http", "--output", &target, &format!("{name}:1")],
            );
            assert_eq!(fs::read(output.join("file.txt")).expect("the file is there"), content);
        }
    });
}

#[test]
fn regctl_copies_images_by_name_and_through_its_mirror() {
    if !built(&["regctl"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    // As in docs/how-to/clients.md.
    run(&lab.surroundings, "regctl", &["registry", "set", &lab.vhost(HUB), "--tls", "disabled"]);
    run(&lab.surroundings, "regctl", &["registry", "set", &lab.vhost(CORP), "--tls", "disabled"]);
    run(&lab.surroundings, "regctl", &["registry", "set", HUB, "--mirror", &lab.vhost(HUB), "--skip-check"]);
    lab.pull_three_times(|lab, directory| {
        let mirrored = format!("{HUB}/{APP}:1");
        let by_name = [HUB, CORP].map(|registry| format!("{}/{APP}:1", lab.vhost(registry)));
        for (number, (reference, image)) in
            [(&mirrored, &hub), (&by_name[0], &hub), (&by_name[1], &corp)].into_iter().enumerate()
        {
            assert_eq!(
                run(&lab.surroundings, "regctl", &["image", "digest", reference]),
                image.manifest.digest
            );
            let layout = directory.join(number.to_string());
            let target = format!("ocidir://{}:1", layout.display());
            run(&lab.surroundings, "regctl", &["image", "copy", reference, &target]);
            assert_layout_holds(&layout, &contents_of(image));
        }
    });
}

/// A push fails with a clear message.
#[test]
fn a_push_with_crane_fails_because_wharf_is_pull_only() {
    if !built(&["crane"]) {
        return;
    }
    let mut lab = Lab::start();
    push_both(&mut lab, "1", Form::Oci);
    let reference = format!("{}/{APP}", lab.vhost(HUB));
    let mut command = lab.surroundings.command("crane");
    command.args(["copy", "--insecure", &format!("{reference}:1"), &format!("{reference}:2")]);
    let ran = lab.surroundings.try_run(&mut command, Duration::from_secs(60));
    assert!(!ran.status.expect("it ends").success());
    assert!(ran.stderr.contains("pull-only"), "{}", ran.stderr);
}
