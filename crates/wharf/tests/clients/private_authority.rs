//! TLS under the authority of `wharf cert`: clients that trust it pull, and others do not.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::http;
use crate::image::{Form, Image, runnable};
use crate::lab::{DOMAIN, HUB, TURN, free_address, wharf_program};
use crate::process::{Process, Ran, Surroundings, available};
use crate::registry::{Access, Registry};
use crate::skopeo::write_registries;

const REPOSITORY: &str = "library/secure";
const PULLED_WITHIN: Duration = Duration::from_secs(120);

/// One wharf that speaks TLS, with a certificate of its own authority. Fields drop in order.
struct Secure {
    _wharf: Process,
    _hub: Registry,
    surroundings: Surroundings,
    image: Image,
    plain: SocketAddr,
    tls: SocketAddr,
    directory: TempDir,
}

impl Secure {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory is created");
        let path = directory.path();
        let names = [DOMAIN.to_owned(), format!("docker-io.{DOMAIN}"), format!("{HUB}.{DOMAIN}")];
        let all: Vec<&str> = names.iter().map(String::as_str).chain([HUB, "registry-1.docker.io"]).collect();
        let surroundings = Surroundings::new(path, &all);
        let hub = Registry::start(&surroundings, path.join("hub"), Access::Anonymous);
        let image = runnable(Form::Docker, "secure");
        hub.push(REPOSITORY, "1", &image);
        let (plain, tls) = (free_address(), free_address());
        let settings = path.join("wharf.toml");
        let text = format!(
            "[server]\nlisten = \"{plain}\"\ndomain = \"{DOMAIN}\"\n[admin]\nlisten = \"off\"\n\
             [server.tls]\nlisten = \"{tls}\"\nplain = \"redirect\"\ncert_file = \"{0}/tls/cert.pem\"\n\
             key_file = \"{0}/tls/key.pem\"\n[storage]\nroot = \"{0}/cache\"\n\
             [[registry]]\nname = \"{HUB}\"\nupstream = \"http://{1}\"\n",
            path.display(),
            hub.address,
        );
        fs::write(&settings, text).expect("the settings are written");
        let mut cert = surroundings.command(wharf_program());
        cert.arg("--config").arg(&settings).arg("cert").arg("--dir").arg(path.join("tls"));
        surroundings.run(&mut cert);
        let mut serve = surroundings.command(wharf_program());
        serve.arg("--config").arg(&settings).arg("serve");
        let mut wharf = Process::start(&mut serve, path.join("wharf.log"));
        // The health checks stay plain.
        wharf.wait_ready(|_| http::get(plain, "/readyz").ok().filter(|answer| answer.status == 200));
        Self { _wharf: wharf, _hub: hub, surroundings, image, plain, tls, directory }
    }

    fn authority(&self) -> PathBuf {
        self.directory.path().join("tls/ca.pem")
    }

    /// The name that stands for Docker Hub, with the port of TLS.
    fn host(&self) -> String {
        format!("docker-io.{DOMAIN}:{}", self.tls.port())
    }

    fn plain_host(&self) -> String {
        format!("docker-io.{DOMAIN}:{}", self.plain.port())
    }

    fn new_directory(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir(&path).expect("the directory is created");
        path
    }

    fn curl(&self, arguments: &[&str]) -> Ran {
        let mut command = self.surroundings.command("curl");
        command.args(["--silent", "--show-error", "--fail", "--output", "/dev/null"]);
        command.args(["--write-out", "%{http_code} %{num_redirects} %{http_version}"]).args(arguments);
        self.surroundings.try_run(&mut command, PULLED_WITHIN)
    }
}

fn succeeded(ran: &Ran) -> bool {
    ran.status.is_some_and(|status| status.success())
}

#[track_caller]
fn assert_succeeded(ran: &Ran) {
    assert!(succeeded(ran), "{ran:?}");
}

/// Writes the hosts.toml of Docker Hub.
fn write_hosts(directory: &Path, url: &str, further: &str) {
    let directory = directory.join("certs.d").join(HUB);
    fs::create_dir_all(&directory).expect("the directory is created");
    let text = format!("[host.\"{url}\"]\ncapabilities = [\"pull\", \"resolve\"]\n{further}");
    fs::write(directory.join("hosts.toml"), text).expect("hosts.toml is written");
}

#[test]
fn curl_trusts_each_virtual_host_by_the_authority_and_no_name_without_it() {
    if !available(&["curl"]) {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let secure = Secure::start();
    let authority = secure.authority().display().to_string();
    let port = secure.tls.port();
    for host in [DOMAIN, "docker-io.wharf.test", "docker.io.wharf.test", "localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/v2/");
        let trusted = secure.curl(&["--cacert", &authority, &url]);
        assert_succeeded(&trusted);
        assert_eq!(String::from_utf8_lossy(&trusted.stdout), "200 0 1.1", "{host}");
        assert!(!succeeded(&secure.curl(&[&url])), "{host} without the authority");
    }
    let redirected =
        secure.curl(&["--location", "--cacert", &authority, &format!("http://{}/v2/", secure.plain_host())]);
    assert_succeeded(&redirected);
    assert_eq!(String::from_utf8_lossy(&redirected.stdout), "200 1 1.1");
}

