//! Stores at their caps: whatever `wharf list` shows, real clients pull without the registries.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::containerd::{Containerd, HostsForm};
use crate::docker::Docker;
use crate::image::{Form, Image, digest, for_two_platforms, runnable};
use crate::lab::{CORP, HUB, Lab, Upstream};
use crate::podman::Podman;
use crate::process::{available, wait_until};
use crate::skopeo::Skopeo;

/// The cap of each registry: a third of what its clients pull.
const CAP_BYTES: u64 = 5_000_000;

/// Images of each registry. Each has a layer of about a megabyte, which every fourth shares with another.
const IMAGE_COUNT: usize = 12;

/// Lives of the program; `WHARF_CHURN_MINUTES` makes it live again and again for so long.
const LIVES: u64 = 5;

/// Clients that pull at a time.
const CLIENT_COUNT: usize = 6;

const WITHIN: Duration = Duration::from_secs(120);

/// An image that `wharf list` shows, whose platform of this machine is held.
struct Listed {
    registry: &'static str,
    repository: String,
    tags: Vec<String>,
    digest: String,
    is_whole: bool,
}

impl Listed {
    /// `None`: some parts of it are missing, and the list says so.
    fn read(image: &Value) -> Option<Self> {
        let text = |key: &str| image[key].as_str().expect("a text").to_owned();
        let held = image["platforms"]["held"].as_array().expect("platforms");
        let is_whole = image["whole"] == true;
        let tags = image["tags"].as_array().expect("tags").iter();
        (is_whole || held.iter().any(|platform| platform == "linux/amd64")).then(|| Self {
            registry: if image["registry"] == HUB { HUB } else { CORP },
            repository: text("repository"),
            tags: tags.map(|tag| tag.as_str().expect("a text").to_owned()).collect(),
            digest: text("digest"),
            is_whole,
        })
    }

    /// Its names by each tag and by its digest.
    fn references(&self) -> Vec<String> {
        let name = format!("{}/{}", self.registry, self.repository);
        let tags = self.tags.iter().map(|tag| format!("{name}:{tag}"));
        tags.chain([format!("{name}@{}", self.digest)]).collect()
    }
}

#[test]
fn f37_real_clients_pull_whatever_the_list_shows_after_evictions_and_kills_with_the_registries_gone() {
    if !available(&["skopeo", "busybox"]) {
        return;
    }
    let mut lab = Lab::start_with(&format!("max_size = \"{CAP_BYTES}B\""));
    let names = push_all(&lab);
    churn(&mut lab, &names);
    lab.crash_and_restart_over(make_old);
    let listed = wait_until("wharf keeps to the caps", WITHIN, || kept_to_caps(&lab));
    lab.hub.stop();
    lab.corp.stop();
    let images: Vec<_> = listed.iter().filter_map(Listed::read).collect();
    println!("{} images are listed, {} of them whole for this machine", listed.len(), images.len());
    assert!(images.len() >= 4, "{listed:#?}");
    pull_each(&lab, &images);
}

/// Pushes images that share layers, in several forms and for several platforms; returns their names.
fn push_all(lab: &Lab) -> Vec<String> {
    let mut names = Vec::new();
    for (upstream, registry) in [(Upstream::Hub, HUB), (Upstream::Corp, CORP)] {
        let mut before: Option<Image> = None;
        for number in 0..IMAGE_COUNT {
            let (repository, tag) = (format!("library/app{}", number % 3), format!("v{number}"));
            let marker = format!("{number} of {registry}");
            names.push(format!("{registry}/{repository}:{tag}"));
            if number % 4 == 3 {
                let (index, platforms) = for_two_platforms(&marker);
                for image in &platforms {
                    lab.registry(upstream).push(&repository, &image.manifest.digest, image);
                }
                lab.registry(upstream).push_manifest(&repository, &tag, &index);
                continue;
            }
            let form = if number % 2 == 0 { Form::Docker } else { Form::Oci };
            let image = match &before {
                Some(before) if number % 4 == 1 => before.with_command(&["/bin/cat", "/bin/marker"]),
                _ => runnable(form, &marker),
            };
            lab.registry(upstream).push(&repository, &tag, &image);
            before = Some(image);
        }
    }
    names
}

