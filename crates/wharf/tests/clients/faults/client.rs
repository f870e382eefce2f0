//! The four clients, each configured for wharf in its own way, and for the real registry if it supports one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::image::{Image, digest, marked};
use crate::lab::HUB;
use crate::podman::Podman;
use crate::process::{Ran, Surroundings};
use crate::skopeo::{Skopeo, write_registries};

use super::bench::{FILE_BYTES, TAG};
use super::row::Row;

/// The path of the file that distinguishes images.
const FILE: &str = "/etc/marker";
/// How often docker requests a layer again, after 5 s. The default is five times, with pauses of up to 20 s.
const DOCKER_ATTEMPTS: u64 = 1;

/// A client with its own store.
pub(crate) trait Client: Sync {
    /// Its user agent, or nothing if it contacts only wharf.
    fn agent(&self) -> Option<&'static str>;

    /// Configures it to try `wharf`, as `host:port`, first for the image of `row`.
    fn aim(&self, row: &Row, wharf: &str);

    fn pull(&self, row: &Row, within: Duration) -> Ran;

    /// The store holds `image`, whose file has `marker` in it.
    ///
    /// # Panics If it does not.
    fn check(&self, row: &Row, image: &Image, marker: &str);

    /// Wipes the image from the store.
    fn forget(&self, row: &Row);
}

/// docker: wharf as the only mirror of Docker Hub.
pub(crate) struct DockerClient<'a>(Docker<'a>);

impl<'a> DockerClient<'a> {
    pub(crate) fn start(surroundings: &'a Surroundings, directory: &Path) -> Self {
        let docker = Docker::start_with(surroundings, directory, daemon("http://no-mirror.test/"));
        // An earlier reload signal would end it.
        assert!(docker.mirrors().contains("no-mirror.test"), "dockerd has a mirror");
        Self(docker)
    }
}

fn daemon(mirror: &str) -> Value {
    json!({ "registry-mirrors": [mirror], "max-download-attempts": DOCKER_ATTEMPTS })
}

impl Client for DockerClient<'_> {
    fn agent(&self) -> Option<&'static str> {
        Some("docker/")
    }

    fn aim(&self, _: &Row, wharf: &str) {
        self.0.change_mirror(daemon(&format!("http://{wharf}/")));
    }

    fn pull(&self, row: &Row, within: Duration) -> Ran {
        self.0.try_pull(&hub_reference(row), within)
    }

    fn check(&self, row: &Row, image: &Image, marker: &str) {
        let reference = hub_reference(row);
        assert_eq!(self.0.config(&reference), image.config().digest, "the image of docker");
        // An archive of archives, both uncompressed, so the file stands in it unchanged.
        let (saved, file) = (self.0.save(&reference), marked(marker, FILE_BYTES));
        assert!(saved.windows(FILE_BYTES).any(|part| part == file), "the file in docker's image");
    }

    fn forget(&self, row: &Row) {
        self.0.remove(&hub_reference(row));
    }
}

/// containerd: wharf first in hosts.toml, and the real registry as its server.
pub(crate) struct ContainerdClient<'a> {
    containerd: Containerd<'a>,
    directory: PathBuf,
}

impl<'a> ContainerdClient<'a> {
    pub(crate) fn start(surroundings: &'a Surroundings, directory: &Path) -> Self {
        let containerd = Containerd::start_with(surroundings, directory);
        Self { containerd, directory: directory.to_owned() }
    }
}

/// `ns` and the host name must agree, so the image has the name of the row's registry.
fn own_reference(row: &Row) -> String {
    format!("{}/{}:{TAG}", row.registry(), row.repository())
}

fn hub_reference(row: &Row) -> String {
    format!("{HUB}/{}:{TAG}", row.repository())
}

impl Client for ContainerdClient<'_> {
    fn agent(&self) -> Option<&'static str> {
        Some("containerd/")
    }

    fn aim(&self, row: &Row, wharf: &str) {
        self.containerd.add_registry(&row.registry(), wharf, "https://registry-1.docker.io");
    }

    fn pull(&self, row: &Row, within: Duration) -> Ran {
        self.containerd.try_pull(&own_reference(row), within)
    }

    fn check(&self, row: &Row, image: &Image, marker: &str) {
        let reference = own_reference(row);
        assert_eq!(self.containerd.target(&reference), image.manifest.digest, "the image of containerd");
        let file = self.containerd.file(&reference, FILE, &self.directory.join("mounted"));
        assert!(file == marked(marker, FILE_BYTES), "the file in containerd's image");
    }

    fn forget(&self, row: &Row) {
        self.containerd.remove(&own_reference(row));
    }
}

/// podman: wharf as a mirror in registries.conf.
pub(crate) struct PodmanClient<'a> {
    podman: Podman<'a>,
    directory: &'a Path,
}

impl<'a> PodmanClient<'a> {
    pub(crate) fn new(surroundings: &'a Surroundings, directory: &'a Path) -> Self {
        Self { podman: Podman::with_settings(surroundings, directory), directory }
    }
}

impl Client for PodmanClient<'_> {
    fn agent(&self) -> Option<&'static str> {
        Some("containers/")
    }

    fn aim(&self, _: &Row, wharf: &str) {
        write_registries(self.directory, &[(HUB, wharf.to_owned())]);
    }

    fn pull(&self, row: &Row, within: Duration) -> Ran {
        self.podman.try_pull(&hub_reference(row), within)
    }

    fn check(&self, row: &Row, image: &Image, marker: &str) {
        let reference = hub_reference(row);
        let digests = (image.config().digest.clone(), image.manifest.digest.clone());
        assert_eq!(self.podman.digests(&reference), digests, "the image of podman");
        let file = self.podman.file(&reference, FILE);
        assert!(file == marked(marker, FILE_BYTES), "the file in podman's image");
    }

    fn forget(&self, row: &Row) {
        self.podman.remove(&hub_reference(row));
    }
}

/// skopeo: contacts only the host in the reference.
pub(crate) struct SkopeoClient<'a> {
    skopeo: Skopeo<'a>,
    directory: &'a Path,
    port: u16,
}

impl<'a> SkopeoClient<'a> {
    pub(crate) fn new(surroundings: &'a Surroundings, directory: &'a Path, port: u16) -> Self {
        Self { skopeo: Skopeo::without_mirrors(surroundings, directory), directory, port }
    }
}

impl Client for SkopeoClient<'_> {
    fn agent(&self) -> Option<&'static str> {
        None
    }

    fn aim(&self, _: &Row, _: &str) {}

    fn pull(&self, row: &Row, within: Duration) -> Ran {
        let source = format!("{}:{}/{}:{TAG}", row.host(), self.port, row.repository());
        self.skopeo.try_copy(&source, row.name, within)
    }

    fn check(&self, row: &Row, image: &Image, _: &str) {
        let copy = self.directory.join(row.name);
        let holds = |name: &str, wanted: &str| {
            let content = fs::read(copy.join(name)).expect("what was copied is read");
            assert_eq!(digest(&mut content.as_slice()), wanted, "{name} in skopeo's copy");
        };
        holds("manifest.json", &image.manifest.digest);
        for blob in &image.blobs {
            holds(blob.hex(), &blob.digest);
        }
    }

    fn forget(&self, row: &Row) {
        fs::remove_dir_all(self.directory.join(row.name)).expect("the copy is removed");
    }
}
