//! Lazy pulls: the stargz snapshotter mounts a layer and fetches what is read of it. BuildKit has it built in, and so has
//! the containerd that `.ci/modern` builds for it, as k3s has.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::containerd::HostsForm;
use crate::image::{Form, marked};
use crate::lab::{HUB, Lab};
use crate::process::available;
use crate::pulls::{APP, push_both};

use super::builds::{self, BuildKit, write_context};
use super::built;
use super::nodes::{self, Node, push_pause};

const LAZY: &str = "team/lazy";
/// The bulk of the layer, of which nothing is read. Nothing makes it smaller.
const BULK_BYTES: usize = 24 << 20;
/// Nothing in advance and nothing in the background: what is asked for was read.
const READ_ONLY: &str = "noprefetch = true\nno_background_fetch = true\n";
/// What a pull may take of a layer of which it reads one small file: the table of contents and some chunks.
const LAZY_BYTES_MAX: u64 = 1 << 20;

/// What reads of the image: it needs a bit of each of its layers.
const READ: [&str; 3] = ["/bin/cat", "/etc/marker", "/small"];
const SAYS: &str = "1 of the hub\nsmall\n";

#[test]
fn a_lazy_build_takes_small_ranges_and_costs_the_registry_one_transfer() {
    if !built(&builds::PROGRAMS) || !can_mount() {
        return;
    }
    let mut lab = Lab::start();
    pull_lazily(&mut lab, |lab, directory| {
        let settings = format!("[worker.oci.stargzSnapshotter]\n{READ_ONLY}");
        let buildkit = BuildKit::start(lab, directory, |registry| lab.vhost(registry), "stargz", &settings);
        let read = READ.join(" ");
        let dockerfile = format!(
            "FROM {HUB}/{LAZY}:1 AS lazy\nRUN {read} > /both\nFROM scratch\nCOPY --from=lazy /both /\n"
        );
        let (context, out) = (write_context(directory, &dockerfile), directory.join("out"));
        buildkit.build(&context, &format!("type=local,dest={}", out.display()));
        assert_eq!(fs::read_to_string(out.join("both")).expect("what was read"), SAYS);
    });
}

#[test]
fn a_lazy_pod_takes_small_ranges_and_costs_the_registry_one_transfer() {
    let needed = [&builds::PROGRAMS[..], &nodes::PROGRAMS, &["containerd-stargz"]].concat();
    if !built(&needed) || !can_mount() {
        return;
    }
    let mut lab = Lab::start();
    let pause = push_pause(&mut lab);
    pull_lazily(&mut lab, |lab, directory| {
        let hosts = directory.join("certs.d");
        let settings = format!(
            "{pause}[plugins.\"io.containerd.cri.v1.images\"]\nsnapshotter = \"stargz\"\n\
             disable_snapshot_annotations = false\n\
             [plugins.\"io.containerd.snapshotter.v1.stargz\"]\n{READ_ONLY}\
             [plugins.\"io.containerd.snapshotter.v1.stargz\".registry]\nconfig_path = \"{}\"\n",
            hosts.display()
        );
        let form = HostsForm::DefaultWithNamespace;
        let node = Node::start(lab, directory, "containerd-stargz", form, &settings);
        let pod = node.start_pod();
        assert_eq!(node.run(&pod, &format!("{HUB}/{LAZY}:1"), &READ), SAYS);
        node.remove_pod(&pod);
    });
}

fn can_mount() -> bool {
    let opened = File::options().read(true).write(true).open("/dev/fuse");
    if let Err(error) = &opened {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        writeln!(io::stderr(), "skipped: {test}: /dev/fuse cannot be opened: {error}").ok();
    }
    opened.is_ok() && available(&["runc", "busybox"])
}

/// Pulls an image of eStargz layers cold, warm and with the registries gone, and looks at what was asked for of the
/// layer that is nearly all bulk.
fn pull_lazily(lab: &mut Lab, pull: impl Fn(&Lab, &Path)) {
    push_both(lab, "1", Form::Oci);
    push_lazy(lab);
    let sizes = lab.hub.blobs_of(LAZY, "1");
    let (bulk, size) = sizes.iter().max_by_key(|(_, size)| **size).expect("it has layers");
    assert!(*size > BULK_BYTES as u64);
    for round in ["cold", "warm", "offline"] {
        if round == "offline" {
            lab.wait_until_fills_end();
            lab.hub.stop();
            lab.corp.stop();
        }
        let before = lab.answers_about(bulk).len();
        pull(lab, &lab.fresh_directory(round));
        let answers = &lab.answers_about(bulk)[before..];
        let bytes: u64 = answers.iter().map(|(_, bytes)| bytes).sum();
        println!("{round}: {} answers with {bytes} of {size} bytes: {answers:?}", answers.len());
        assert!(!answers.is_empty(), "{round}: it was read through wharf");
        assert!(answers.iter().all(|(status, _)| *status == 206), "{round}: ranges alone: {answers:?}");
        assert!(bytes < LAZY_BYTES_MAX, "{round}: {bytes} bytes were read");
    }
    // Small ranges that were far from what was coming are fetched twice, and nothing else.
    let sent = lab.hub.blob_bytes_sent()[bulk];
    println!("the registry has sent {sent} of {size} bytes");
    assert!((*size..*size + LAZY_BYTES_MAX).contains(&sent), "{sent} of {size}");
}

/// Builds the image with eStargz layers and pushes it to the registry itself.
fn push_lazy(lab: &Lab) {
    let directory = lab.fresh_directory("push");
    let buildkit = BuildKit::start(lab, &directory, |registry| lab.vhost(registry), "auto", "");
    let context = write_context(&directory, &format!("FROM {HUB}/{APP}:1\nCOPY files/ /\n"));
    fs::create_dir(context.join("files")).expect("created");
    fs::write(context.join("files/bulk"), marked("bulk", BULK_BYTES)).expect("written");
    fs::write(context.join("files/small"), "small\n").expect("written");
    let output = format!(
        "type=image,name={}/{LAZY}:1,push=true,compression=estargz,force-compression=true,oci-mediatypes=true",
        lab.hub.address
    );
    buildkit.build(&context, &output);
}
