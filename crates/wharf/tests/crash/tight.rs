//! Tight places: disks of a few mebibytes, caps that a reload lowers, rules about tags and unused images,
//! pins above the cap, and readers of an image that is removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::process::geteuid;
use testkit::client::{self, Connection};
use testkit::{Endpoint, FakeRegistry, Image, Kind, Program, Starting, TempStore, within};

use crate::WHARF;
use crate::churn::crowd::Crowd;
use crate::churn::ledger::{self, Ledger};
use crate::churn::shelf::{NAMES, Room};
use crate::churn::{Churn, api, listed};
use crate::schedule::Schedule;

const MIB: u64 = 1 << 20;

/// Lives of the program on each kind of disk.
const LIVES: u64 = 5;

/// A small file system of its own, unmounted on drop.
struct SmallDisk {
    directory: TempStore,
}

impl SmallDisk {
    /// `None`: this machine does not let the test mount one.
    fn new(kind: &str) -> Option<Self> {
        if !geteuid().is_root() {
            println!("skipped: only root can mount a {kind}");
            return None;
        }
        let disk = Self { directory: TempStore::new() };
        fs::create_dir(disk.path()).expect("made");
        let path = disk.path();
        let mounted = match kind {
            "tmpfs" => run("mount", &["-t", "tmpfs", "-o", "size=24m", "none", text(&path)]),
            kind => {
                let image = disk.directory.path().join("image");
                // XFS is never smaller than 300 MB.
                let size = if kind == "xfs" { 320 * MIB } else { 24 * MIB };
                fs::File::create(&image).and_then(|file| file.set_len(size)).expect("a sparse file");
                run(&format!("mkfs.{kind}"), &["-q", text(&image)])
                    && run("mount", &["-o", "loop", text(&image), text(&path)])
                    && (size == 24 * MIB || disk.leave(24 * MIB))
            }
        };
        if !mounted {
            println!("skipped: no {kind} can be mounted here");
        }
        mounted.then_some(disk)
    }

