//! A node of Kubernetes: containerd 2 with its CRI, asked by crictl as the kubelet asks it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::containerd::{Containerd, HostsForm};
use crate::image::{Blob, Form, Image, runnable};
use crate::lab::{CORP, HUB, Lab, Upstream};
use crate::process::{available, wait_until};
use crate::pulls::{APP, push_both};

use super::{built, run};

pub(super) const PROGRAMS: [&str; 4] = ["containerd", "containerd-shim-runc-v2", "ctr", "crictl"];
/// The image of the container that holds a pod together.
const PAUSE: &str = "team/pause";
const CONTAINER_WITHIN: Duration = Duration::from_secs(60);
/// The network of the machine, which needs no network plugin.
const NODE_NETWORK: u8 = 2;

/// A running containerd, and the directory where pods write their logs.
pub(super) struct Node<'a> {
    containerd: Containerd<'a>,
    lab: &'a Lab,
    directory: PathBuf,
}

impl<'a> Node<'a> {
    /// Starts `program`, a containerd, with further lines in its settings.
    pub(super) fn start(
        lab: &'a Lab,
        directory: &Path,
        program: &str,
        form: HostsForm,
        settings: &str,
    ) -> Self {
        let containerd = Containerd::start_with_cri(lab, directory, program, form, settings);
        Self { containerd, lab, directory: directory.to_owned() }
    }

    fn pull(&self, reference: &str) {
        self.crictl(&["pull", reference]);
    }

    /// Starts a pod and returns its id and the file that describes it.
    pub(super) fn start_pod(&self) -> (String, String) {
        let pod = json!({ "metadata": { "name": "pod", "namespace": "default", "uid": "pod", "attempt": 1 },
            "log_directory": self.directory, "linux": network() });
        let file = self.write("pod.json", &pod);
        (self.crictl(&["runp", &file]), file)
    }

    /// Pulls the image, and returns the output of its command, or of the given one.
    pub(super) fn run(&self, (id, file): &(String, String), reference: &str, command: &[&str]) -> String {
        let name = reference.replace(['/', ':'], "-");
        let log = format!("{name}.log");
        let container = json!({ "metadata": { "name": name }, "image": { "image": reference },
            "command": command, "log_path": log, "linux": network() });
        let container = self.write(&format!("{name}.json"), &container);
        let container = self.crictl(&["create", "--with-pull", id, &container, file]);
        self.crictl(&["start", &container]);
        let has_ended = || {
            let status: Value = serde_json::from_str(&self.crictl(&["inspect", &container])).expect("JSON");
            (status["status"]["state"] == "CONTAINER_EXITED").then_some(())
        };
        wait_until("the container ends", CONTAINER_WITHIN, has_ended);
        let log = fs::read_to_string(self.directory.join(log)).expect("the log is read");
        // Time, stream and a letter stand before each line.
        log.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).map(|line| format!("{line}\n")).collect()
    }

    pub(super) fn remove_pod(&self, (id, _): &(String, String)) {
        self.crictl(&["rmp", "--force", id]);
    }

    /// The image of that name has the digest of its config, and was pulled by the digest of its manifest.
    fn assert_holds(&self, reference: &str, image: &Image) {
        let inspected: Value = serde_json::from_str(&self.crictl(&["inspecti", reference])).expect("JSON");
        let status = &inspected["status"];
        assert_eq!(status["id"], *image.config().digest, "{reference}");
        let repository = reference.rsplit_once(':').expect("a tag").0;
        let digests = status["repoDigests"].as_array().expect("a list");
        let wanted = Value::from(format!("{repository}@{}", image.manifest.digest));
        assert!(digests.contains(&wanted), "{digests:?} has no {wanted}");
    }

    fn crictl(&self, arguments: &[&str]) -> String {
        let socket = format!("unix://{}", self.containerd.socket.display());
        let endpoints = ["--runtime-endpoint", &socket, "--image-endpoint", &socket, "--timeout", "60s"];
        run(&self.lab.surroundings, "crictl", &[&endpoints[..], arguments].concat())
    }

    fn write(&self, name: &str, content: &Value) -> String {
        let path = self.directory.join(name);
        fs::write(&path, content.to_string()).expect("written");
        path.display().to_string()
    }
}

