//! The faults of the matrix in the upstream, the store and wharf, and their undoing.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use testkit::{
    Auth, Behaviour, Door, Ending, Endpoint, FakeRegistry, Fault, Gate, Kind, RequestRecord, Rule, Scripted,
};
use tokio::runtime::Runtime;

use crate::http;
use crate::image::{Blob, Image, digest};
use crate::lab::wharf_program;
use crate::process::{Process, Surroundings, wait_until};

use super::row::Row;

/// The offset of the fault in the layer: after the bytes that wharf verifies before the first byte, and
/// before the tail that it keeps back.
pub(crate) const CUT: u64 = 300_000;
/// The size of the file in each image, which is nearly that of its layer.
pub(crate) const FILE_BYTES: usize = 600_000;
/// The tag of every image.
pub(crate) const TAG: &str = "1";
/// A registry without pulls, for rows in which another registry has a fault.
pub(crate) const NEIGHBOUR: &str = "neighbour.test";
/// The room on the small disk.
const SMALL_DISK: &str = "300k";

/// The wharf of one column.
pub(crate) struct Wharf {
    surroundings: Arc<Surroundings>,
    directory: PathBuf,
    pub(crate) public: SocketAddr,
    process: Option<Process>,
    is_ending: bool,
}

impl Wharf {
    /// A wharf for `wharf.toml` in `directory`, not yet started.
    pub(crate) fn new(surroundings: Arc<Surroundings>, directory: &Path, public: SocketAddr) -> Self {
        let small_disk = small_disk(directory);
        fs::create_dir(&small_disk).expect("the directory is created");
        Self { surroundings, directory: directory.to_owned(), public, process: None, is_ending: false }
    }

    /// Starts it again if it was killed or stopped.
    pub(crate) fn start(&mut self) {
        if std::mem::take(&mut self.is_ending) {
            self.process = None;
        }
        if self.process.is_some() {
            return;
        }
        // The small disk is mounted in the mount namespace of this process, and ends with it.
        let mount = format!("mount -t tmpfs -o size={SMALL_DISK},mode=700 tmpfs \"$0\"; exec \"$@\"");
        let mut command = self.surroundings.command("sh");
        command.arg("-ceu").arg(mount).arg(small_disk(&self.directory)).arg(wharf_program());
        command.args(["serve", "--config"]).arg(self.directory.join("wharf.toml"));
        let mut process = Process::start(&mut command, self.directory.join("wharf.log"));
        process.wait_ready(|_| http::get(self.public, "/readyz").ok().filter(|answer| answer.status == 200));
        self.process = Some(process);
    }

    /// The last lines of its log about `repository` since its start.
    pub(crate) fn lines_about(&self, repository: &str) -> String {
        let log = self.process.as_ref().map(Process::log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(repository)).collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Whether it serves all of `image` as the tag of this row.
    pub(crate) fn serves(&self, row: &Row, image: &Image) -> bool {
        let path = format!("/v2/{}/{}", row.registry(), row.repository());
        let has = |target: String, blob: &Blob| {
            let answer = http::get(self.public, &target);
            answer.is_ok_and(|answer| {
                answer.status == 200 && digest(&mut answer.body.as_slice()) == blob.digest
            })
        };
        has(format!("{path}/manifests/{TAG}"), &image.manifest)
            && image.blobs.iter().all(|blob| has(format!("{path}/blobs/{}", blob.digest), blob))
    }
}

/// The root of the registry on the small disk.
pub(crate) fn small_disk(directory: &Path) -> PathBuf {
    directory.join("small-disk")
}

/// One cell of the matrix during its run.
pub(crate) struct Bench<'a> {
    row: &'a Row,
    images: &'a Images,
    wharf: &'a mut Wharf,
    root: PathBuf,
    runtime: &'a Runtime,
    upstream: &'a FakeRegistry,
    neighbour: &'a FakeRegistry,
    scripted: Vec<Scripted>,
    pause: Gate,
    waiting: Vec<TcpStream>,
    is_tag_moved: bool,
}

/// The image of a row, and the image of its tag after the tag has moved.
pub(crate) struct Images {
    pub(crate) image: Image,
    pub(crate) other: Image,
}

