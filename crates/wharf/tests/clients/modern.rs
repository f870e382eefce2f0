//! Clients that Debian does not have, or not as new as people use them: `.ci/modern` builds them from their published
//! modules, names their directory in `WHARF_MODERN_BIN`, and runs these tests beside those of the older clients.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::containerd::{Containerd, HostsForm};
use crate::docker::Docker;
use crate::image::{Blob, Form, Image, for_two_platforms, runnable};
use crate::lab::{CORP, HUB, Lab, Upstream};
use crate::process::{Process, find_program, modern_directory};
use crate::pulls::{APP, push_both};
use crate::skopeo::{assert_layout_holds, contents_of};

/// Whether these programs are among those that `.ci/modern` has built. Otherwise the test is skipped, and says so.
fn built(programs: &[&str]) -> bool {
    let directory = modern_directory();
    let missing: Vec<_> = programs
        .iter()
        .filter(|name| directory.as_ref().is_none_or(|directory| !directory.join(name).exists()))
        .collect();
    if !missing.is_empty() {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        eprintln!("skipped: {test}: .ci/modern has not built {missing:?}");
    }
    missing.is_empty()
}

fn run(lab: &Lab, program: &str, arguments: &[&str]) -> String {
    let written = lab.surroundings.run(lab.surroundings.command(program).args(arguments));
    String::from_utf8(written).expect("text").trim_end().to_owned()
}

/// Names through wharf: by virtual host and by a path on the bare domain.
fn names(lab: &Lab, registry: &str, repository: &str) -> [String; 2] {
    [format!("{}/{repository}", lab.vhost(registry)), format!("{}/{registry}/{repository}", lab.bare_host())]
}

