//! containerd: a separate daemon for each store, with wharf in each form of hosts.toml.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::lab::{CORP, HUB, Lab};
use crate::process::{Process, Ran, Surroundings};

const CAPABILITIES: &str = "capabilities = [\"pull\", \"resolve\"]\n";

/// The form of hosts.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostsForm {
    /// One `_default/hosts.toml`; the request has `?ns=`.
    DefaultWithNamespace,
    /// One file for each registry, naming its host.
    HostPerRegistry,
    /// One file for each registry, naming a path on the bare domain.
    PathPerRegistry,
}

/// A running containerd.
pub(crate) struct Containerd<'a> {
    process: Process,
    surroundings: &'a Surroundings,
    pub(crate) socket: PathBuf,
    hosts: PathBuf,
}

impl<'a> Containerd<'a> {
    pub(crate) fn start(lab: &'a Lab, directory: &Path, form: HostsForm) -> Self {
        write_hosts(lab, &directory.join("certs.d"), form);
        Self::start_with(&lab.surroundings, directory)
    }

    /// Without any hosts.toml yet.
    pub(crate) fn start_with(surroundings: &'a Surroundings, directory: &Path) -> Self {
        let text = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{0}/sock\"\n[ttrpc]\naddress = \"{0}/sock.ttrpc\"\n",
            directory.display(),
        );
        Self::start_by(surroundings, directory, "containerd", &text)
    }

    /// `program`, a containerd 2 with its Kubernetes interface, which reads the files about wharf itself;
    /// with further lines in its settings.
    pub(crate) fn start_with_cri(
        lab: &'a Lab,
        directory: &Path,
        program: &str,
        form: HostsForm,
        settings: &str,
    ) -> Self {
        let hosts = directory.join("certs.d");
        write_hosts(lab, &hosts, form);
        // A confined machine does not allow a lower OOM score for pods.
        let text = format!(
            "version = 3\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n\
             [grpc]\naddress = \"{0}/sock\"\n[ttrpc]\naddress = \"{0}/sock.ttrpc\"\n\
             [plugins.\"io.containerd.cri.v1.runtime\"]\nrestrict_oom_score_adj = true\n\
             [plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \"{1}\"\n{settings}",
            directory.display(),
            hosts.display(),
        );
        Self::start_by(&lab.surroundings, directory, program, &text)
    }

    fn start_by(surroundings: &'a Surroundings, directory: &Path, program: &str, text: &str) -> Self {
        let settings = directory.join("containerd.toml");
        fs::write(&settings, text).expect("the settings are written");
        let mut command = surroundings.command(program);
        let process =
            Process::start(command.arg("--config").arg(&settings), directory.join("containerd.log"));
        let (socket, hosts) = (directory.join("sock"), directory.join("certs.d"));
        let mut containerd = Self { process, surroundings, socket, hosts };
        containerd.wait_ready();
        containerd
    }

    /// Looks for `registry` at wharf first and then at `server`.
    pub(crate) fn add_registry(&self, registry: &str, wharf: &str, server: &str) {
        let directory = self.hosts.join(registry);
        fs::create_dir_all(&directory).expect("the directory is created");
        let text = format!("server = \"{server}\"\n[host.\"http://{wharf}\"]\n{CAPABILITIES}");
        fs::write(directory.join("hosts.toml"), text).expect("hosts.toml is written");
    }

    /// Pulls for the platform of this machine and unpacks.
    pub(crate) fn pull(&self, reference: &str) {
        self.images("pull").arg("--hosts-dir").arg(&self.hosts).arg(reference).run(self.surroundings);
    }

    pub(crate) fn try_pull(&self, reference: &str, within: Duration) -> Ran {
        let mut command = self.ctr();
        command.args(["images", "pull", "--hosts-dir"]).arg(&self.hosts).arg(reference);
        self.surroundings.try_run(&mut command, within)
    }

    /// Pulls over plain HTTP with this login, past every hosts.toml.
    pub(crate) fn try_pull_as(&self, login: &str, reference: &str, within: Duration) -> Ran {
        let mut command = self.ctr();
        command.args(["images", "pull", "--plain-http", "--user", login, reference]);
        self.surroundings.try_run(&mut command, within)
    }

    /// Looks for `registry` at wharf with this `Authorization`.
    pub(crate) fn add_header(&self, registry: &str, wharf: &str, authorization: &str) {
        let directory = self.hosts.join(registry);
        fs::create_dir_all(&directory).expect("the directory is created");
        let text = format!(
            "server = \"http://{wharf}\"\n[host.\"http://{wharf}\"]\n{CAPABILITIES}\
             [host.\"http://{wharf}\".header]\nAuthorization = \"{authorization}\"\n"
        );
        fs::write(directory.join("hosts.toml"), text).expect("hosts.toml is written");
    }

    /// The content of a file in the image, mounted at `at`.
    pub(crate) fn file(&self, reference: &str, path: &str, at: &Path) -> Vec<u8> {
        let mut command = self.surroundings.command("sh");
        let script = "mkdir -p \"$3\"; ctr --address \"$0\" images mount \"$1\" \"$3\" >&2; cat \"$3$2\"; \
                      ctr --address \"$0\" images unmount --rm \"$3\" >&2";
        command.args(["-ceu", script]).arg(&self.socket).args([reference, path]).arg(at);
        self.surroundings.run(&mut command)
    }

    /// Removes the image from the store, with all content that no other image uses.
    pub(crate) fn remove(&self, reference: &str) {
        self.surroundings.run(self.ctr().args(["images", "rm", "--sync", reference]));
    }

    /// Pulls the content for every platform.
    pub(crate) fn pull_all_platforms(&self, reference: &str) {
        let mut pull = self.images("pull");
        pull.arg("--all-platforms").arg("--hosts-dir").arg(&self.hosts).arg(reference).run(self.surroundings);
    }

    /// The output of the image's command.
    pub(crate) fn run(&self, reference: &str) -> String {
        let mut command = self.ctr();
        command.args(["run", "--rm", reference, "container"]);
        String::from_utf8(self.surroundings.run(&mut command)).expect("a marker is text")
    }

    /// The digest that `reference` has in the store.
    pub(crate) fn target(&self, reference: &str) -> String {
        let mut command = self.ctr();
        command.args(["images", "list", &format!("name=={reference}")]);
        let table = String::from_utf8(self.surroundings.run(&mut command)).expect("a table is text");
        let digest = table.split_whitespace().find(|word| word.starts_with("sha256:"));
        digest.unwrap_or_else(|| panic!("{reference} is not in the store:\n{table}")).to_owned()
    }

    /// The digests of everything in the content store. containerd has verified each.
    pub(crate) fn content(&self) -> BTreeSet<String> {
        let mut command = self.ctr();
        command.args(["content", "list", "--quiet"]);
        let list = String::from_utf8(self.surroundings.run(&mut command)).expect("digests are text");
        list.lines().map(str::to_owned).collect()
    }

    fn wait_ready(&mut self) {
        // The socket exists before its services are ready, so this asks one of them.
        let (surroundings, socket) = (self.surroundings, self.socket.clone());
        self.process.wait_ready(|_| {
            socket.exists().then_some(())?;
            let mut command = surroundings.command("ctr");
            command.args(["--connect-timeout", "1s", "--address"]).arg(&socket).arg("version");
            let output = command.output().expect("ctr starts");
            output.status.success().then_some(())
        });
    }

    fn images(&self, verb: &str) -> Verb {
        let mut command = self.ctr();
        command.args(["images", verb]);
        Verb(command)
    }

    fn ctr(&self) -> Command {
        let mut command = self.surroundings.command("ctr");
        command.arg("--address").arg(&self.socket);
        command
    }
}

struct Verb(Command);

impl Verb {
    fn arg(&mut self, argument: impl AsRef<std::ffi::OsStr>) -> &mut Self {
        self.0.arg(argument);
        self
    }

    fn run(&mut self, surroundings: &Surroundings) {
        surroundings.run(&mut self.0);
    }
}

fn write_hosts(lab: &Lab, directory: &Path, form: HostsForm) {
    let write = |registry: &str, host: String, rest: &str| {
        let directory = directory.join(registry);
        fs::create_dir_all(&directory).expect("the directory is created");
        let text = format!("[host.\"http://{host}\"]\n{CAPABILITIES}{rest}");
        fs::write(directory.join("hosts.toml"), text).expect("hosts.toml is written");
    };
    match form {
        HostsForm::DefaultWithNamespace => write("_default", lab.bare_host(), ""),
        HostsForm::HostPerRegistry => {
            for registry in [HUB, CORP] {
                write(registry, lab.vhost(registry), "");
            }
        }
        HostsForm::PathPerRegistry => {
            write(HUB, format!("{}/{HUB}", lab.bare_host()), "");
            write(CORP, format!("{}/v2/{CORP}", lab.bare_host()), "override_path = true\n");
        }
    }
}