#[test]
fn containerd_pulls_over_tls_by_the_authority_and_through_the_redirect() {
    if !available(&["containerd", "ctr", "busybox"]) {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let secure = Secure::start();
    let reference = format!("{HUB}/{REPOSITORY}:1");
    let directory = secure.new_directory("containerd");
    let containerd = Containerd::start_with(&secure.surroundings, &directory);
    let (tls, plain) = (format!("https://{}", secure.host()), format!("http://{}", secure.plain_host()));
    write_hosts(&directory, &tls, "");
    let refused = containerd.try_pull(&reference, PULLED_WITHIN);
    assert!(!succeeded(&refused), "without the authority: {refused:?}");
    let authority = format!("ca = \"{}\"\n", secure.authority().display());
    write_hosts(&directory, &tls, &authority);
    containerd.pull(&reference);
    assert_eq!(containerd.target(&reference), secure.image.manifest.digest);
    containerd.remove(&reference);
    write_hosts(&directory, &plain, &authority);
    let ran = containerd.try_pull(&reference, PULLED_WITHIN);
    assert_succeeded(&ran);
    assert_eq!(containerd.target(&reference), secure.image.manifest.digest);
}

#[test]
fn skopeo_and_podman_pull_over_tls_by_the_authority() {
    if !available(&["skopeo", "podman", "busybox"]) {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let secure = Secure::start();
    let directory = secure.new_directory("skopeo");
    write_registries(&directory, &[]);
    let trusted = directory.join("trusted");
    fs::create_dir(&trusted).expect("the directory is created");
    fs::copy(secure.authority(), trusted.join("ca.crt")).expect("the authority is copied");
    let policy = directory.join("policy.json");
    let copy = |host: String, name: &str, further: &[&str]| {
        let mut command = secure.surroundings.command("skopeo");
        command.arg("--policy").arg(&policy).args(["copy", "--preserve-digests"]).args(further);
        command.arg(format!("docker://{host}/{REPOSITORY}:1"));
        command.arg(format!("dir:{}", directory.join(name).display()));
        secure.surroundings.try_run(&mut command, PULLED_WITHIN)
    };
    let by_authority = format!("--src-cert-dir={}", trusted.display());
    assert!(!succeeded(&copy(secure.host(), "refused", &[])), "without the authority");
    assert_succeeded(&copy(secure.host(), "direct", &[&by_authority]));
    // It tries TLS first and then plain HTTP, where it is redirected.
    assert_succeeded(&copy(secure.plain_host(), "redirected", &["--src-tls-verify=false"]));
    let mut podman = secure.surroundings.command("podman");
    let store = directory.join("store");
    podman.arg("--root").arg(&store).arg("--runroot").arg(directory.join("run"));
    podman.args(["--storage-driver", "vfs", "pull"]).arg("--signature-policy").arg(&policy);
    podman.arg(format!("--cert-dir={}", trusted.display())).arg(format!("{}/{REPOSITORY}:1", secure.host()));
    assert_succeeded(&secure.surroundings.try_run(&mut podman, PULLED_WITHIN));
}

#[test]
fn docker_pulls_over_tls_and_through_the_redirect() {
    if !available(&["/usr/bin/docker", "dockerd", "containerd", "runc", "busybox"]) {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let secure = Secure::start();
    let reference = format!("{}/{REPOSITORY}:1", secure.host());
    let directory = secure.new_directory("docker");
    let etc = secure.new_directory("etc-docker");
    let docker = Docker::start_with_etc(
        &secure.surroundings,
        &directory,
        &etc,
        json!({ "insecure-registries": [secure.plain_host()] }),
    );
    // Docker accepts any certificate of loopback, so this test says nothing about a missing authority.
    let trusted = etc.join("certs.d").join(secure.host());
    fs::create_dir_all(&trusted).expect("the directory is created");
    fs::copy(secure.authority(), trusted.join("ca.crt")).expect("the authority is copied");
    docker.pull(&reference);
    assert_eq!(docker.config(&reference), secure.image.config().digest);
    docker.remove(&reference);
    // Listed as insecure, so that Docker speaks plain HTTP to it; the redirect leads to TLS.
    let plain = format!("{}/{REPOSITORY}:1", secure.plain_host());
    assert_succeeded(&docker.try_pull(&plain, PULLED_WITHIN));
    assert_eq!(docker.config(&plain), secure.image.config().digest);
}
