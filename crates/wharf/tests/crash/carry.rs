//! `kill -9` in the middle of an import, of the server and of the command; and the ways of a file into the
//! store.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fastrand::Rng;
use serde_json::{Value, json};
use testkit::{Image, Program, Starting, TempStore};

use crate::WHARF;
use crate::audit::{Audit, files_beneath};
use crate::disk::{self, Disk, XFS};
use crate::library::{REGISTRY, REPOSITORY};

const MIB: u64 = 1 << 20;

/// Points of one archive at which the server is killed, besides those at the edges of entries.
const CUT_COUNT: u64 = 12;

/// A configuration whose store is below `data`, without an upstream.
fn configuration(data: &Path) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"info\"\n\
         [storage]\nroot = {data:?}\nmax_size = \"off\"\nfree_min = \"off\"\n\
         [[registry]]\nname = {REGISTRY:?}\nupstream = \"http://127.0.0.1:9\"\noffline = true\n"
    )
}

/// Images that share a layer.
fn images() -> Vec<Image> {
    let sizes: [&[u64]; 4] =
        [&[3 * MIB, 1000], &[256 * 1024, 256 * 1024 + 1], &[0, 2 * MIB + 7, 1000], &[100_000]];
    let mut images: Vec<_> =
        sizes.iter().zip(40..).map(|(sizes, seed)| Image::generated(seed, sizes)).collect();
    images.push(Image::small("shared"));
    images
}

fn tag_of(number: usize) -> String {
    format!("image-{number}")
}

/// The blobs of all images, with their sizes.
fn blobs_of(images: &[Image]) -> BTreeMap<String, u64> {
    let blobs = images.iter().flat_map(Image::blobs);
    blobs.map(|blob| (format!("sha256:{}", blob.hex()), blob.size())).collect()
}

/// Writes the images as an OCI image layout.
fn write_layout(directory: &Path, images: &[Image]) {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("made");
    let mut entries = Vec::new();
    for (number, image) in images.iter().enumerate() {
        for blob in image.blobs().chain([&image.manifest]) {
            fs::write(blobs.join(blob.hex()), blob.bytes()).expect("written");
        }
        let name = format!("{REGISTRY}/{REPOSITORY}:{}", tag_of(number));
        let manifest = &image.manifest;
        entries.push(json!({
            "mediaType": manifest.media_type,
            "digest": image.digest(),
            "size": manifest.size(),
            "annotations": { "io.containerd.image.name": name },
        }));
    }
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
    let index = json!({ "schemaVersion": 2, "manifests": entries });
    fs::write(directory.join("index.json"), index.to_string()).expect("written");
}

/// A place for one wharf.
struct Place {
    directory: TempStore,
}