    /// Takes all but so many of the free bytes; they are not written.
    fn leave(&self, bytes: u64) -> bool {
        let free = statvfs(self.path()).map(|space| space.f_bavail * space.f_frsize);
        let ballast = fs::File::create(self.path().join("ballast"));
        let (Ok(free), Ok(ballast)) = (free, ballast) else { return false };
        fallocate(&ballast, FallocateFlags::empty(), 0, free.saturating_sub(bytes)).is_ok()
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("disk")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l", text(&self.path())]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain text")
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Lives of a program on a disk that holds a quarter of what clients pull.
async fn churn_on(kind: &str, name: &'static str, room: Room) {
    let Some(disk) = SmallDisk::new(kind) else { return };
    let schedule = Schedule::lasting(name, "WHARF_CHURN_MINUTES", LIVES);
    let mut churn = Churn::new(room, Some(disk.path().join("data")), &mut schedule.rng()).await;
    fs::create_dir(disk.path().join("data")).expect("made");
    for mut cycle in schedule.cycles() {
        churn.live(&mut cycle).await;
    }
    println!("{name}: {:?}", churn.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn s34_a_disk_of_a_few_mebibytes_keeps_its_floor_and_breaks_no_pull() {
    let floor = Room { floor: Some(4 * MIB), ..Room::default() };
    churn_on("tmpfs", "floor on tmpfs", floor).await;
    churn_on("ext4", "floor on ext4", floor).await;
    churn_on("xfs", "floor on XFS", floor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s34_a_full_disk_without_a_floor_breaks_no_pull() {
    churn_on("ext4", "full ext4", Room::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_a_cap_that_a_reload_lowers_under_load_holds_at_once_and_breaks_no_pull() {
    let schedule = Schedule::new("lowered cap", "WHARF_LOWERED", 1);
    let mut rng = schedule.rng();
    let room = Room { caps: [Some(16_000_000), Some(12_000_000)], common: None, floor: None };
    let mut churn = Churn::new(room, None, &mut rng).await;
    let program = churn.start();
    let mut crowd = Crowd::start(&program, &churn.shelf, &mut rng);
    crowd.run_for(Duration::from_millis(800)).await;
    churn.room.caps = [Some(3_000_000), Some(2_000_000)];
    churn.configure();
    let answer = client::request("POST", program.admin, "localhost", "/api/reload", &[]).await;
    assert_eq!(answer.expect("an answer").status, 200);
    crowd.run_for(Duration::from_millis(300)).await;
    assert!(crowd.finish().await > 0);
    program.settle().await;
    let sizes = |ledgers: &[Ledger; 2]| ledgers.each_ref().map(Ledger::bytes);
    let before = sizes(&churn.settled(&program, false).await);
    // Clients used everything in the last ten minutes, so nothing goes, and nothing more comes.
    let mut crowd = Crowd::start(&program, &churn.shelf, &mut rng);
    crowd.run_for(Duration::from_millis(500)).await;
    assert!(crowd.finish().await > 0);
    program.settle().await;
    let after = sizes(&churn.settled(&program, false).await);
    for ((before, after), cap) in before.into_iter().zip(after).zip([3_000_000, 2_000_000]) {
        // Manifests are small and stored nevertheless.
        assert!(after <= before.max(cap) + 100_000, "{before} became {after}, above {cap}");
    }
    program.kill();
    churn.age(&mut rng, |_| true);
    let program = churn.start();
    churn.settled(&program, true).await;
}

/// A registry with images of one repository, pulled in the order of their tags `v0`, `v1`, ...
struct Pulled {
    upstream: FakeRegistry,
    store: TempStore,
    images: Vec<Image>,
}

const REPOSITORY: &str = "team/app";

impl Pulled {
    async fn new(count: u64) -> Self {
        let upstream = FakeRegistry::start_anonymous().await;
        let images: Vec<_> = (0..count).map(|seed| Image::generated(seed, &[700_000, 50_000])).collect();
        for (number, image) in images.iter().enumerate() {
            upstream.put_image(REPOSITORY, &format!("v{number}"), image);
        }
        let pulled = Self { upstream, store: TempStore::new(), images };
        let program = pulled.start("");
        for number in 0..pulled.images.len() {
            pulled.pull(&program, number).await;
        }
        program.settle().await;
        program.kill();
        pulled
    }

    /// Starts the program with further lines for the registry.
    fn start(&self, lines: &str) -> Program {
        let configuration = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = false\n\
             [storage]\nroot = \"{}\"\nmax_size = \"off\"\nfree_min = \"off\"\n[[registry]]\nname = \"{}\"\n\
             upstream = \"{}\"\ntrusted_hosts = [\"{}\"]\n{lines}\n",
            self.store.path().join("data").display(),
            NAMES[0],
            self.upstream.url(),
            self.upstream.host_of(Endpoint::Cdn)
        );
        Starting::configured(WHARF, self.store.path(), &configuration).ready()
    }

    async fn pull(&self, program: &Program, number: usize) {
        let image = &self.images[number];
        let targets = std::iter::once(format!("/v2/{REPOSITORY}/manifests/v{number}"))
            .chain(image.blobs().map(|blob| format!("/v2/{REPOSITORY}/blobs/{}", blob.digest)));
        for target in targets {
            program.open(NAMES[0], &target).await.read_digest().await.expect("a clean end");
        }
    }

    fn root(&self) -> PathBuf {
        self.store.path().join("data").join(NAMES[0])
    }

    /// Makes each image look as if it had been used so many hours ago.
    fn age(&self, hours: &[u64]) {
        ledger::age(&self.root(), &mut Rng::with_seed(0), |_| true);
        for (image, hours) in self.images.iter().zip(hours) {
            let used = SystemTime::now() - Duration::from_secs(hours * 3600);
            let digests = image.blobs().map(|blob| blob.hex()).chain([image.manifest.hex()]);
            for hex in digests {
                for path in crate::audit::files_beneath(&self.root()) {
                    if path.ends_with(hex) {
                        fs::File::open(&path).and_then(|file| file.set_modified(used)).expect("set");
                    }
                }
            }
        }
    }

    /// Waits until these images are listed, no other, and nothing else is left.
    async fn expect_listed(&self, program: &Program, numbers: &[usize]) {
        let mut expected: Vec<_> =
            numbers.iter().map(|number| self.images[*number].digest().to_owned()).collect();
        expected.sort();
        let kept = async {
            while api(program, "/api/images").await["complete"] != true
                || listed(program).await.into_iter().map(|[_, _, digest]| digest).collect::<Vec<_>>()
                    != expected
                || Ledger::of(&self.root()).has_orphans()
            {}
        };
        within(&format!("only {numbers:?} are listed"), kept).await;
    }

    fn hold(&self, numbers: &[usize]) -> Vec<bool> {
        let ledger = Ledger::of(&self.root());
        let is_whole = |number: &usize| ledger.whole(REPOSITORY, self.images[*number].digest()).is_some();
        numbers.iter().map(is_whole).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_about_tags_and_unused_images_are_kept_after_a_start() {
    let pulled = Pulled::new(6).await;
    pulled.age(&[30, 4, 25, 3, 2, 50]);
    let program = pulled.start("unused_for = \"1d\"\nkeep = [\"team/app:v5\"]");
    pulled.expect_listed(&program, &[1, 3, 4, 5]).await;
    program.kill();
    pulled.age(&[30, 4, 25, 3, 2, 50]);
    let program = pulled.start("keep_tags = 2");
    pulled.expect_listed(&program, &[3, 4]).await;
    assert_eq!(pulled.hold(&[3, 4]), [true, true]);
    // What went is fetched again.
    let before = pulled.upstream.log().count(Kind::GetBlob);
    pulled.pull(&program, 0).await;
    assert!(pulled.upstream.log().count(Kind::GetBlob) > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_above_the_cap_stay_and_other_images_pass_through() {
    let pulled = Pulled::new(6).await;
    let program = pulled.start("");
    for number in 0..3 {
        let digest = pulled.images[number].digest();
        let target = format!("/api/pins?registry={}&repository={REPOSITORY}&digest={digest}", NAMES[0]);
        // The pins are read when the program has started.
        let pinned = async {
            while client::request("PUT", program.admin, "localhost", &target, &[])
                .await
                .expect("an answer")
                .status
                != 200
            {}
        };
        within("a pin", pinned).await;
    }
    program.kill();
    pulled.age(&[9, 8, 7, 6, 5, 4]);
    let program = pulled.start("max_size = \"1MB\"");
    pulled.expect_listed(&program, &[0, 1, 2]).await;
    let bytes = Ledger::of(&pulled.root()).bytes();
    for number in (0..6).rev() {
        pulled.pull(&program, number).await;
    }
    program.settle().await;
    assert_eq!(pulled.hold(&[0, 1, 2, 3, 4, 5]), [true, true, true, false, false, false]);
    let grown = Ledger::of(&pulled.root()).bytes() - bytes;
    assert!(grown < 10_000, "{grown} bytes were stored above the cap");
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_a_slow_reader_of_an_image_that_is_purged_gets_every_byte() {
    let pulled = Pulled::new(2).await;
    let program = pulled.start("");
    pulled.expect_listed(&program, &[0, 1]).await;
    let layer = &pulled.images[0].layers[0];
    let mut reader = Connection::open_slow(program.address, 4096).await.expect("connected");
    let (host, target) =
        (format!("{}.localhost", NAMES[0]), format!("/v2/{REPOSITORY}/blobs/{}", layer.digest));
    reader.request("GET", &host, &target, &[]).await.expect("sent");
    assert_eq!(reader.read_head("GET").await.expect("a head").status, 200);
    let purge = format!("/api/images?registry={}&repository={REPOSITORY}&tag=v0", NAMES[0]);
    let purged = async {
        // While the stored blob is hashed for the reader, it counts as on its way.
        while client::request("DELETE", program.admin, "localhost", &purge, &[])
            .await
            .expect("an answer")
            .status
            != 200
        {}
    };
    within("the purge", purged).await;
    assert_eq!(pulled.hold(&[0, 1]), [false, true]);
    assert_eq!(within("the body", reader.read_digest()).await.expect("a clean end"), layer.digest);
    let before = pulled.upstream.log().body_bytes(&layer.digest);
    pulled.pull(&program, 0).await;
    assert_eq!(pulled.upstream.log().body_bytes(&layer.digest), before + layer.size());
}
