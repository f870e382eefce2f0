//! podman: pulls through the mirrors of registries.conf into its own store, and runs the image.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::lab::Lab;
use crate::process::{Ran, Surroundings};
use crate::skopeo::write_settings;

/// podman with a store below `directory`.
pub(crate) struct Podman<'a> {
    surroundings: &'a Surroundings,
    directory: &'a Path,
}

impl<'a> Podman<'a> {
    pub(crate) fn new(lab: &'a Lab, directory: &'a Path) -> Self {
        write_settings(lab, directory);
        Self::with_settings(&lab.surroundings, directory)
    }

    /// With the settings in `directory`, which may be written later.
    pub(crate) fn with_settings(surroundings: &'a Surroundings, directory: &'a Path) -> Self {
        Self { surroundings, directory }
    }

    pub(crate) fn pull(&self, reference: &str) {
        self.surroundings.run(&mut self.pulling(reference));
    }

    pub(crate) fn try_pull(&self, reference: &str, within: Duration) -> Ran {
        self.surroundings.try_run(&mut self.pulling(reference), within)
    }

    /// Runs this command of podman, which may fail.
    pub(crate) fn try_run(&self, arguments: &[&str], within: Duration) -> Ran {
        self.surroundings.try_run(self.command().args(arguments), within)
    }

    /// The content of a file in the mounted image.
    pub(crate) fn file(&self, reference: &str, path: &str) -> Vec<u8> {
        let mut command = self.surroundings.command("sh");
        let script = "image=\"$0\"; path=\"$1\"; shift; cat \"$(\"$@\" image mount \"$image\")$path\"; \
                      \"$@\" image unmount \"$image\" >&2";
        command.args(["-ceu", script, reference, path]);
        self.surroundings.run(self.complete(command.arg("podman")))
    }

    /// Writes the image as an archive of this form, such as `docker-archive`.
    pub(crate) fn save(&self, form: &str, archive: &Path, reference: &str) {
        let mut command = self.command();
        command.args(["save", "--quiet", "--format", form, "--output"]).arg(archive).arg(reference);
        self.surroundings.run(&mut command);
    }

    /// Removes the image with its layers from the store.
    pub(crate) fn remove(&self, reference: &str) {
        self.surroundings.run(self.command().args(["rmi", "--force", reference]));
    }

    /// The output of the image's command.
    pub(crate) fn run(&self, reference: &str) -> String {
        let mut command = self.command();
        // podman raises limits on files and processes, which a confined machine refuses.
        command.args(["run", "--rm", "--pull", "never", "--network", "none"]);
        command.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", reference]);
        String::from_utf8(self.surroundings.run(&mut command)).expect("a marker is text")
    }

    /// The digests of the config and of the manifest that `reference` names in the store.
    pub(crate) fn digests(&self, reference: &str) -> (String, String) {
        let mut command = self.command();
        command.args(["image", "inspect", "--format", "sha256:{{.Id}} {{.Digest}}", reference]);
        let line = String::from_utf8(self.surroundings.run(&mut command)).expect("digests are text");
        let (config, manifest) = line.trim_end().split_once(' ').expect("two digests");
        (config.to_owned(), manifest.to_owned())
    }

    fn pulling(&self, reference: &str) -> Command {
        let mut command = self.command();
        command.arg("pull").arg("--signature-policy").arg(self.directory.join("policy.json")).arg(reference);
        command
    }

    fn command(&self) -> Command {
        let mut command = self.surroundings.command("podman");
        self.complete(&mut command);
        command
    }

    /// Adds podman's own directories to `command`, which ends in `podman`.
    fn complete<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("CONTAINERS_REGISTRIES_CONF", self.directory.join("registries.conf"));
        for (option, name) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.directory.join(name));
        }
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "runc"])
    }
}