impl Place {
    fn new() -> Self {
        let directory = TempStore::new();
        let place = Self { directory };
        fs::write(place.path("wharf.toml"), configuration(&place.path("data"))).expect("written");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn root(&self) -> PathBuf {
        self.path("data").join(REGISTRY)
    }

    fn start(&self) -> Program {
        Starting::configured(WHARF, self.directory.path(), &configuration(&self.path("data"))).ready()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(WHARF);
        command.args(arguments).current_dir(self.directory.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// Runs a command that must succeed. Returns its document.
    fn run(&self, arguments: &[&str]) -> Value {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("it starts");
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        serde_json::from_slice(&stdout).unwrap_or_default()
    }

    /// The blobs that the store has under their final names; all digests were checked.
    fn stored(&self, images: &[Image]) -> BTreeMap<String, u64> {
        let audit = Audit::of(&self.root());
        blobs_of(images).into_iter().filter(|(digest, _)| audit.stored.contains_key(digest)).collect()
    }

    /// After an import that went to its end, nothing is left of the one before.
    fn expect_swept(&self) {
        let left: Vec<_> = ["partial", "tmp", "quarantine"]
            .iter()
            .flat_map(|name| files_beneath(&self.root().join(name)))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A running wharf serves no listed image with a hole, and no blob that is not stored.
async fn expect_honest(program: &Program, images: &[Image], stored: &BTreeMap<String, u64>) -> usize {
    let mut whole_count = 0;
    for (number, image) in images.iter().enumerate() {
        let target = format!("/v2/{REPOSITORY}/manifests/{}", tag_of(number));
        let answer = program.get(REGISTRY, &target).await.expect("an answer");
        let is_listed = answer.status == 200;
        whole_count += usize::from(is_listed);
        if is_listed {
            assert_eq!(answer.body, image.manifest.bytes(), "image {number}");
        }
        for blob in image.blobs() {
            let digest = format!("sha256:{}", blob.hex());
            let answer = program.get(REGISTRY, &format!("/v2/{REPOSITORY}/blobs/{digest}")).await;
            let answer = answer.expect("an answer");
            let is_held = stored.contains_key(&digest);
            assert_eq!(answer.status == 200, is_held, "image {number}, {digest}: {}", answer.status);
            assert!(!is_held || answer.body == blob.bytes(), "{digest}");
            assert!(is_held || !is_listed, "image {number} is listed and lacks {digest}");
        }
    }
    whole_count
}

/// The second import copies what the first one had not stored, and nothing twice.
fn expect_continued(report: &Value, images: &[Image], before: &BTreeMap<String, u64>) {
    let all = blobs_of(images);
    let rest: Vec<u64> =
        all.iter().filter(|(digest, _)| !before.contains_key(*digest)).map(|it| *it.1).collect();
    assert_eq!(report["images"], images.len(), "{report}");
    assert_eq!((&report["incomplete"], &report["refusals"]), (&json!(0), &json!([])), "{report}");
    assert_eq!(report["blobs"], rest.len(), "{report}");
    assert_eq!(report["bytes"], rest.iter().sum::<u64>(), "{report}");
}

/// The archive of an export, and the ends of the blobs in it.
fn exported(images: &[Image]) -> (Vec<u8>, Vec<(String, u64)>) {
    let place = Place::new();
    write_layout(&place.path("layout"), images);
    place.run(&["import", "layout", "--json"]);
    place.run(&["export", "--all", "-o", "all.tar", "--json"]);
    let archive = fs::read(place.path("all.tar")).expect("an archive");
    let (mut at, mut ends) = (0, Vec::new());
    while archive[at] != 0 {
        let text = |range: std::ops::Range<usize>| {
            let bytes = archive[at..][range].split(|byte| *byte == 0).next().expect("one part");
            String::from_utf8_lossy(bytes).into_owned()
        };
        let (name, size) = (text(0..100), u64::from_str_radix(text(124..136).trim(), 8).expect("a size"));
        at += 512 + (size as usize).next_multiple_of(512);
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            ends.push((format!("sha256:{hex}"), at as u64));
        }
    }
    (archive, ends)
}

/// Sends the first `cut` bytes of an archive to the admin listener.
fn send(program: &Program, archive: &[u8], cut: u64) -> TcpStream {
    let mut connection = TcpStream::connect(program.admin).expect("connected");
    let head =
        format!("POST /api/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", archive.len());
    connection.write_all(head.as_bytes()).expect("sent");
    connection.write_all(&archive[..cut as usize]).expect("sent");
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_a_streamed_import_serves_nothing_unverified_and_continues() {
    let images = images();
    let (archive, ends) = exported(&images);
    let blobs = blobs_of(&images);
    let size = archive.len() as u64;
    // All over the archive, within a header, just before and just behind the ends of entries.
    let spread = (0..CUT_COUNT).map(|number| size * number / CUT_COUNT);
    let edges = ends.iter().flat_map(|(_, end)| [end - 1, end + 512]).filter(|cut| cut % 3 != 1);
    let mut whole_counts = Vec::new();
    for cut in spread.chain(edges).chain([size - 1, size - 1600]) {
        let place = Place::new();
        let program = place.start();
        let connection = send(&program, &archive, cut);
        // A blob is stored once the header after it came.
        let expected = |(digest, end): &&(String, u64)| end + 512 <= cut && blobs.contains_key(digest);
        let expected: Vec<_> = ends.iter().filter(expected).map(|(digest, _)| digest).collect();
        let stored_path = |digest: &str| {
            let hex = digest.trim_start_matches("sha256:");
            place.root().join("blobs/sha256").join(&hex[..2]).join(hex)
        };
        while !expected.iter().all(|digest| stored_path(digest).exists()) {
            tokio::task::yield_now().await;
        }
        program.kill();
        drop(connection);
        let stored = place.stored(&images);
        assert!(expected.iter().all(|digest| stored.contains_key(*digest)), "cut at {cut}");
        let program = place.start();
        whole_counts.push(expect_honest(&program, &images, &stored).await);
        fs::write(place.path("all.tar"), &archive).expect("written");
        let url = format!("http://{}", program.admin);
        let report = place.run(&["import", "all.tar", "--json", "--url", &url]);
        expect_continued(&report, &images, &stored);
        place.expect_swept();
        assert_eq!(expect_honest(&program, &images, &blobs).await, images.len(), "cut at {cut}");
    }
    assert!(whole_counts.contains(&0) && whole_counts.iter().any(|count| *count > 1), "{whole_counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_killed_in_an_import_leaves_a_store_that_another_run_completes() {
    let images = images();
    let mut partial_count = 0;
    for line_count in 1..=2 * images.len() {
        let place = Place::new();
        write_layout(&place.path("layout"), &images);
        let mut command = place.command(&["import", "layout"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let said = BufReader::new(child.stderr.take().expect("piped"));
        // It says which image comes next. An odd number means: once the image has begun to come, too.
        let mut begun = said.lines().map_while(Result::ok).filter(|line| line.starts_with("importing "));
        for _ in 0..line_count.div_ceil(2) {
            begun.next().expect("another image");
        }
        let partial = place.root().join("partial");
        while line_count % 2 == 1
            && files_beneath(&partial).is_empty()
            && child.try_wait().expect("asked").is_none()
        {
            std::thread::yield_now();
        }
        child.kill().expect("killed");
        child.wait().expect("reaped");
        partial_count += files_beneath(&partial).len();
        let stored = place.stored(&images);
        let program = place.start();
        expect_honest(&program, &images, &stored).await;
        program.kill();
        let before = place.stored(&images);
        let report = place.run(&["import", "layout", "--json"]);
        expect_continued(&report, &images, &before);
        place.expect_swept();
        let again = place.run(&["import", "layout", "--json"]);
        assert_eq!((&again["blobs"], &again["held_tags"]), (&json!(0), &json!(images.len())), "{again}");
        let program = place.start();
        assert_eq!(expect_honest(&program, &images, &blobs_of(&images)).await, images.len());
    }
    assert!(partial_count > 0, "no kill met an unfinished blob");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_on_its_way_to_a_server_that_is_killed_is_continued() {
    let images = images();
    let mut broken_count = 0;
    for line_count in 1..=images.len() {
        let place = Place::new();
        write_layout(&place.path("layout"), &images);
        let program = place.start();
        let url = format!("http://{}", program.admin);
        let mut command = place.command(&["import", "layout", "--url", &url]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut said = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let mut begun = said.by_ref().filter(|line| line.starts_with("importing "));
        for _ in 0..line_count {
            begun.next().expect("another image");
        }
        program.kill();
        // The last images may have arrived before.
        let reason = said.last().unwrap_or_default();
        if !child.wait().expect("it ends").success() {
            broken_count += 1;
            assert!(reason.ends_with("run the command again to continue"), "{reason}");
        }
        let stored = place.stored(&images);
        let program = place.start();
        expect_honest(&program, &images, &stored).await;
        let url = format!("http://{}", program.admin);
        let report = place.run(&["import", "layout", "--json", "--url", &url]);
        expect_continued(&report, &images, &stored);
        place.expect_swept();
        assert_eq!(expect_honest(&program, &images, &blobs_of(&images)).await, images.len());
    }
    assert!(broken_count > 0, "each import was over before the kill");
}

#[test]
fn an_import_clones_files_where_the_file_system_can() {
    disk::run_apart("carry::an_import_on_xfs_apart", &XFS);
}

#[test]
#[ignore = "needs namespaces of its own, in which the other test starts it"]
fn an_import_on_xfs_apart() {
    let images = images();
    let mut disk = Disk::new(XFS);
    disk.turn_on(&mut Rng::with_seed(7));
    let (old, data) = (disk.mount_point().join("old"), disk.mount_point().join("data"));
    write_layout(&old, &images);
    let settings = disk.elsewhere().join("wharf.toml");
    fs::write(&settings, configuration(&data)).expect("written");
    let import = |old: &Path| {
        let mut command = Command::new(WHARF);
        command.arg("import").arg(old).arg("--json").arg("--config").arg(&settings).env_clear();
        let Output { status, stdout, stderr } = command.output().expect("it starts");
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        serde_json::from_slice::<Value>(&stdout).expect("a report")
    };
    let report = import(&old);
    let blobs = blobs_of(&images);
    // Files up to 256 KiB are written.
    let cloned: u64 = blobs.values().filter(|size| **size > 256 * 1024).sum();
    assert_eq!(report["bytes"], blobs.values().sum::<u64>(), "{report}");
    assert_eq!(report["cloned_bytes"], cloned, "{report}");
    // A later write to the source changes nothing in the store.
    for path in files_beneath(&old.join("blobs")) {
        let len = fs::metadata(&path).expect("a file").len() as usize;
        fs::write(path, vec![7; len]).expect("written");
    }
    let audit = Audit::of(&data.join(REGISTRY));
    assert!(blobs.keys().all(|digest| audit.stored.contains_key(digest)));
    // Files on another file system are written.
    fs::remove_dir_all(&data).expect("removed");
    let elsewhere = disk.elsewhere().join("old");
    write_layout(&elsewhere, &images);
    let report = import(&elsewhere);
    assert_eq!((&report["cloned_bytes"], &report["images"]), (&json!(0), &json!(images.len())), "{report}");
}
