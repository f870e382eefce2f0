//! Lazy pulls: the stargz snapshotter mounts a layer and fetches the parts that are read. It is a daemon next
//! to containerd, or built into containerd as k3s has it, or into BuildKit.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::containerd::HostsForm;
use crate::image::{Form, marked};
use crate::lab::{CORP, HUB, Lab};
use crate::process::available;
use crate::pulls::{APP, push_both};

use super::builds::{self, BuildKit, write_context};
use super::built;
use super::nodes::{self, Node, push_pause};

const LAZY: &str = "team/lazy";
/// The bulk of the layer, incompressible and never read. It lies before and after a small file.
const BULK_BYTES: usize = 24 << 20;
/// No prefetch and no background fetch: every request follows a read.
const READ_ONLY: &str = "noprefetch = true\nno_background_fetch = true\n";
/// The allowed bytes of a layer of which one small file is read: the table of contents and some chunks.
const LAZY_BYTES_MAX: u64 = 1 << 20;

/// The command of the image: it reads a part of each layer, and the middle and the end of the one with the
/// bulk.
const READ: [&str; 4] = ["/bin/cat", "/etc/marker", "/2-small", "/4-small"];
const SAYS: &str = "1 of the hub\nsmall, in the middle\nsmall, at the end\n";

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

/// The snapshotter as a daemon next to containerd, configured for wharf as in docs/how-to/clients.md.
#[test]
fn a_lazy_pod_with_the_snapshotter_beside_containerd_takes_small_ranges() {
    let needed = [&builds::PROGRAMS[..], &nodes::PROGRAMS, &["stargz"]].concat();
    if !built(&needed) || !can_mount() {
        return;
    }
    let mut lab = Lab::start();
    let pause = push_pause(&mut lab);
    pull_lazily(&mut lab, |lab, directory| {
        let program = write_containerd_with_stargz(lab, directory);
        let at = directory.display();
        let settings = format!(
            "{pause}[plugins.\"io.containerd.cri.v1.images\"]\nsnapshotter = \"stargz\"\n\
             disable_snapshot_annotations = false\n\
             [proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"{at}/stargz.sock\"\n\
             [proxy_plugins.stargz.exports]\nroot = \"{at}/stargz\"\n"
        );
        let form = HostsForm::DefaultWithNamespace;
        let node = Node::start(lab, directory, &program, form, &settings);
        let pod = node.start_pod();
        assert_eq!(node.run(&pod, &format!("{HUB}/{LAZY}:1"), &READ), SAYS);
        node.remove_pod(&pod);
    });
}

/// A program that starts both in one mount namespace, because containerd must see the snapshotter's mounts.
fn write_containerd_with_stargz(lab: &Lab, directory: &Path) -> String {
    let mut settings = READ_ONLY.to_owned();
    for registry in [HUB, CORP] {
        let host = lab.vhost(registry);
        settings +=
            &format!("[[resolver.host.\"{registry}\".mirrors]]\nhost = \"{host}\"\ninsecure = true\n");
    }
    fs::write(directory.join("stargz.toml"), settings).expect("written");
    let program = directory.join("containerd-with-stargz");
    let at = directory.display();
    let script = format!(
        "#!/bin/sh\nstargz {at}/stargz.toml {at}/stargz {at}/stargz.sock &\nexec containerd \"$@\"\n"
    );
    fs::write(&program, script).expect("written");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("it can be run");
    program.display().to_string()
}

fn can_mount() -> bool {
    let opened = File::options().read(true).write(true).open("/dev/fuse");
    if let Err(error) = &opened {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        writeln!(io::stderr(), "skipped: {test}: /dev/fuse cannot be opened: {error}").ok();
    }
    opened.is_ok() && available(&["runc", "busybox"])
}

/// Pulls an image of eStargz layers cold, warm and with the registries gone, and checks the requests for the
/// layer with the bulk.
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
    // Only small ranges far ahead of the transfer are fetched twice.
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
    let half = |marker: &str| marked(marker, BULK_BYTES / 2);
    for (name, content) in [
        ("1-bulk", half("before")),
        ("2-small", b"small, in the middle\n".to_vec()),
        ("3-bulk", half("behind")),
        ("4-small", b"small, at the end\n".to_vec()),
    ] {
        fs::write(context.join("files").join(name), content).expect("written");
    }
    let output = format!(
        "type=image,name={}/{LAZY}:1,push=true,compression=estargz,force-compression=true,oci-mediatypes=true",
        lab.hub.address
    );
    buildkit.build(&context, &output);
}