impl<'a> Bench<'a> {
    /// Puts the images upstream, and one into wharf if the row has it stored; there is no fault yet.
    pub(crate) fn new(
        row: &'a Row,
        images: &'a Images,
        wharf: &'a mut Wharf,
        root: PathBuf,
        runtime: &'a Runtime,
        upstream: &'a FakeRegistry,
        neighbour: &'a FakeRegistry,
    ) -> Self {
        let (scripted, waiting) = (Vec::new(), Vec::new());
        let pause = Gate::new();
        let is_tag_moved = false;
        let bench = Self {
            row,
            images,
            wharf,
            root,
            runtime,
            upstream,
            neighbour,
            scripted,
            pause,
            waiting,
            is_tag_moved,
        };
        for image in [&images.other, &images.image] {
            for blob in &image.blobs {
                upstream.put_blob(blob.bytes());
            }
            let manifest = &image.manifest;
            upstream.put_manifest(&row.repository(), Some(TAG), manifest.media_type, manifest.bytes());
        }
        upstream.change(|all| *all = behaviour(row));
        if row.held {
            assert!(bench.wharf.serves(row, &images.image), "wharf holds the image before");
        }
        bench
    }

    /// Whether the other image is as valid as the first.
    pub(crate) fn may_be_other(&self) -> bool {
        self.is_tag_moved
    }

    /// Ends the fault: the upstream is as before, and wharf runs.
    pub(crate) fn undo(mut self) {
        for scripted in self.scripted.drain(..) {
            scripted.remove();
        }
        self.pause.release();
        self.upstream.change(|all| *all = behaviour(self.row));
        for endpoint in [Endpoint::Registry, Endpoint::Token, Endpoint::Cdn] {
            self.set_door(endpoint, Door::Open);
        }
        self.runtime.block_on(self.neighbour.set_door(Endpoint::Registry, Door::Open));
        self.upstream.move_tag(&self.row.repository(), TAG, &self.images.image.manifest.digest);
        self.wharf.start();
    }
}

/// Faults of the upstream.
impl Bench<'_> {
    pub(crate) fn spoil(&mut self, rule: Rule) {
        self.scripted.push(self.upstream.script(rule));
    }

    /// A rule for the layer of this image.
    pub(crate) fn layer(&self, fault: Fault) -> Rule {
        Rule::new(Kind::GetBlob, fault).reference(&self.layer_blob().digest)
    }

    pub(crate) fn layer_size(&self) -> u64 {
        self.layer_blob().size
    }

    pub(crate) fn spoil_config(&mut self, fault: Fault) {
        self.spoil(Rule::new(Kind::GetBlob, fault).reference(&self.images.image.config().digest));
    }

    /// The first answers of each kind about manifests.
    pub(crate) fn spoil_manifests(&mut self, fault: Fault, times: u64) {
        for kind in [Kind::HeadManifest, Kind::GetManifest] {
            self.spoil(Rule::new(kind, fault.clone()).times(times));
        }
    }

    /// Every answer.
    pub(crate) fn spoil_all(&mut self, fault: Fault) {
        for kind in [Kind::Version, Kind::HeadManifest, Kind::GetManifest, Kind::HeadBlob, Kind::GetBlob] {
            self.spoil(Rule::new(kind, fault.clone()));
        }
    }

    /// No byte of the layer arrives before the fault is undone.
    pub(crate) fn stall_layer(&mut self) {
        self.spoil(self.layer(Fault::Stall(self.pause.clone())));
    }

    /// Once, the layer stops in the middle.
    pub(crate) fn pause_layer(&mut self) {
        self.spoil(self.layer(Fault::PauseAt(CUT, self.pause.clone())).once());
    }

    pub(crate) fn wait_for_pause(&self) {
        self.runtime.block_on(self.pause.reached(1));
    }

    pub(crate) fn resume_layer(&self) {
        self.pause.release();
    }

    /// Returns when the config has left the upstream.
    pub(crate) fn wait_for_config(&self) {
        let config = &self.images.image.config().digest;
        let has_left = |record: &RequestRecord| {
            record.reference.as_ref() == Some(config) && record.ending == Some(Ending::Whole)
        };
        self.runtime.block_on(
            self.upstream.log().wait_until("the config was sent", |log| log.count_where(has_left) > 0),
        );
    }

    pub(crate) fn set_door(&self, endpoint: Endpoint, door: Door) {
        self.runtime.block_on(self.upstream.set_door(endpoint, door));
    }

    pub(crate) fn throttle(&self) {
        self.upstream.change(|all| {
            all.throttled = true;
            all.retry_after = Some("1".to_owned());
        });
    }

    /// The issued tokens are invalid, and there are no new ones.
    pub(crate) fn end_tokens(&self) {
        self.upstream.revoke_tokens();
        self.set_door(Endpoint::Token, Door::Refuse);
    }

    pub(crate) fn expire_signatures(&self) {
        self.upstream.expire_signatures();
    }

    /// The manifest differs from the one that a HEAD of the tag names.
    pub(crate) fn move_tag_after_head(&mut self) {
        self.is_tag_moved = true;
        let (repository, digest) = (self.row.repository(), self.images.other.manifest.digest.clone());
        let moved = Fault::MoveTag { repository, tag: TAG.to_owned(), digest };
        self.spoil(Rule::new(Kind::HeadManifest, moved).once());
    }

    /// Another registry accepts connections and never answers, and this many clients wait for it.
    pub(crate) fn hang_neighbour(&mut self, clients: usize) {
        self.runtime.block_on(self.neighbour.set_door(Endpoint::Registry, Door::Mute));
        for number in 0..clients {
            let mut stream = TcpStream::connect(self.wharf.public).expect("wharf accepts");
            let target = format!("/v2/{NEIGHBOUR}/library/any/manifests/{number}");
            let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("wharf reads");
            self.waiting.push(stream);
        }
    }

    fn layer_blob(&self) -> &Blob {
        self.images.image.blobs.last().expect("an image has a layer")
    }
}

