//! The files of `deploy/`, used as its README says: the static binary, the image around it, and
//! docker-compose with the shipped files, in a private network with the shipped port.

use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::image::{Form, Image, runnable};
use crate::lab::DOMAIN;
use crate::network;
use crate::process::{Process, Surroundings, available, wait_until};
use crate::pulls::APP;
use crate::registry::{Access, PASSWORD, Registry, USERNAME};

const HUB: &str = "docker.io";
/// The registry with credentials.
const GITHUB: &str = "ghcr.io";
/// The port of the shipped compose file.
const PORT: u16 = 5000;
/// Names of the fallback registries, where nothing listens in this network, and names of wharf.
const NAMES: [&str; 6] = [
    "docker.io.wharf.test",
    "ghcr.io.wharf.test",
    "registry-1.docker.io",
    "index.docker.io",
    "auth.docker.io",
    GITHUB,
];
/// The network of the containers, and this machine's address in it.
const SUBNET: &str = "10.77.0.0/24";
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const HUB_PORT: u16 = 7001;
const GITHUB_PORT: u16 = 7002;
/// The user of wharf in the image.
const USER: u32 = 65532;
const HEALTHY_WITHIN: Duration = Duration::from_secs(120);

#[test]
fn the_shipped_settings_are_right_with_the_example_values() {
    let directory = deploy("compose");
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    command.args(["check", "--config"]).arg(directory.join("wharf.toml")).env_clear();
    command.envs(example_values(&directory));
    let output = command.output().expect("wharf runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("docker.io.registry.example.com:5000"), "{text}");
    assert!(!text.contains("password"), "the example has no credentials: {text}");
}

#[test]
fn docker_compose_understands_the_shipped_file() {
    if !available(&["docker-compose"]) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory is created");
    let surroundings = Surroundings::new(directory.path(), &[]);
    let project = copy_compose(directory.path());
    fs::copy(project.join(".env.example"), project.join(".env")).expect("the example is copied");
    let mut command = surroundings.command("docker-compose");
    command.arg("--project-directory").arg(&project);
    command.arg("--file").arg(project.join("docker-compose.yml")).arg("config");
    let text = String::from_utf8(surroundings.run(&mut command)).expect("YAML is text");
    for line in ["published: 5000", "REGISTRY_DOMAIN: registry.example.com", "wharf-data:/data:rw"] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn compose_serves_two_registries_and_keeps_what_was_pulled() {
    let needed = ["dockerd", "docker", "docker-proxy", "docker-compose", "containerd", "runc"];
    if !available(&needed) {
        return;
    }
    let Some(binary) = static_binary() else { return };
    if !network::enter("compose::compose_serves_two_registries_and_keeps_what_was_pulled") {
        return;
    }
    assert_is_static(&binary);
    let directory = tempfile::tempdir().expect("a directory is created");
    let surroundings = Surroundings::new(directory.path(), &NAMES);
    let mut registries = Registries::start(&surroundings, directory.path());
    network::serve_names(GATEWAY);
    let mut docker = Docker::start(&surroundings, directory.path());
    build_image(&docker, &binary);
    let project = write_project(directory.path());
    let said = docker.compose(&project, &["run", "--rm", "-T", "wharf", "check"]);
    assert!(said.contains("/etc/wharf/wharf.toml: no mistakes"), "{said}");
    docker.compose(&project, &["up", "-d"]);
    docker.wait_healthy(&project);
    docker.pull_and_run(&registries);
    registries.assert_each_blob_was_sent_once();

    // The container ends and its volume stays, as in an upgrade.
    docker.compose(&project, &["down"]);
    docker.forget_images(&registries);
    registries.stop();
    docker.compose(&project, &["up", "-d"]);
    docker.wait_healthy(&project);
    docker.pull_and_run(&registries);
    docker.assert_data_belongs_to_wharf(&registries);
    let metrics = docker.metrics(&project, &registries);
    for registry in [HUB, GITHUB] {
        let family = format!("wharf_stale_total{{registry=\"{registry}\"");
        let is_stale = |line: &str| line.starts_with(&family) && !line.ends_with(" 0");
        assert!(metrics.lines().any(is_stale), "{registry} was served without being asked\n{metrics}");
    }

    docker.compose(&project, &["down", "--volumes"]);
    assert!(docker.volume().is_none(), "what was kept is gone when asked for");
    docker.process.stop();
}

/// The file in `WHARF_STATIC_BIN`, if the test can run with it. Otherwise prints that it is skipped, or fails
/// if `WHARF_REQUIRE_CLIENTS` is set.
fn static_binary() -> Option<PathBuf> {
    let binary = std::env::var_os("WHARF_STATIC_BIN").filter(|path| !path.is_empty()).map(PathBuf::from);
    let obstacle = match &binary {
        None => "WHARF_STATIC_BIN does not name what deploy/image/static builds".to_owned(),
        Some(_) => match network::obstacle() {
            None => return binary,
            Some(obstacle) => obstacle,
        },
    };
    assert!(std::env::var_os("WHARF_REQUIRE_CLIENTS").is_none(), "clients are required: {obstacle}");
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    writeln!(io::stderr(), "skipped: {name}: {obstacle}").expect("standard error can be written");
    None
}

/// The binary needs no loader and no library: the image has neither.
fn assert_is_static(binary: &Path) {
    let output = Command::new("/usr/bin/ldd").arg(binary).output().expect("ldd runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let said = ["statically linked", "not a dynamic executable"];
    assert!(said.iter().any(|said| text.contains(said)), "{}: {text}", binary.display());
}

fn deploy(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(part)
}

/// The lines of `.env.example` that set something.
fn example_values(directory: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(directory.join(".env.example")).expect("the example is read");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect()
}

/// Copies `deploy/compose`, as its user does.
fn copy_compose(directory: &Path) -> PathBuf {
    let project = directory.join("compose");
    fs::create_dir(&project).expect("the directory is created");
    for entry in fs::read_dir(deploy("compose")).expect("the shipped directory is read") {
        let entry = entry.expect("the shipped directory is read");
        fs::copy(entry.path(), project.join(entry.file_name())).expect("a shipped file is copied");
    }
    project
}

/// The shipped files with a user's edits, the domain and credentials, and with upstreams here instead of the
/// real ones.
fn write_project(directory: &Path) -> PathBuf {
    let project = copy_compose(directory);
    let edited = [("REGISTRY_DOMAIN", DOMAIN), ("GHCR_USERNAME", USERNAME), ("GHCR_PASSWORD", PASSWORD)];
    let mut lines = String::new();
    for (key, value) in example_values(&project) {
        let value = edited.iter().find(|(name, _)| *name == key).map_or(value.as_str(), |(_, value)| value);
        lines.push_str(&format!("{key}={value}\n"));
    }
    fs::write(project.join(".env"), lines).expect("the values are written");
    let path = project.join("wharf.toml");
    let mut text = fs::read_to_string(&path).expect("the settings are read");
    for (name, port) in [(HUB, HUB_PORT), (GITHUB, GITHUB_PORT)] {
        let line = format!("name = \"{name}\"\n");
        assert_eq!(text.matches(&line).count(), 1, "{name} is shipped once:\n{text}");
        let upstream = format!("upstream = \"http://{name}.upstream.test:{port}\"\nserve_private = true\n");
        text = text.replace(&line, &format!("{line}{upstream}"));
    }
    fs::write(&path, text).expect("the settings are written");
    let text = json!({
        "version": "3.8",
        "services": { "wharf": { "dns": [GATEWAY] } },
        "networks": { "default": { "ipam": { "config": [{ "subnet": SUBNET }] } } },
    });
    // JSON is YAML.
    let path = project.join("docker-compose.override.yml");
    fs::write(path, text.to_string()).expect("the override is written");
    project
}

/// `deploy/image/build` with either builder of Docker, and the promises of the image.
fn build_image(docker: &Docker<'_>, binary: &Path) {
    for buildkit in ["0", "1"] {
        let mut command = docker.surroundings.command(deploy("image/build"));
        command.arg("wharf:latest").env("WHARF_BIN", binary).env("DOCKER_BUILDKIT", buildkit);
        command.env("DOCKER", format!("/usr/bin/docker --host {}", docker.host()));
        docker.surroundings.run(&mut command);
        let settings = docker.ask(&["image", "inspect", "--format", "{{json .Config}}", "wharf:latest"]);
        let settings: Value = serde_json::from_str(&settings).expect("the settings are JSON");
        assert_eq!(settings["User"], format!("{USER}:{USER}"));
        assert_eq!(settings["Healthcheck"]["Test"], json!(["CMD", "/wharf", "health"]));
        assert_eq!(docker.ask(&["run", "--rm", "--network", "none", "wharf:latest", "--version"]), {
            let output = Command::new(binary).arg("--version").output().expect("the binary runs");
            String::from_utf8(output.stdout).expect("a version is text")
        });
    }
}

/// The two registries, each with an image of the same name, and their addresses for the containers.
struct Registries {
    forwarders: Vec<Process>,
    hub: Registry,
    github: Registry,
    hub_image: Image,
    github_image: Image,
}

impl Registries {
    fn start(surroundings: &Surroundings, directory: &Path) -> Self {
        let hub = Registry::start(surroundings, directory.join("hub"), Access::Anonymous);
        let github = Registry::start(surroundings, directory.join("github"), Access::Basic);
        let ports = [(HUB_PORT, &hub), (GITHUB_PORT, &github)];
        let forwarders = ports
            .map(|(port, registry)| network::forward(surroundings, port, registry.address.port(), directory))
            .into();
        let [hub_image, github_image] = ["hub", "github"].map(|name| runnable(Form::Docker, name));
        hub.push(APP, "1", &hub_image);
        github.push(APP, "1", &github_image);
        Self { forwarders, hub, github, hub_image, github_image }
    }

    /// References, with their images and the expected output. The first goes to the mirror of Docker Hub, the
    /// second names wharf's host.
    fn expected(&self) -> [(String, &Image, &'static str); 2] {
        [
            ("app:1".to_owned(), &self.hub_image, "hub\n"),
            (format!("{GITHUB}.{DOMAIN}:{PORT}/{APP}:1"), &self.github_image, "github\n"),
        ]
    }

    fn assert_each_blob_was_sent_once(&self) {
        for (registry, image) in [(&self.hub, &self.hub_image), (&self.github, &self.github_image)] {
            let expected = image.blobs.iter().map(|blob| (blob.digest.clone(), blob.size)).collect();
            assert_eq!(registry.blob_bytes_sent(), expected);
        }
    }

    fn stop(&mut self) {
        self.forwarders.clear();
        self.hub.stop();
        self.github.stop();
    }
}

/// A dockerd that has bridges and publishes ports, and docker-compose with it.
struct Docker<'a> {
    process: Process,
    surroundings: &'a Surroundings,
    socket: PathBuf,
    data: PathBuf,
}

impl<'a> Docker<'a> {
    fn start(surroundings: &'a Surroundings, directory: &Path) -> Self {
        let [settings, socket, data] = ["daemon.json", "sock", "data"].map(|name| directory.join(name));
        let mirror = format!("http://{HUB}.{DOMAIN}:{PORT}");
        let text = json!({
            "registry-mirrors": [mirror],
            "insecure-registries": [mirror, format!("{GITHUB}.{DOMAIN}:{PORT}")],
            "data-root": data,
            "exec-root": directory.join("exec"),
            "pidfile": directory.join("pid"),
            // Only docker-proxy publishes ports.
            "iptables": false,
            "ip6tables": false,
            "bip": "10.78.0.1/24",
        });
        fs::write(&settings, text.to_string()).expect("the settings are written");
        let mut command = surroundings.command("dockerd");
        command.arg("--config-file").arg(settings).arg("--host").arg(format!("unix://{}", socket.display()));
        let mut process = Process::start(&mut command, directory.join("dockerd.log"));
        process.wait_ready(|_| UnixStream::connect(&socket).ok());
        Self { process, surroundings, socket, data }
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let mut command = self.surroundings.command("/usr/bin/docker");
        command.arg("--host").arg(self.host()).args(arguments);
        String::from_utf8(self.surroundings.run(&mut command)).expect("docker writes text")
    }

    fn compose(&self, project: &Path, arguments: &[&str]) -> String {
        let mut command = self.surroundings.command("docker-compose");
        command.env("DOCKER_HOST", self.host()).current_dir(project).args(arguments);
        String::from_utf8(self.surroundings.run(&mut command)).expect("docker-compose writes text")
    }

    /// Waits until the health check of the image succeeds.
    fn wait_healthy(&self, project: &Path) {
        let id = self.container(project);
        let state = || self.ask(&["inspect", "--format", "{{json .State}}", &id]);
        wait_until("the container is healthy", HEALTHY_WITHIN, || {
            let state = state();
            let health: Value = serde_json::from_str(&state).expect("the state is JSON");
            let trouble = health["Health"]["Status"] == "unhealthy" || health["Restarting"] == true;
            assert!(!trouble, "{state}\n{}", self.compose(project, &["logs", "wharf"]));
            (health["Health"]["Status"] == "healthy").then_some(())
        });
    }

    fn pull_and_run(&self, registries: &Registries) {
        for (reference, image, marker) in registries.expected() {
            self.ask(&["pull", "--quiet", &reference]);
            let id = self.ask(&["image", "inspect", "--format", "{{.Id}}", &reference]);
            assert_eq!(id.trim_end(), image.config().digest, "{reference}");
            assert_eq!(self.ask(&["run", "--rm", "--network", "none", &reference]), marker);
        }
    }

    fn container(&self, project: &Path) -> String {
        self.compose(project, &["ps", "--quiet", "wharf"]).trim_end().to_owned()
    }

    /// The answer of the admin listener to a neighbour in the container's network.
    fn metrics(&self, project: &Path, registries: &Registries) -> String {
        let network = format!("container:{}", self.container(project));
        let [(reference, ..), _] = registries.expected();
        let wget = ["/bin/busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:5001/metrics"];
        self.ask(&[&["run", "--rm", "--network", &network, &reference], &wget[..]].concat())
    }

    fn forget_images(&self, registries: &Registries) {
        for (reference, ..) in registries.expected() {
            self.ask(&["image", "rm", &reference]);
        }
    }

    /// The path of the named volume of the shipped file.
    fn volume(&self) -> Option<PathBuf> {
        let name = self.ask(&["volume", "ls", "--quiet", "--filter", "name=wharf-data"]);
        (!name.is_empty()).then(|| self.data.join("volumes").join(name.trim_end()).join("_data"))
    }

    fn assert_data_belongs_to_wharf(&self, registries: &Registries) {
        let volume = self.volume().expect("the volume is there");
        for (name, image) in [(HUB, &registries.hub_image), (GITHUB, &registries.github_image)] {
            for blob in &image.blobs {
                let hex = blob.hex();
                let path = volume.join(name).join("blobs/sha256").join(&hex[..2]).join(hex);
                let metadata = fs::metadata(&path).expect("each blob that was pulled is in the volume");
                assert_eq!((metadata.uid(), metadata.len()), (USER, blob.size), "{}", path.display());
            }
        }
    }
}
