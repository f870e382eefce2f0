//! Images on their way between stores: registry:2's directory, `wharf import`, `wharf export`, skopeo, and
//! back.

use std::fs;
use std::path::Path;

use crate::containerd::{Containerd, HostsForm};
use crate::docker::Docker;
use crate::image::{Form, Image, for_two_platforms, runnable};
use crate::lab::{HUB, Lab, Upstream};
use crate::podman::Podman;
use crate::process::{Surroundings, available};
use crate::pulls::APP;
use crate::registry::{Access, Registry};
use crate::skopeo::{assert_layout_holds, contents_of, write_registries};

const NAME: &str = "docker.io/team/app:1";

/// A directory with a configuration whose stores are in it.
fn place(above: &Path, name: &str) -> std::path::PathBuf {
    let directory = above.join(name);
    fs::create_dir_all(&directory).expect("the directory is created");
    let text = "[server]\nlisten = \"127.0.0.1:0\"\n[[registry]]\nname = \"docker.io\"\noffline = true\n";
    fs::write(directory.join("wharf.toml"), text).expect("the configuration is written");
    directory
}

fn wharf(surroundings: &Surroundings, directory: &Path, arguments: &[&str]) -> String {
    let mut command = surroundings.command(env!("CARGO_BIN_EXE_wharf"));
    let written = surroundings.run(command.current_dir(directory).args(arguments));
    String::from_utf8(written).expect("text")
}

#[test]
fn an_image_of_a_registry_directory_goes_through_exports_and_skopeo_and_back() {
    if !available(&["docker-registry", "skopeo"]) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let surroundings = Surroundings::new(directory, &[]);
    write_registries(directory, &[]);
    let skopeo = |arguments: &[&str]| {
        let mut command = surroundings.command("skopeo");
        let policy = directory.join("policy.json").display().to_string();
        command.args(["--policy", &policy, "--tmpdir"]).arg(directory).args(arguments);
        surroundings.run(&mut command);
    };
    let image: Image = runnable(Form::Oci, "carried");
    let mut old = Registry::start(&surroundings, directory.join("old"), Access::Anonymous);
    old.push("team/app", "1", &image);
    old.stop();

    // registry:2 -> wharf -> oci-archive -> another registry
    let first = place(directory, "first");
    let storage = directory.join("old/storage").display().to_string();
    let report = wharf(&surroundings, &first, &["import", &storage, "--registry", "docker.io"]);
    assert!(report.contains("images   1\n"), "{report}");
    wharf(&surroundings, &first, &["export", NAME, "-o", "app.tar"]);
    let archive = format!("oci-archive:{}:{NAME}", first.join("app.tar").display());
    let new = Registry::start(&surroundings, directory.join("new"), Access::Anonymous);
    let copied = format!("docker://{}/team/copied:1", new.address);
    skopeo(&["copy", "--preserve-digests", "--dest-tls-verify=false", &archive, &copied]);
    assert_eq!(new.manifest("team/copied", "1"), image.manifest.bytes());
    let layout = directory.join("layout");
    skopeo(&["copy", "--preserve-digests", &archive, &format!("oci:{}:{NAME}", layout.display())]);
    assert_layout_holds(&layout, &contents_of(&image));

    // skopeo's archives -> wharf, where the manifest stays the same except for `docker save`.
    for (kind, is_same) in [("oci-archive", true), ("docker-archive", false)] {
        let there = place(directory, kind);
        let tar = there.join("image.tar");
        skopeo(&["copy", &archive, &format!("{kind}:{}:{NAME}", tar.display())]);
        let report = wharf(&surroundings, &there, &["import", "image.tar"]);
        assert!(report.contains("images   1\n"), "{kind}: {report}");
        wharf(&surroundings, &there, &["export", "--all", "-o", "again"]);
        let again = fs::read_to_string(there.join("again/index.json")).expect("an index");
        assert_eq!(again.contains(&image.manifest.digest), is_same, "{kind}: {again}");
        let read = format!("oci:{}:{NAME}", there.join("again").display());
        skopeo(&[
            "copy",
            "--dest-oci-accept-uncompressed-layers",
            &read,
            &format!("oci:{}-read:x", there.display()),
        ]);
    }
}

const CONTAINERD: [&str; 4] = ["containerd", "ctr", "runc", "busybox"];

