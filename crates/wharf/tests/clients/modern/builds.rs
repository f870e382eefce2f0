//! BuildKit as a separate daemon, with wharf in its `buildkitd.toml`.

use std::fs;
use std::path::Path;

use crate::image::Form;
use crate::lab::{CORP, HUB, Lab};
use crate::process::Process;
use crate::pulls::{APP, push_both};

use super::built;

pub(super) const PROGRAMS: [&str; 2] = ["buildkitd", "buildctl"];

/// A running `buildkitd` with wharf as the first mirror.
pub(super) struct BuildKit<'a> {
    _process: Process,
    lab: &'a Lab,
    socket: String,
}

impl<'a> BuildKit<'a> {
    /// With the mirror of each registry as `mirror` writes it, and further lines in its settings.
    pub(super) fn start(
        lab: &'a Lab,
        directory: &Path,
        mirror: impl Fn(&str) -> String,
        snapshotter: &str,
        settings: &str,
    ) -> Self {
        let mut text = settings.to_owned();
        let mut hosts = Vec::new();
        for registry in [HUB, CORP] {
            let mirror = mirror(registry);
            text += &format!("[registry.\"{registry}\"]\n  mirrors = [\"{mirror}\"]\n");
            hosts.push(mirror.split('/').next().expect("a first part").to_owned());
        }
        hosts.dedup();
        for host in hosts {
            text += &format!("[registry.\"{host}\"]\n  http = true\n");
        }
        let file = directory.join("buildkitd.toml");
        fs::write(&file, text).expect("the settings are written");
        let socket = format!("unix://{}", directory.join("sock").display());
        let mut command = lab.surroundings.command("buildkitd");
        command.arg("--config").arg(&file).args(["--addr", &socket, "--root"]).arg(directory.join("root"));
        command.args(["--containerd-worker=false", "--oci-worker=true", "--oci-worker-net=host"]);
        command.arg(format!("--oci-worker-snapshotter={snapshotter}"));
        let mut process = Process::start(&mut command, directory.join("buildkitd.log"));
        process.wait_ready(|_| {
            let mut ask = lab.surroundings.command("buildctl");
            ask.args(["--addr", &socket, "debug", "workers"]);
            ask.output().expect("buildctl starts").status.success().then_some(())
        });
        Self { _process: process, lab, socket }
    }

    /// Builds the Dockerfile in `context`.
    pub(super) fn build(&self, context: &Path, output: &str) {
        let context = context.display();
        let local = [format!("--local=context={context}"), format!("--local=dockerfile={context}")];
        let mut command = self.lab.surroundings.command("buildctl");
        command.args(["--addr", &self.socket, "build", "--progress=plain", "--frontend=dockerfile.v0"]);
        self.lab.surroundings.run(command.args(local).arg(format!("--output={output}")));
    }
}

/// A context with this Dockerfile.
pub(super) fn write_context(directory: &Path, dockerfile: &str) -> std::path::PathBuf {
    let context = directory.join("context");
    fs::create_dir(&context).expect("created");
    fs::write(context.join("Dockerfile"), dockerfile).expect("written");
    context
}

#[test]
fn buildkitd_builds_from_images_behind_its_mirrors_by_host() {
    build_from_both(|lab, registry| lab.vhost(registry));
}

#[test]
fn buildkitd_builds_from_images_behind_its_mirrors_by_path() {
    build_from_both(|lab, registry| format!("{}/{registry}", lab.bare_host()));
}

#[test]
fn buildkitd_builds_from_images_behind_one_mirror_by_namespace_parameter() {
    build_from_both(|lab, _| lab.bare_host());
}

fn build_from_both(mirror: impl Fn(&Lab, &str) -> String) {
    if !built(&PROGRAMS) {
        return;
    }
    let mut lab = Lab::start();
    push_both(&mut lab, "1", Form::Oci);
    push_both(&mut lab, "zstd", Form::OciZstd);
    lab.pull_three_times(|lab, directory| {
        let buildkit = BuildKit::start(lab, directory, |registry| mirror(lab, registry), "auto", "");
        let dockerfile = format!(
            "FROM {CORP}/{APP}:1 AS company\nFROM {CORP}/{APP}:zstd AS company-zstd\n\
             FROM {HUB}/{APP}:1 AS hub\nFROM {HUB}/{APP}:zstd\n\
             COPY --from=company /etc/marker /etc/1\nCOPY --from=company-zstd /etc/marker /etc/2\n\
             COPY --from=hub /etc/marker /etc/3\nRUN cat /etc/1 /etc/2 /etc/3 /etc/marker > /etc/all\n"
        );
        let context = write_context(directory, &dockerfile);
        let out = directory.join("out");
        buildkit.build(&context, &format!("type=local,dest={}", out.display()));
        let all = fs::read_to_string(out.join("etc/all")).expect("what the build wrote");
        assert_eq!(all, "1 of the company\nzstd of the company\n1 of the hub\nzstd of the hub\n");
    });
}
