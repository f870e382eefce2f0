//! Docker: its own daemon for each store, with wharf as the mirror of Docker Hub and as a registry of
//! its own name.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{CORP, HUB, Lab};
use crate::process::{Process, Surroundings};

/// A running dockerd with the classic image store.
pub(crate) struct Docker<'a> {
    process: Process,
    surroundings: &'a Surroundings,
    socket: PathBuf,
    directory: PathBuf,
}

impl<'a> Docker<'a> {
    pub(crate) fn start(lab: &'a Lab, directory: &Path) -> Self {
        let settings = directory.join("daemon.json");
        // BuildKit of this age forgets that the mirror was given as http, unless it stands here with its scheme.
        let plain = [HUB, CORP].map(|registry| format!("http://{}", lab.vhost(registry)));
        let text = serde_json::json!({
            "registry-mirrors": [format!("http://{}", lab.vhost(HUB))],
            "insecure-registries": plain,
            "data-root": directory.join("data"),
            "exec-root": directory.join("exec"),
            "pidfile": directory.join("pid"),
            "bridge": "none",
            "iptables": false,
            "ip6tables": false,
        });
        fs::write(&settings, text.to_string()).expect("the settings are written");
        let socket = directory.join("sock");
        let surroundings = &lab.surroundings;
        let mut command = surroundings.command("dockerd");
        command.arg("--config-file").arg(&settings).arg("--host").arg(format!("unix://{}", socket.display()));
        let process = Process::start(&mut command, directory.join("dockerd.log"));
        let mut docker = Self { process, surroundings, socket, directory: directory.to_owned() };
        docker.wait_ready();
        docker
    }

    pub(crate) fn pull(&self, reference: &str) {
        self.surroundings.run(self.command().args(["pull", "--quiet", reference]));
    }

    /// What the command of the image prints.
    pub(crate) fn run(&self, reference: &str) -> String {
        let mut command = self.command();
        command.args(["run", "--rm", "--network", "none", reference]);
        String::from_utf8(self.surroundings.run(&mut command)).expect("a marker is text")
    }

    /// The digest of the config of `reference`, which is the image's name in the classic store.
    pub(crate) fn config(&self, reference: &str) -> String {
        self.inspect(reference, "{{.Id}}")
    }

    /// The repository and manifest digest that `reference` was pulled by.
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
        // It listens before it answers, and what it is asked meanwhile waits: a connection is enough.
        let socket = self.socket.clone();
        self.process.wait_ready(|_| UnixStream::connect(&socket).ok());
    }

    fn command(&self) -> Command {
        let mut command = self.surroundings.command("/usr/bin/docker");
        command.arg("--host").arg(format!("unix://{}", self.socket.display()));
        command
    }
}
