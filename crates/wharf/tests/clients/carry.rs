//! Images on their way between stores: registry:2's directory, `wharf import`, `wharf export`, skopeo, and
//! back.

use std::fs;
use std::path::Path;

use crate::image::{Form, Image, runnable};
use crate::process::{Surroundings, available};
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
    assert!(report.contains("images   1 (0 incomplete"), "{report}");
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
        assert!(report.contains("images   1 (0 incomplete"), "{kind}: {report}");
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