fn network() -> Value {
    json!({ "security_context": { "namespace_options": { "network": NODE_NETWORK } } })
}

/// Pushes the image that holds a pod together, and returns the settings that name it.
pub(super) fn push_pause(lab: &mut Lab) -> String {
    let pause = runnable(Form::Oci, "pause").with_command(&["/bin/busybox", "tail", "-f", "/dev/null"]);
    lab.push(Upstream::Corp, PAUSE, "1", &pause);
    format!("[plugins.\"io.containerd.cri.v1.images\".pinned_images]\nsandbox = \"{CORP}/{PAUSE}:1\"\n")
}

#[test]
fn the_kubernetes_interface_of_containerd_pulls_by_namespace_parameter() {
    pull_with_crictl(HostsForm::DefaultWithNamespace, "");
}

#[test]
fn the_kubernetes_interface_of_containerd_pulls_by_host_name() {
    pull_with_crictl(HostsForm::HostPerRegistry, "");
}

#[test]
fn the_kubernetes_interface_of_containerd_pulls_by_path() {
    pull_with_crictl(HostsForm::PathPerRegistry, "");
}

/// containerd 2 can fetch one layer over several connections.
#[test]
fn the_kubernetes_interface_of_containerd_fetches_a_layer_in_parallel() {
    let settings = "[plugins.\"io.containerd.transfer.v1.local\"]\nmax_concurrent_downloads = 4\n\
                    concurrent_layer_fetch_buffer = 262144\n";
    let Some((lab, layer)) = pull_with_crictl(HostsForm::DefaultWithNamespace, settings) else { return };
    let answers = lab.answers_about(&layer.digest);
    println!("a layer of {} bytes came in {answers:?}", layer.size);
    // Each of three pulls in pieces of the buffer's size.
    let parts = answers.iter().filter(|(status, _)| *status == 206).count() as u64;
    assert!(parts >= 3 * (layer.size / 262_144), "{answers:?}");
}

/// Pulls three times, and returns the lab and the largest layer that came from the Hub.
fn pull_with_crictl(form: HostsForm, settings: &str) -> Option<(Lab, Blob)> {
    if !built(&PROGRAMS) || !available(&["busybox", "zstd"]) {
        return None;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    let (hub_zstd, corp_zstd) = push_both(&mut lab, "zstd", Form::OciZstd);
    lab.pull_three_times(|lab, directory| {
        let node = Node::start(lab, directory, "containerd", form, settings);
        for (registry, tag, image) in
            [(HUB, "1", &hub), (CORP, "1", &corp), (HUB, "zstd", &hub_zstd), (CORP, "zstd", &corp_zstd)]
        {
            let reference = format!("{registry}/{APP}:{tag}");
            node.pull(&reference);
            node.assert_holds(&reference, image);
        }
    });
    let layer = hub.blobs.iter().max_by_key(|blob| blob.size).expect("it has layers").clone();
    Some((lab, layer))
}

/// As the kubelet does it: the image that holds the pod together comes through wharf as well.
#[test]
fn a_pod_runs_from_images_that_came_through_wharf() {
    if !built(&PROGRAMS) || !available(&["runc", "busybox"]) {
        return;
    }
    let mut lab = Lab::start();
    let (hub, corp) = push_both(&mut lab, "1", Form::Oci);
    let settings = push_pause(&mut lab);
    lab.pull_three_times(|lab, directory| {
        let node = Node::start(lab, directory, "containerd", HostsForm::DefaultWithNamespace, &settings);
        let pod = node.start_pod();
        for (registry, image, marker) in [(HUB, &hub, "1 of the hub\n"), (CORP, &corp, "1 of the company\n")]
        {
            let reference = format!("{registry}/{APP}:1");
            assert_eq!(node.run(&pod, &reference, &[]), marker);
            node.assert_holds(&reference, image);
        }
        node.remove_pod(&pod);
    });
}