/// Faults of wharf and of its store.
impl Bench<'_> {
    pub(crate) fn kill_wharf(&mut self) {
        if let Some(mut process) = self.wharf.process.take() {
            process.crash();
        }
    }

    pub(crate) fn tell_wharf_to_stop(&mut self) {
        if let Some(process) = &self.wharf.process {
            process.terminate();
            self.wharf.is_ending = true;
        }
    }

    pub(crate) fn remove_root(&self) {
        // Content served before may not be stored yet.
        self.stored("blobs", self.layer_blob());
        let away = self.root.with_extension("away");
        fs::rename(&self.root, away).expect("the root is moved away");
    }

    /// wharf is killed and started again, so that it checks all stored content.
    pub(crate) fn flip_stored_layer(&mut self) {
        let path = self.stored("blobs", self.layer_blob());
        self.kill_wharf();
        flip_bit(&path, CUT);
        self.wharf.start();
    }

    /// As before.
    pub(crate) fn cut_stored_layer(&mut self) {
        let path = self.stored("blobs", self.layer_blob());
        self.kill_wharf();
        let file = File::options().write(true).open(path).expect("the stored layer is opened");
        file.set_len(CUT).expect("the stored layer is cut");
        self.wharf.start();
    }

    pub(crate) fn flip_stored_manifest(&self) {
        flip_bit(&self.stored("manifests", &self.images.image.manifest), 9);
    }

    /// Its path in the store (ARCHITECTURE.md, "On disk"). It exists soon after the answer has ended.
    fn stored(&self, kind: &str, blob: &Blob) -> PathBuf {
        let path = self.root.join(kind).join("sha256").join(&blob.hex()[..2]).join(blob.hex());
        let what = format!("{} is stored", path.display());
        wait_until(&what, Duration::from_secs(10), || path.exists().then(|| path.clone()))
    }
}

/// Like Docker Hub, without its tokens and redirects unless the row has them.
fn behaviour(row: &Row) -> Behaviour {
    let mut behaviour = Behaviour { auth: Auth::Anonymous, redirects: false, ..Behaviour::default() };
    (row.behaviour)(&mut behaviour);
    behaviour
}

fn flip_bit(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).expect("what is stored is opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("the byte is read");
    file.write_all_at(&[byte[0] ^ 1], at).expect("the byte is written");
}
