//! skopeo: copies by tag, by digest and with all platforms, compared byte for byte.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::image::{Blob, Image, digest};
use crate::lab::{CORP, HUB, Lab};
use crate::process::{Process, Ran, Surroundings};

/// skopeo with its own registries.conf, trust policy and lookaside settings.
pub(crate) struct Skopeo<'a> {
    surroundings: &'a Surroundings,
    directory: &'a Path,
}

impl<'a> Skopeo<'a> {
    pub(crate) fn new(lab: &'a Lab, directory: &'a Path) -> Self {
        write_settings(lab, directory);
        Self { surroundings: &lab.surroundings, directory }
    }

    /// Without any mirror.
    pub(crate) fn without_mirrors(surroundings: &'a Surroundings, directory: &'a Path) -> Self {
        write_registries(directory, &[]);
        Self { surroundings, directory }
    }

    /// Copies `source` over plain HTTP into the OCI layout `name`.
    pub(crate) fn try_copy(&self, source: &str, name: &str, within: Duration) -> Ran {
        let mut command = self.command("copy");
        command.args(["--preserve-digests", "--src-tls-verify=false"]).arg(format!("docker://{source}"));
        command.arg(format!("dir:{}", self.directory.join(name).display()));
        self.surroundings.try_run(&mut command, within)
    }

    /// Copies `source` with this login, and may fail.
    pub(crate) fn try_copy_as(&self, login: &str, source: &str, name: &str, within: Duration) -> Ran {
        let mut command = self.command("copy");
        command.args(["--src-creds", login, "--src-tls-verify=false"]).arg(format!("docker://{source}"));
        command.arg(format!("dir:{}", self.directory.join(name).display()));
        self.surroundings.try_run(&mut command, within)
    }

    /// Copies `source` with everything it names into an OCI layout and returns its directory.
    pub(crate) fn copy(&self, source: &str, name: &str) -> PathBuf {
        let layout = self.directory.join(name);
        let mut command = self.command("copy");
        command
            .args(["--all", "--preserve-digests", "--dest-oci-accept-uncompressed-layers"])
            .arg(format!("docker://{source}"))
            .arg(format!("oci:{}:copied", layout.display()));
        self.surroundings.run(&mut command);
        layout
    }

    /// Copies `source`, and may fail.
    pub(crate) fn start_copy(&self, source: &str, name: &str) -> Process {
        let mut command = self.command("copy");
        let layout = self.directory.join(name);
        command.args(["--preserve-digests", "--dest-oci-accept-uncompressed-layers"]);
        command.arg(format!("docker://{source}")).arg(format!("oci:{}:copied", layout.display()));
        Process::start(&mut command, self.directory.join(format!("{name}.log")))
    }

    /// Copies `source` into a plain directory, the only kind that keeps signatures, and returns those.
    pub(crate) fn copy_with_signatures(&self, source: &str, name: &str) -> Vec<PathBuf> {
        let copy = self.directory.join(name);
        let mut command = self.command("copy");
        command.arg(format!("docker://{source}")).arg(format!("dir:{}", copy.display()));
        self.surroundings.run(&mut command);
        let entries = fs::read_dir(&copy).expect("the copy is listed");
        let paths = entries.map(|entry| entry.expect("an entry is read").path());
        paths.filter(|path| path.to_string_lossy().contains("/signature-")).collect()
    }

    /// The manifest that `source` names, byte for byte.
    pub(crate) fn raw_manifest(&self, source: &str) -> Vec<u8> {
        self.surroundings.run(self.command("inspect").arg("--raw").arg(format!("docker://{source}")))
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = self.surroundings.command("skopeo");
        command
            .arg("--registries-conf")
            .arg(self.directory.join("registries.conf"))
            .arg("--registries.d")
            .arg(self.directory.join("registries.d"))
            .arg("--policy")
            .arg(self.directory.join("policy.json"))
            .arg("--tmpdir")
            .arg(self.directory)
            .arg(verb);
        command
    }
}

/// The Hub through its own host name, the other registry through a path.
pub(crate) fn write_settings(lab: &Lab, directory: &Path) {
    let mirrors = [(HUB, lab.vhost(HUB)), (CORP, format!("{}/{CORP}", lab.bare_host()))];
    write_registries(directory, &mirrors);
}

/// Writes `registries.conf` with a mirror for each registry, a policy that accepts, and the setting that
/// fetches cosign's signatures, into `directory`.
pub(crate) fn write_registries(directory: &Path, mirrors: &[(&str, String)]) {
    let mut text = String::new();
    for (registry, mirror) in mirrors {
        text.push_str(&format!(
            "[[registry]]\nprefix = \"{registry}\"\nlocation = \"{registry}\"\n\
             [[registry.mirror]]\nlocation = \"{mirror}\"\ninsecure = true\n",
        ));
    }
    fs::write(directory.join("registries.conf"), text).expect("registries.conf is written");
    let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
    fs::write(directory.join("policy.json"), policy).expect("the policy is written");
    fs::create_dir_all(directory.join("registries.d")).expect("registries.d is created");
    let attachments = "default-docker:\n  use-sigstore-attachments: true\n";
    fs::write(directory.join("registries.d/default.yaml"), attachments).expect("it is written");
}

/// The layout holds each of `contents`, unchanged.
pub(crate) fn assert_layout_holds(layout: &Path, contents: &[&Blob]) {
    for blob in contents {
        let path = layout.join("blobs/sha256").join(blob.hex());
        let mut file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(file.metadata().expect("it has a size").len(), blob.size, "size of {}", path.display());
        assert_eq!(digest(&mut file), blob.digest, "content of {}", path.display());
    }
}

/// The manifest of `image` and all that it names.
pub(crate) fn contents_of(image: &Image) -> Vec<&Blob> {
    std::iter::once(&image.manifest).chain(&image.blobs).collect()
}
