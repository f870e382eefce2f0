//! Docker Engine 29 with the containerd image store, which it has by default.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::docker::Docker;
use crate::image::{Blob, Form, Image, OCI_INDEX, runnable};
use crate::lab::{CORP, HUB, Lab, Upstream};
use crate::process::{available, find_program};
use crate::pulls::{APP, push_both};

use super::built;

const PROGRAMS: [&str; 5] = ["dockerd", "docker", "docker-buildx", "containerd", "containerd-shim-runc-v2"];

fn ready() -> bool {
    built(&PROGRAMS) && available(&["runc", "busybox", "zstd"])
}

#[test]
fn docker_engine_29_pulls_through_its_registry_mirror_by_host() {
    pull_through_mirror(|lab| lab.vhost(HUB));
}

#[test]
fn docker_engine_29_pulls_through_its_registry_mirror_by_path() {
    pull_through_mirror(|lab| format!("{}/{HUB}", lab.bare_host()));
}

/// It names the registry by `ns`, as containerd does.
#[test]
fn docker_engine_29_pulls_through_its_registry_mirror_by_namespace_parameter() {
    pull_through_mirror(Lab::bare_host);
}

fn pull_through_mirror(mirror: impl Fn(&Lab) -> String) {
    if !ready() {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Docker);
    let (hub_zstd, corp_zstd) = push_both(&mut lab, "zstd", Form::OciZstd);
    lab.pull_three_times(|lab, directory| {
        let by_name = lab.vhost(CORP);
        let settings = json!({ "registry-mirrors": [format!("http://{}", mirror(lab))],
            "insecure-registries": [by_name], "features": features() });
        let docker = Docker::start_with(&lab.surroundings, directory, settings);
        let by_name = format!("{by_name}/{APP}");
        check(&docker, "app", "1", &hub, "1 of the hub");
        check(&docker, &by_name, "1", &corp, "1 of the company");
        check(&docker, "app", "zstd", &hub_zstd, "zstd of the hub");
        check(&docker, &by_name, "zstd", &corp_zstd, "zstd of the company");
    });
}

/// One file for all registries, as in docs/how-to/clients.md.
#[test]
fn docker_engine_29_pulls_and_builds_by_one_file_for_all_registries() {
    if !ready() {
        return;
    }
    let mut lab = Lab::start();
    install_buildx(&lab);
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    lab.pull_three_times(|lab, directory| {
        let docker = start_with_hosts(lab, directory, &[("_default", first(&lab.bare_host()))]);
        check(&docker, "app", "1", &hub, "1 of the hub");
        check(&docker, &format!("{CORP}/{APP}"), "1", &corp, "1 of the company");
        let dockerfile = format!(
            "FROM {CORP}/{APP}:1 AS company\nFROM app:1\nCOPY --from=company /etc/marker /etc/other\n\
             RUN cat /etc/marker /etc/other > /etc/both\nCMD [\"/bin/cat\", \"/etc/both\"]\n",
        );
        docker.build("built", &dockerfile);
        assert_eq!(docker.run("built"), "1 of the hub\n1 of the company\n");
    });
}

/// One file for each registry, and an image with attestations: attached artifacts are requested as well.
#[test]
fn client_f2_docker_engine_29_pulls_an_attested_image_while_the_registry_is_away() {
    if !ready() {
        return;
    }
    let mut lab = Lab::start();
    let mut indexes = Vec::new();
    let images = push_both(&mut lab, "1", Form::Oci);
    for (upstream, image) in [(Upstream::Hub, &images.0), (Upstream::Corp, &images.1)] {
        let statement = runnable(Form::Oci, &format!("a statement for {upstream:?}"));
        lab.push(upstream, APP, &statement.manifest.digest, &statement);
        let index = attested(image, &statement);
        lab.registry(upstream).push_manifest(APP, "attested", &index);
        indexes.push(index);
    }
    lab.pull_three_times(|lab, directory| {
        let hosts = [HUB, CORP].map(|registry| (registry, first(&lab.vhost(registry))));
        let docker = start_with_hosts(lab, directory, &hosts);
        for (repository, index, marker) in [
            ("app".to_owned(), &indexes[0], "1 of the hub"),
            (format!("{CORP}/{APP}"), &indexes[1], "1 of the company"),
        ] {
            let reference = format!("{repository}:attested");
            docker.pull(&reference);
            let digest = format!("{repository}@{}", index.digest);
            assert_eq!(docker.repository_digest(&reference), digest);
            assert_eq!(docker.run(&reference).trim_end(), marker);
        }
    });
}

/// wharf in place of the real registry, as in docs/how-to/offline.md: clients use no fallback.
#[test]
fn docker_engine_29_pulls_where_wharf_stands_for_the_registry() {
    if !ready() {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    lab.pull_three_times(|lab, directory| {
        let hosts = [HUB, CORP].map(|name| (name, format!("server = \"http://{}\"\n", lab.vhost(name))));
        let docker = start_with_hosts(lab, directory, &hosts);
        check(&docker, "app", "1", &hub, "1 of the hub");
        check(&docker, &format!("{CORP}/{APP}"), "1", &corp, "1 of the company");
    });
}

/// Debian's runc, with which the containers run, does not support time namespaces.
fn features() -> Value {
    json!({ "time-namespaces": false })
}

/// `docker build` is a plugin, which is looked for in the home.
fn install_buildx(lab: &Lab) {
    let plugins = lab.surroundings.home().join(".docker/cli-plugins");
    fs::create_dir_all(&plugins).expect("created");
    let buildx = find_program("docker-buildx").expect("it is built");
    symlink(buildx, plugins.join("docker-buildx")).expect("linked");
}

/// The file that puts `host` before the real registry.
fn first(host: &str) -> String {
    format!("[host.\"http://{host}\"]\ncapabilities = [\"pull\", \"resolve\", \"referrers\"]\n")
}

/// A dockerd that is configured for wharf only by files in `/etc/docker/certs.d`. Each is a directory's name
/// and the content of its file.
fn start_with_hosts<'a>(lab: &'a Lab, directory: &Path, hosts: &[(&str, String)]) -> Docker<'a> {
    let etc = directory.join("etc-docker");
    for (name, text) in hosts {
        let directory = etc.join("certs.d").join(name);
        fs::create_dir_all(&directory).expect("created");
        fs::write(directory.join("hosts.toml"), text).expect("written");
    }
    Docker::start_with_etc(&lab.surroundings, directory, &etc, json!({ "features": features() }))
}

fn check(docker: &Docker<'_>, repository: &str, tag: &str, image: &Image, marker: &str) {
    let reference = format!("{repository}:{tag}");
    docker.pull(&reference);
    // In the containerd image store, the digest of an image is the one that its tag names.
    assert_eq!(docker.id(&reference), image.manifest.digest, "{reference}");
    assert_eq!(docker.repository_digest(&reference), format!("{repository}@{}", image.manifest.digest));
    assert_eq!(docker.run(&reference).trim_end(), marker);
}

/// An index of an image and of the statement about it, as buildx makes them.
fn attested(image: &Image, statement: &Image) -> Blob {
    let [mut runs, mut states] = [image, statement].map(|image| image.manifest.descriptor());
    runs["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    states["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    states["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image.manifest.digest });
    let index: Value = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [runs, states] });
    Blob::new(OCI_INDEX, index.to_string().into_bytes())
}