/// Clients pull images at random while wharf is killed and started again over a store of old images, so that
/// each life removes some of them.
fn churn(lab: &mut Lab, names: &[String]) {
    let seed = number_in("WHARF_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("a churn with WHARF_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let time = number_in("WHARF_CHURN_MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let begun = Instant::now();
    let (mut life, mut evicted) = (0, 0);
    while time.map_or(life < LIVES, |time| begun.elapsed() < time) {
        let directory = lab.fresh_directory("life");
        let answer_count = lab.count("wharf_requests_total", "kind=\"blob\"") + rng.u64(5..60);
        let skopeo = Skopeo::new(lab, &directory);
        let mut copies = Vec::new();
        wait_until("clients have got some blobs", WITHIN, || {
            copies.retain_mut(|copy: &mut crate::process::Process| copy.is_running());
            while copies.len() < CLIENT_COUNT {
                let name = &names[rng.usize(..names.len())];
                copies.push(skopeo.start_copy(name, &format!("copy-{}", rng.u64(..))));
            }
            (lab.count("wharf_requests_total", "kind=\"blob\"") >= answer_count).then_some(())
        });
        evicted += lab.count("wharf_evicted_images_total", "reason=\"cap\"");
        drop(copies);
        fs::remove_dir_all(&directory).expect("the copies are given back");
        lab.crash_and_restart_over(make_old);
        life += 1;
    }
    println!("{life} lives, {evicted} images were removed");
    assert!(evicted > 0, "the caps made nothing go");
}

fn number_in(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// Makes all files look as if they had been used hours ago, so that everything may go.
fn make_old(cache: &Path) {
    let old = SystemTime::now() - Duration::from_secs(7200);
    for registry in [HUB, CORP] {
        // The times of the files count where there is no note of uses.
        let _ = fs::remove_file(cache.join(registry).join("notes/uses"));
    }
    let mut ahead = vec![cache.to_owned()];
    while let Some(directory) = ahead.pop() {
        for entry in fs::read_dir(directory).expect("a directory is listed") {
            let path = entry.expect("an entry is read").path();
            if path.is_dir() {
                ahead.push(path);
            } else {
                fs::File::open(&path).and_then(|file| file.set_modified(old)).expect("its time is set");
            }
        }
    }
}

/// The list, once the stores are below their caps.
fn kept_to_caps(lab: &Lab) -> Option<Vec<Value>> {
    let listed = lab.listed()?;
    let is_below = |name| {
        let of =
            |kind: &str| lab.count("wharf_stored_bytes", &format!("{{registry=\"{name}\",kind=\"{kind}"));
        of("blob") + of("manifest") <= CAP_BYTES
    };
    [HUB, CORP].into_iter().all(is_below).then_some(listed)
}

/// Each client that is installed pulls each image, and has the digest that the list shows.
fn pull_each(lab: &Lab, images: &[Listed]) {
    let directory = lab.fresh_directory("skopeo");
    let skopeo = Skopeo::new(lab, &directory);
    for image in images {
        for (number, reference) in image.references().iter().enumerate() {
            assert_eq!(digest(&mut skopeo.raw_manifest(reference).as_slice()), image.digest, "{reference}");
            if image.is_whole {
                // All platforms; skopeo verifies every digest.
                skopeo.copy(reference, &format!("{}-{number}", image.digest.replace(':', "-")));
            }
        }
    }
    if available(&["podman", "runc"]) {
        let directory = lab.fresh_directory("podman");
        let podman = Podman::new(lab, &directory);
        for reference in images.iter().flat_map(Listed::references) {
            podman.pull(&reference);
        }
    }
    if available(&["containerd", "ctr"]) {
        let directory = lab.fresh_directory("containerd");
        let containerd = Containerd::start(lab, &directory, HostsForm::HostPerRegistry);
        for image in images {
            for reference in image.references() {
                containerd.pull(&reference);
                assert_eq!(containerd.target(&reference), image.digest, "{reference}");
            }
        }
    }
    if available(&["/usr/bin/docker", "dockerd", "containerd"]) {
        let directory = lab.fresh_directory("docker");
        let docker = Docker::start(lab, &directory);
        for image in images {
            for reference in image.references() {
                let name = reference.strip_prefix(HUB).map_or_else(
                    || reference.replacen(CORP, &lab.vhost(CORP), 1),
                    |name| name.trim_start_matches("/library/").to_owned(),
                );
                docker.pull(&name);
                let pulled = docker.repository_digest(&name);
                assert!(pulled.ends_with(&image.digest), "{name}: {pulled} and not {}", image.digest);
            }
        }
    }
}