#[test]
fn crane_pulls_and_validates_by_host_and_by_path() {
    if !built(&["crane"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    let (index, platforms) = for_two_platforms("several platforms");
    for image in &platforms {
        lab.push(Upstream::Hub, "team/multi", &image.manifest.digest, image);
    }
    lab.hub.push_manifest("team/multi", "1", &index);
    lab.pull_three_times(|lab, directory| {
        for (registry, image) in [(HUB, &hub), (CORP, &corp)] {
            for (number, name) in names(lab, registry, APP).iter().enumerate() {
                let reference = format!("{name}:1");
                assert_eq!(run(lab, "crane", &["digest", "--insecure", &reference]), image.manifest.digest);
                run(lab, "crane", &["validate", "--insecure", "--remote", &reference]);
                let layout = directory.join(format!("{registry}-{number}"));
                let target = layout.display().to_string();
                run(lab, "crane", &["pull", "--insecure", "--format", "oci", &reference, &target]);
                assert_layout_holds(&layout, &contents_of(image));
            }
        }
        let multi = format!("{}/team/multi:1", lab.vhost(HUB));
        run(lab, "crane", &["validate", "--insecure", "--remote", &multi]);
    });
}

#[test]
fn oras_and_regctl_copy_images_into_layouts() {
    if !built(&["oras", "regctl"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::OciZstd);
    lab.pull_three_times(|lab, directory| {
        for (registry, image) in [(HUB, &hub), (CORP, &corp)] {
            let reference = format!("{}/{APP}:1", lab.vhost(registry));
            let layout = directory.join(format!("oras-{registry}"));
            let target = format!("{}:1", layout.display());
            run(lab, "oras", &["copy", "--from-plain-http", "--to-oci-layout", &reference, &target]);
            assert_layout_holds(&layout, &contents_of(image));
            let host = format!("--host=reg={},tls=disabled", lab.vhost(registry));
            let layout = directory.join(format!("regctl-{registry}"));
            let target = format!("ocidir://{}:1", layout.display());
            run(lab, "regctl", &[&host, "image", "copy", &reference, &target]);
            assert_layout_holds(&layout, &contents_of(image));
        }
    });
}

/// A push says that nothing can be pushed here.
#[test]
fn crane_is_told_that_wharf_is_pull_only() {
    if !built(&["crane"]) {
        return;
    }
    let mut lab = Lab::start();
    push_both(&mut lab, "1", Form::Oci);
    let reference = format!("{}/{APP}", lab.vhost(HUB));
    let mut command = lab.surroundings.command("crane");
    command.args(["copy", "--insecure", &format!("{reference}:1"), &format!("{reference}:2")]);
    let ran = lab.surroundings.try_run(&mut command, Duration::from_secs(60));
    assert!(!ran.status.expect("it ends").success());
    assert!(ran.stderr.contains("pull-only"), "{}", ran.stderr);
}

#[test]
fn helm_pulls_a_chart_by_version_and_by_range() {
    if !built(&["helm"]) {
        return;
    }
    let mut lab = Lab::start();
    let chart = lab.directory().join("chart");
    fs::create_dir(&chart).expect("created");
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: chart\nversion: 1.2.3\n").expect("written");
    let (from, to) = (chart.display().to_string(), lab.directory().display().to_string());
    run(&lab, "helm", &["package", &from, "--destination", &to]);
    let archive = lab.directory().join("chart-1.2.3.tgz");
    let upstream = format!("oci://{}/charts", lab.hub.address);
    run(&lab, "helm", &["push", "--plain-http", &archive.display().to_string(), &upstream]);
    let content = fs::read(&archive).expect("the chart is read");
    let through = format!("oci://{}/charts/chart", lab.vhost(HUB));
    for round in ["cold", "warm", "offline"] {
        if round == "offline" {
            lab.hub.stop();
        }
        for version in ["1.2.3", "^1.2.0"] {
            let directory = lab.fresh_directory(round);
            let target = directory.display().to_string();
            run(
                &lab,
                "helm",
                &["pull", "--plain-http", &through, "--version", version, "--destination", &target],
            );
            let pulled = fs::read(directory.join("chart-1.2.3.tgz")).expect("the chart is there");
            assert!(pulled == content, "{round} {version}");
        }
    }
}

#[test]
fn cosign_verifies_a_signature_also_while_the_upstream_is_away() {
    if !built(&["cosign"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, _) = push_both(&mut lab, "1", Form::Oci);
    let keys = lab.directory().join("keys");
    fs::create_dir(&keys).expect("created");
    let cosign = |lab: &Lab, arguments: &[&str]| {
        let mut command = lab.surroundings.command("cosign");
        command.current_dir(&keys).env("COSIGN_PASSWORD", "").args(arguments);
        lab.surroundings.run(&mut command);
    };
    cosign(&lab, &["generate-key-pair"]);
    let upstream = format!("{}/{APP}@{}", lab.hub.address, hub.manifest.digest);
    let sign =
        ["sign", "--key", "cosign.key", "--yes", "--allow-http-registry", "--use-signing-config=false"];
    cosign(&lab, &[&sign[..], &["--tlog-upload=false", &upstream]].concat());
    let through = format!("{}/{APP}@{}", lab.vhost(HUB), hub.manifest.digest);
    let verify =
        ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog", "--allow-http-registry", &through];
    cosign(&lab, &verify);
    lab.hub.stop();
    lab.crash_and_restart();
    cosign(&lab, &verify);
}

#[test]
fn the_kubernetes_interface_of_containerd_pulls_by_namespace_parameter() {
    if !built(&["containerd", "crictl"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    lab.pull_three_times(|lab, directory| {
        let containerd = Containerd::start_with_cri(lab, directory, HostsForm::DefaultWithNamespace);
        let socket = format!("unix://{}", containerd.socket.display());
        for (registry, image) in [(HUB, &hub), (CORP, &corp)] {
            let reference = format!("{registry}/{APP}:1");
            let pulled =
                run(lab, "crictl", &["--image-endpoint", &socket, "--timeout", "60s", "pull", &reference]);
            assert!(
                pulled.contains(&image.manifest.digest) || pulled.contains(&image.config().digest),
                "{pulled}"
            );
        }
    });
}

/// A running `buildkitd` that asks wharf first.
struct BuildKit<'a> {
    _process: Process,
    lab: &'a Lab,
    socket: String,
}

impl<'a> BuildKit<'a> {
    fn start(lab: &'a Lab, directory: &Path) -> Self {
        let mut settings = String::new();
        for registry in [HUB, CORP] {
            let host = lab.vhost(registry);
            settings += &format!(
                "[registry.\"{registry}\"]\n  mirrors = [\"{host}\"]\n[registry.\"{host}\"]\n  http = true\n"
            );
        }
        let file = directory.join("buildkitd.toml");
        fs::write(&file, settings).expect("the settings are written");
        let socket = format!("unix://{}", directory.join("sock").display());
        let mut command = lab.surroundings.command("buildkitd");
        command.arg("--config").arg(&file).args(["--addr", &socket, "--root"]).arg(directory.join("root"));
        command.args(["--containerd-worker=false", "--oci-worker=true", "--oci-worker-net=host"]);
        let mut process = Process::start(&mut command, directory.join("buildkitd.log"));
        process.wait_ready(|_| {
            let mut ask = lab.surroundings.command("buildctl");
            ask.args(["--addr", &socket, "debug", "workers"]);
            ask.output().expect("buildctl starts").status.success().then_some(())
        });
        Self { _process: process, lab, socket }
    }

    fn build(&self, context: &Path, out: &Path) {
        let context = context.display();
        let local = [format!("--local=context={context}"), format!("--local=dockerfile={context}")];
        let output = format!("--output=type=local,dest={}", out.display());
        let mut command: Command = self.lab.surroundings.command("buildctl");
        command.args(["--addr", &self.socket, "build", "--frontend=dockerfile.v0"]).args(local).arg(output);
        self.lab.surroundings.run(&mut command);
    }
}

#[test]
fn buildkitd_builds_from_images_behind_its_mirrors() {
    if !built(&["buildkitd", "buildctl"]) {
        return;
    }
    let mut lab = Lab::start();
    push_both(&mut lab, "1", Form::Oci);
    lab.pull_three_times(|lab, directory| {
        let buildkit = BuildKit::start(lab, directory);
        let (context, out) = (directory.join("context"), directory.join("out"));
        fs::create_dir(&context).expect("created");
        let dockerfile = format!(
            "FROM {CORP}/{APP}:1 AS company\nFROM {HUB}/{APP}:1 AS hub\nFROM scratch\n\
             COPY --from=company /etc/marker /company\nCOPY --from=hub /etc/marker /hub\n"
        );
        fs::write(context.join("Dockerfile"), dockerfile).expect("written");
        buildkit.build(&context, &out);
        let marker = |name: &str| fs::read_to_string(out.join(name)).expect("a marker").trim_end().to_owned();
        assert_eq!((marker("hub"), marker("company")), ("1 of the hub".into(), "1 of the company".into()));
    });
}

/// Docker Engine with the containerd image store, told by files in `certs.d` as in docs/how-to/clients.md.
#[test]
fn client_f2_docker_engine_29_pulls_an_attested_image_while_the_registry_is_away() {
    if !built(&["dockerd", "docker", "containerd"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, _) = push_both(&mut lab, "1", Form::Oci);
    let statement = runnable(Form::Oci, "a statement about the image");
    lab.hub.push(APP, &statement.manifest.digest, &statement);
    let index = attested(&hub, &statement);
    lab.hub.push_manifest(APP, "attested", &index);
    for round in ["cold", "offline"] {
        if round == "offline" {
            lab.hub.stop();
            lab.corp.stop();
        }
        let directory = lab.fresh_directory(round);
        let settings = json!({ "registry-mirrors": [format!("http://{}", lab.vhost(HUB))],
            "features": { "containerd-snapshotter": true } });
        let docker = Docker::start_with(&lab.surroundings, &directory, settings);
        docker.pull("app:attested");
        assert_eq!(docker.repository_digest("app:attested"), format!("app@{}", index.digest), "{round}");
    }
    assert!(find_program("dockerd").is_some_and(|path| path.starts_with(modern_directory().expect("named"))));
}

/// An index of an image and of the statement about it, as buildx makes them.
fn attested(image: &Image, statement: &Image) -> Blob {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let [mut runs, mut states] = [image, statement].map(|image| image.manifest.descriptor());
    runs["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    states["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    states["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image.manifest.digest });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [runs, states] });
    Blob::new(INDEX, index.to_string().into_bytes())
}