#[test]
fn containerd_pulls_every_image_of_a_registry_directory_with_the_registries_gone() {
    if !available(&CONTAINERD) {
        return;
    }
    let mut lab = Lab::start();
    let forms = [("oci", Form::Oci), ("docker", Form::Docker)];
    let images = forms.map(|(tag, form)| (tag, runnable(form, tag)));
    let (index, platforms) = for_two_platforms("several platforms");
    let mut old = Registry::start(&lab.surroundings, lab.directory().join("old"), Access::Anonymous);
    for (tag, image) in &images {
        old.push(APP, tag, image);
    }
    for image in &platforms {
        old.push("team/multi", &image.manifest.digest, image);
    }
    old.push_manifest("team/multi", "1", &index);
    old.stop();
    lab.begin_anew_offline();
    let storage = lab.directory().join("old/storage");
    for round in ["first", "second"] {
        let report = lab.import(&storage, &["--registry", HUB]);
        assert_eq!((&report["images"], &report["incomplete"]), (&3.into(), &0.into()), "{report}");
        assert_eq!(report["blobs"] == 0, round == "second", "{report}");
    }
    let directory = lab.fresh_directory("containerd");
    let containerd = Containerd::start(&lab, &directory, HostsForm::DefaultWithNamespace);
    for (tag, image) in &images {
        let reference = format!("{HUB}/{APP}:{tag}");
        containerd.pull(&reference);
        assert_eq!(containerd.target(&reference), image.manifest.digest, "{reference}");
        assert_eq!(containerd.run(&reference).trim_end(), *tag);
    }
    let multi = format!("{HUB}/team/multi:1");
    containerd.pull_all_platforms(&multi);
    assert_eq!(containerd.target(&multi), index.digest);
    let content = containerd.content();
    for blob in platforms.iter().flat_map(contents_of) {
        assert!(content.contains(&blob.digest), "{}", blob.digest);
    }
}

#[test]
fn a_wharf_that_lost_its_store_takes_the_images_of_a_node_back() {
    if !available(&CONTAINERD) {
        return;
    }
    let mut lab = Lab::start();
    let (index, platforms) = for_two_platforms("several platforms");
    for image in &platforms {
        lab.push(Upstream::Corp, "team/multi", &image.manifest.digest, image);
    }
    lab.corp.push_manifest("team/multi", "1", &index);
    let markers = ["one", "two", "three"];
    let images = markers.map(|marker| runnable(Form::Oci, marker));
    for (tag, image) in markers.iter().zip(&images) {
        lab.push(Upstream::Hub, APP, tag, image);
    }
    let (node, other) = (lab.fresh_directory("node"), lab.fresh_directory("other"));
    let pull_all = |containerd: &Containerd<'_>| {
        for (tag, image) in markers.iter().zip(&images) {
            let reference = format!("{HUB}/{APP}:{tag}");
            containerd.pull(&reference);
            assert_eq!(containerd.target(&reference), image.manifest.digest, "{reference}");
            assert_eq!(containerd.run(&reference).trim_end(), *tag);
        }
        containerd.pull_all_platforms("two.test/team/multi:1");
    };
    {
        let containerd = Containerd::start(&lab, &node, HostsForm::DefaultWithNamespace);
        pull_all(&containerd);
        // The daemon runs on and has its database open.
        let report = lab.import(&node.join("root"), &[]);
        assert_eq!((&report["images"], &report["blobs"]), (&4.into(), &0.into()), "{report}");
        containerd.remove(&format!("{HUB}/{APP}:three"));
        containerd.pull(&format!("{HUB}/{APP}:three"));
    }
    lab.begin_anew_offline();
    let report = lab.import(&node.join("root"), &[]);
    assert_eq!((&report["images"], &report["incomplete"]), (&4.into(), &0.into()), "{report}");
    assert_eq!((&report["tags"], &report["refusals"]), (&4.into(), &serde_json::json!([])), "{report}");
    pull_all(&Containerd::start(&lab, &other, HostsForm::DefaultWithNamespace));
}

#[test]
fn archives_of_podman_and_docker_are_imported_and_pulled_with_the_registries_gone() {
    if !available(&["podman", "runc", "/usr/bin/docker", "dockerd", "containerd", "busybox"]) {
        return;
    }
    let mut lab = Lab::start();
    let image = runnable(Form::Docker, "saved");
    lab.push(Upstream::Hub, APP, "1", &image);
    let reference = format!("{HUB}/{APP}:1");
    let archives = lab.fresh_directory("archives");
    let [podman, docker] = ["podman", "docker"].map(|name| lab.fresh_directory(name));
    {
        let podman = Podman::new(&lab, &podman);
        podman.pull(&reference);
        for form in ["docker-archive", "oci-archive"] {
            podman.save(form, &archives.join(form), &reference);
        }
        let docker = Docker::start(&lab, &docker);
        docker.pull("app:1");
        fs::write(archives.join("docker"), docker.save("app:1")).expect("the archive is written");
    }
    for archive in ["docker-archive", "oci-archive", "docker"] {
        lab.begin_anew_offline();
        let report = lab.import(&archives.join(archive), &[]);
        assert_eq!((&report["images"], &report["incomplete"]), (&1.into(), &0.into()), "{archive}: {report}");
        let directory = lab.fresh_directory("client");
        let client = Podman::new(&lab, &directory);
        client.pull(&reference);
        assert_eq!(client.run(&reference).trim_end(), "saved", "{archive}");
        // podman writes another configuration into an archive of OCI's form.
        let is_same = archive != "oci-archive";
        assert_eq!(client.digests(&reference).0 == image.config().digest, is_same, "{archive}");
    }
}
