//! Docker: a separate daemon for each store, with wharf as the mirror of Docker Hub and as a registry under
//! its own name.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::{CORP, HUB, Lab};
use crate::process::{Process, Ran, Surroundings, modern_directory, wait_until};

/// A running dockerd with the classic image store.
pub(crate) struct Docker<'a> {
    process: Process,
    surroundings: &'a Surroundings,
    socket: PathBuf,
    directory: PathBuf,
}

impl<'a> Docker<'a> {
    pub(crate) fn start(lab: &'a Lab, directory: &Path) -> Self {
        // Old BuildKit loses the http scheme of the mirror, unless it is listed here with the scheme.
        let plain = [HUB, CORP].map(|registry| format!("http://{}", lab.vhost(registry)));
        let mirrors = [format!("http://{}", lab.vhost(HUB))];
        let settings = json!({ "registry-mirrors": mirrors, "insecure-registries": plain });
        Self::start_with(&lab.surroundings, directory, settings)
    }

    /// With these keys in its daemon.json, besides those that isolate it.
    pub(crate) fn start_with(surroundings: &'a Surroundings, directory: &Path, settings: Value) -> Self {
        let command = surroundings.command("dockerd");
        Self::start_by(surroundings, directory, command, settings)
    }

    /// With this directory in place of `/etc/docker`, which has the files about registries.
    pub(crate) fn start_with_etc(
        surroundings: &'a Surroundings,
        directory: &Path,
        etc: &Path,
        settings: Value,
    ) -> Self {
        let script = "mkdir -p /etc/docker; mount --bind \"$0\" /etc/docker; exec \"$@\"";
        let mut command = surroundings.command("sh");
        command.args(["-ceu", script]).arg(etc).arg("dockerd");
        Self::start_by(surroundings, directory, command, settings)
    }

    fn start_by(
        surroundings: &'a Surroundings,
        directory: &Path,
        mut command: Command,
        settings: Value,
    ) -> Self {
        let socket = directory.join("sock");
        write_settings(directory, settings);
        command.arg("--config-file").arg(directory.join("daemon.json"));
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        let process = Process::start(&mut command, directory.join("dockerd.log"));
        let mut docker = Self { process, surroundings, socket, directory: directory.to_owned() };
        docker.wait_ready();
        docker
    }

    /// Uses only this mirror of Docker Hub from now on.
    pub(crate) fn change_mirror(&self, settings: Value) {
        let mirror = settings["registry-mirrors"][0].as_str().expect("a mirror is named").to_owned();
        write_settings(&self.directory, settings);
        self.process.reload();
        wait_until("dockerd has read its settings again", Duration::from_secs(30), || {
            self.mirrors().contains(&mirror).then_some(())
        });
    }

    /// The mirrors of Docker Hub, as JSON. Once dockerd has answered this, it accepts a reload.
    pub(crate) fn mirrors(&self) -> String {
        let mut command = self.command();
        command.args(["info", "--format", "{{json .RegistryConfig.Mirrors}}"]);
        String::from_utf8(self.surroundings.run(&mut command)).expect("JSON is text")
    }

    pub(crate) fn try_pull(&self, reference: &str, within: Duration) -> Ran {
        self.surroundings.try_run(self.command().args(["pull", "--quiet", reference]), within)
    }

    /// Runs this command of docker, which may fail.
    pub(crate) fn try_run(&self, arguments: &[&str], within: Duration) -> Ran {
        self.surroundings.try_run(self.command().args(arguments), within)
    }

    /// The image as a tar archive, with uncompressed layers.
    pub(crate) fn save(&self, reference: &str) -> Vec<u8> {
        self.surroundings.run(self.command().args(["image", "save", reference]))
    }

    /// Removes the image with its layers from the store.
    pub(crate) fn remove(&self, reference: &str) {
        self.surroundings.run(self.command().args(["image", "rm", "--force", reference]));
    }

    pub(crate) fn pull(&self, reference: &str) {
        self.surroundings.run(self.command().args(["pull", "--quiet", reference]));
    }

    /// The output of the image's command.
    pub(crate) fn run(&self, reference: &str) -> String {
        let mut command = self.command();
        command.args(["run", "--rm", "--network", "none", reference]);
        String::from_utf8(self.surroundings.run(&mut command)).expect("a marker is text")
    }

    /// The digest of the config of `reference`, which is the image's name in the classic store.
    pub(crate) fn config(&self, reference: &str) -> String {
        self.id(reference)
    }

    /// The image's digest in the store.
    pub(crate) fn id(&self, reference: &str) -> String {
        self.inspect(reference, "{{.Id}}")
    }

    /// The repository and manifest digest of the pull of `reference`.
    pub(crate) fn repository_digest(&self, reference: &str) -> String {
        self.inspect(reference, "{{index .RepoDigests 0}}")
    }

    /// Builds `tag` with BuildKit from a Dockerfile.
    pub(crate) fn build(&self, tag: &str, dockerfile: &str) {
        let context = self.directory.join(format!("context-{tag}"));
        fs::create_dir(&context).expect("the context is created");
        fs::write(context.join("Dockerfile"), dockerfile).expect("the Dockerfile is written");
        let mut command = self.command();
        command.env("DOCKER_BUILDKIT", "1").args(["build", "--progress", "plain", "--network", "none"]);
        self.surroundings.run(command.args(["--no-cache", "--tag", tag]).arg(&context));
    }

    fn inspect(&self, reference: &str, format: &str) -> String {
        let mut command = self.command();
        command.args(["image", "inspect", "--format", format, reference]);
        let line = String::from_utf8(self.surroundings.run(&mut command)).expect("a digest is text");
        line.trim_end().to_owned()
    }

    fn wait_ready(&mut self) {
        // It listens before it answers, and requests wait meanwhile: a connection is enough.
        let socket = self.socket.clone();
        self.process.wait_ready(|_| UnixStream::connect(&socket).ok());
    }

    fn command(&self) -> Command {
        // Debian's program, not another one on a PATH; or the one for a modern daemon.
        let modern = modern_directory().map(|directory| directory.join("docker"));
        let program = modern.filter(|path| path.exists()).unwrap_or_else(|| "/usr/bin/docker".into());
        let mut command = self.surroundings.command(program);
        command.arg("--host").arg(format!("unix://{}", self.socket.display()));
        command
    }
}

fn write_settings(directory: &Path, mut settings: Value) {
    settings["data-root"] = json!(directory.join("data"));
    settings["exec-root"] = json!(directory.join("exec"));
    settings["pidfile"] = json!(directory.join("pid"));
    settings["bridge"] = json!("none");
    settings["iptables"] = json!(false);
    settings["ip6tables"] = json!(false);
    fs::write(directory.join("daemon.json"), settings.to_string()).expect("the settings are written");
}
