//! Exports, and imports of archives.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use archive::{
    ExportReport, ImportError, KeptTag, OpenTargets, Options, Report, Selector, SentBytes, Target, Written,
    export, import_archive, write_export,
};
use inventory::{Keeper, Reason};
use oci::Digest;
use policy::eviction::Limits;
use policy::freshness::{Replace, TagRecord};
use storage::{Store, VerifiedManifest};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::{digest, image, index, memory_store, options, repository, tag, target, write};

/// A store with the image `org/app:v1` for two platforms, of which one is held, and what else tests add.
pub(super) struct Holder {
    target: Arc<Target>,
}

impl Holder {
    pub(super) fn new(name: &str) -> Self {
        Self { target: target(name, &memory_store(), false) }
    }

    pub(super) fn with_aliases(name: &str, aliases: &[&str]) -> Self {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        Self { target: Arc::new(Target { aliases, ..(*Self::new(name).target).clone() }) }
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.target.inventory.store()
    }

    async fn blob(&self, bytes: &[u8]) {
        let spool = self.store().spool(&digest(bytes)).await.unwrap();
        spool.set_size(bytes.len() as u64).unwrap();
        spool.write(0, vec![bytes.to_vec().into()]).await.unwrap();
        self.store().admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
    }

    async fn manifest(&self, repository: &str, text: &str) -> Digest {
        let verified = VerifiedManifest::check(text.as_bytes().to_vec().into(), None).unwrap();
        let media_type = oci::Manifest::parse(text.as_bytes(), None).unwrap().media_type;
        self.store().put_manifest(&repository.parse().unwrap(), &media_type, &verified).await.unwrap();
        verified.digest().clone()
    }

    async fn tag(&self, repository: &str, name: &str, digest: &Digest, age: Duration) {
        let media_type = "application/vnd.oci.image.manifest.v1+json".parse().unwrap();
        let checked_at = SystemTime::now() - age;
        let record = TagRecord { digest: digest.clone(), media_type, size: 5, checked_at };
        self.store().put_tag(&repository.parse().unwrap(), &tag(name), &record).await.unwrap();
    }

    /// An image of one platform, with a tag.
    pub(super) async fn simple(&self, repository: &str, name: &str, layer: &[u8]) -> Digest {
        self.blob(b"{}").await;
        self.blob(layer).await;
        let digest = self.manifest(repository, &image(b"{}", layer)).await;
        self.tag(repository, name, &digest, Duration::from_secs(60)).await;
        digest
    }

    pub(super) async fn walked(&self) -> Arc<Target> {
        Keeper::new(Arc::clone(&self.target.inventory), Limits::default()).walk().await.unwrap();
        Arc::clone(&self.target)
    }

    pub(super) async fn has_tag(&self, repository: &str, name: &str) -> Option<Digest> {
        let record = self.store().tag(&repository.parse().unwrap(), &tag(name)).await.unwrap();
        record.map(|record| record.digest)
    }
}

pub(super) async fn export_to(
    path: &Path,
    targets: Vec<Arc<Target>>,
    selectors: &[&str],
    since: HashSet<Digest>,
) -> Written {
    let selectors: Vec<Selector> = selectors
        .iter()
        .map(|text| if *text == "--all" { Selector::all() } else { text.parse().unwrap() })
        .collect();
    let (sender, receiver) = mpsc::channel(2);
    let path = path.to_owned();
    let writing = tokio::task::spawn_blocking(move || {
        write_export(SentBytes::new(receiver), &path, &mut |_| {}).unwrap()
    });
    let report = export(&targets, &selectors, since, sender).await.unwrap();
    let written = writing.await.unwrap();
    assert_eq!(written.report, report);
    written
}

pub(super) async fn import_from(path: &Path, targets: &[&Holder], registry: Option<&str>) -> Report {
    try_import(File::open(path).unwrap(), targets, registry).await.unwrap()
}

pub(super) async fn try_import(
    input: impl Read + Send + 'static,
    targets: &[&Holder],
    registry: Option<&str>,
) -> Result<Report, ImportError> {
    let targets = OpenTargets(targets.iter().map(|holder| Arc::clone(&holder.target)).collect());
    import_archive(input, &targets, &options(registry), |_| {}).await
}

pub(super) struct Disk(TempDir);

impl Disk {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[tokio::test]
async fn an_export_of_several_registries_is_imported_into_the_same_registries() {
    let (hub, quay) = (Holder::new("docker.io"), Holder::new("quay.io"));
    let layer = vec![7; 3 << 20];
    let one = hub.simple("library/alpine", "3.20", b"small layer").await;
    let other = quay.simple("org/app", "v1", &layer).await;
    hub.simple("org/shared", "v2", &layer).await;
    let untagged = quay.manifest("org/bare", &image(b"{}", b"")).await;
    quay.blob(b"").await;
    for name in ["all.tar", "all.tar.zst", "layout"] {
        let disk = Disk::new();
        let path = disk.path(name);
        let targets = vec![hub.walked().await, quay.walked().await];
        let written = export_to(&path, targets, &["--all"], HashSet::new()).await;
        assert_eq!((written.report.images, written.report.refusals.len()), (4, 0), "{:?}", written.report);
        assert_eq!(written.report.blobs, 4);
        assert_eq!(disk.names(), [name]);
        let (new_hub, new_quay) = (Holder::new("docker.io"), Holder::new("quay.io"));
        let report = if name == "layout" {
            let source = Arc::new(archive::Source::open(&path, None).unwrap());
            let targets = OpenTargets(vec![Arc::clone(&new_hub.target), Arc::clone(&new_quay.target)]);
            archive::import(source, &targets, &options(None), |_| {}).await.unwrap()
        } else {
            import_from(&path, &[&new_hub, &new_quay], None).await
        };
        assert_eq!(report.refusals, [], "{name}");
        assert_eq!((report.images, report.incomplete, report.tags), (4, 0, 3), "{name}");
        assert_eq!(new_hub.has_tag("library/alpine", "3.20").await, Some(one.clone()));
        assert_eq!(new_quay.has_tag("org/app", "v1").await, Some(other.clone()));
        assert!(new_hub.store().open(&digest(&layer)).await.unwrap().is_some());
        assert!(new_quay.store().open(&digest(&layer)).await.unwrap().is_some());
        assert!(new_quay.store().open(&digest(b"small layer")).await.unwrap().is_none());
        let held = new_quay.store().manifest(&"org/bare".parse().unwrap(), &untagged).await.unwrap();
        assert!(held.is_some());
    }
}

#[tokio::test]
async fn an_export_that_another_program_packs_in_any_order_is_imported_whole() {
    let hub = Holder::new("docker.io");
    let mut members = Vec::new();
    for number in 0..6_u8 {
        members.push(hub.simple("org/app", &format!("v{number}"), &[number; 400]).await);
    }
    let children = [10_u8, 11].map(|number| image(b"{}", &[number; 400]));
    for (child, number) in children.iter().zip([10_u8, 11]) {
        hub.blob(&[number; 400]).await;
        hub.manifest("org/app", child).await;
    }
    let whole = hub.manifest("org/app", &index(&[children[0].as_bytes(), children[1].as_bytes()])).await;
    hub.tag("org/app", "whole", &whole, Duration::from_secs(60)).await;
    // The announcement names it, and the export refuses it.
    let broken = hub.manifest("org/app", &image(b"{}", b"a layer that was never pulled")).await;
    hub.tag("org/app", "broken", &broken, Duration::from_secs(60)).await;
    let disk = Disk::new();
    let written = export_to(&disk.path("layout"), vec![hub.walked().await], &["--all"], HashSet::new()).await;
    assert_eq!(written.report.refusals.len(), 1, "{:?}", written.report);
    let blobs = fs::read_dir(disk.path("layout/blobs/sha256")).unwrap();
    let mut blobs: Vec<String> =
        blobs.map(|it| format!("blobs/sha256/{}", it.unwrap().file_name().into_string().unwrap())).collect();
    blobs.sort();
    for is_reversed in [false, true] {
        blobs.reverse();
        let packed = disk.path("packed.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(disk.path("layout")).arg("-cf").arg(&packed);
        let status = tar.args(["wharf.json", "oci-layout"]).args(&blobs).arg("index.json").status().unwrap();
        assert!(status.success());
        let store = Holder::new("docker.io");
        let report = import_from(&packed, &[&store], None).await;
        assert!(report.refusals.is_empty(), "{is_reversed}: {:?}", report.refusals);
        for (number, member) in members.iter().enumerate() {
            assert_eq!(store.has_tag("org/app", &format!("v{number}")).await.as_ref(), Some(member));
        }
        assert_eq!(store.has_tag("org/app", "whole").await.as_ref(), Some(&whole));
    }
}

#[tokio::test]
async fn an_export_without_an_image_leaves_an_earlier_archive_as_it_is() {
    let hub = Holder::new("docker.io");
    hub.simple("org/app", "v1", b"layer").await;
    let disk = Disk::new();
    fs::write(disk.path("kept.tar"), b"an earlier archive").unwrap();
    let (sender, receiver) = mpsc::channel(2);
    let path = disk.path("kept.tar");
    let writing =
        tokio::task::spawn_blocking(move || write_export(SentBytes::new(receiver), &path, &mut |_| {}));
    let selectors = ["org/mistyped:v1".parse().unwrap()];
    export(&[hub.walked().await], &selectors, HashSet::new(), sender).await.unwrap();
    let error = writing.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "no image was exported");
    assert_eq!(fs::read(disk.path("kept.tar")).unwrap(), b"an earlier archive");
    assert_eq!(disk.names(), ["kept.tar"]);
}

#[tokio::test]
async fn an_image_whose_platforms_are_not_all_held_is_exported_and_says_so() {
    let holder = Holder::new("ghcr.io");
    let part = |platform: &str, bytes: &[u8]| {
        format!(
            r#"{{"mediaType":"a/b","digest":"{}","size":1,"platform":{{"os":"linux","architecture":"{platform}"}}}}"#,
            digest(bytes)
        )
    };
    holder.blob(b"{}").await;
    holder.blob(b"amd").await;
    // Of this platform, the store holds the manifest and not the layer.
    let (amd, arm, ppc) = (image(b"{}", b"amd"), image(b"{}", b"arm"), image(b"{}", b"ppc"));
    holder.manifest("org/app", &amd).await;
    let arm_digest = holder.manifest("org/app", &arm).await;
    let root = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{},{},{}]}}"#,
        part("amd64", amd.as_bytes()),
        part("arm64", arm.as_bytes()),
        part("ppc64le", ppc.as_bytes())
    );
    let root_digest = holder.manifest("org/app", &root).await;
    holder.tag("org/app", "v1", &root_digest, Duration::ZERO).await;
    let disk = Disk::new();
    let path = disk.path("app.tar");
    let written =
        export_to(&path, vec![holder.walked().await], &["ghcr.io/org/app:v1"], HashSet::new()).await;
    let left_out: Vec<_> = written.report.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(left_out.len(), 2, "{left_out:?}");
    assert!(left_out[0].contains("linux/arm64") && left_out[1].contains("linux/ppc64le"), "{left_out:?}");
    assert!(written.digests.contains(&root_digest) && !written.digests.contains(&arm_digest));
    let new = Holder::new("ghcr.io");
    let report = import_from(&path, &[&new], None).await;
    assert_eq!((report.images, report.incomplete, report.refusals.len()), (1, 1, 0));
    assert_eq!(new.has_tag("org/app", "v1").await, Some(root_digest));
    assert!(new.store().manifest(&repository(), &arm_digest).await.unwrap().is_none());
}

#[tokio::test]
async fn a_damaged_or_incomplete_image_is_left_out_by_name_and_the_others_are_exported() {
    let directory = Disk::new();
    let metrics = telemetry::Metrics::new(&["ghcr.io".to_owned()]).registry("ghcr.io");
    let store: Arc<dyn Store> = Arc::new(storage::fs::open(&directory.path("store"), metrics).unwrap());
    let holder = Holder { target: target("ghcr.io", &store, false) };
    let damaged = vec![1; 1 << 20];
    let good = holder.simple("org/app", "good", b"good layer").await;
    holder.simple("org/app", "damaged", &damaged).await;
    let lacking = holder.manifest("org/app", &image(b"{}", b"never pulled")).await;
    holder.tag("org/app", "lacking", &lacking, Duration::ZERO).await;
    let hex = digest(&damaged).hex().to_owned();
    let file = directory.path("store/blobs/sha256").join(&hex[..2]).join(&hex);
    let mut bytes = damaged.clone();
    bytes[4711] ^= 1;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&file, bytes).unwrap();
    for name in ["app.tar", "layout"] {
        let disk = Disk::new();
        let targets = vec![holder.walked().await];
        let written = export_to(&disk.path(name), targets, &["org/*", "ghcr.io/org/*"], HashSet::new()).await;
        let refused: Vec<_> = written.report.refusals.iter().map(ToString::to_string).collect();
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused[0].contains("org/app:damaged") && refused[0].contains("damaged"), "{refused:?}");
        assert!(refused[1].contains("org/app:lacking") && refused[1].contains("pull"), "{refused:?}");
        assert_eq!(written.report.images, 1);
        assert!(!written.digests.contains(&digest(&damaged)));
        if name == "app.tar" {
            let new = Holder::new("ghcr.io");
            assert_eq!(import_from(&disk.path(name), &[&new], None).await.images, 1);
            assert_eq!(new.has_tag("org/app", "good").await, Some(good.clone()));
        }
    }
}

#[tokio::test]
async fn a_difference_is_whole_on_a_store_that_has_the_archive_before_and_is_refused_elsewhere() {
    let holder = Holder::new("ghcr.io");
    let base = vec![3; 1 << 20];
    holder.simple("org/app", "v1", &base).await;
    let disk = Disk::new();
    let first = export_to(&disk.path("1.tar"), vec![holder.walked().await], &["--all"], HashSet::new()).await;
    holder.blob(b"new layer").await;
    let part = |bytes: &[u8]| {
        format!(r#"{{"mediaType":"a/b","digest":"{}","size":{}}}"#, digest(bytes), bytes.len())
    };
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{},{}]}}"#,
        part(b"{}"),
        part(&base),
        part(b"new layer")
    );
    let v2 = holder.manifest("org/app", &text).await;
    holder.tag("org/app", "v2", &v2, Duration::ZERO).await;
    let later = Holder { target: target("ghcr.io", holder.store(), false) };
    let since: HashSet<_> = first.digests.iter().cloned().collect();
    let second = export_to(&disk.path("2.tar"), vec![later.walked().await], &["--all"], since).await;
    assert_eq!((second.report.images, second.report.blobs), (2, 1));
    assert_eq!(second.report.earlier_blobs, 2, "both images have them, and each counts once");
    assert!(fs::metadata(disk.path("2.tar")).unwrap().len() < 1 << 19);
    let new = Holder::new("ghcr.io");
    assert_eq!(import_from(&disk.path("1.tar"), &[&new], None).await.images, 1);
    let report = import_from(&disk.path("2.tar"), &[&new], None).await;
    assert_eq!((report.images, report.incomplete, report.refusals.len()), (2, 0, 0), "{report:?}");
    assert_eq!(new.has_tag("org/app", "v2").await, Some(v2));
    let other = Holder::new("ghcr.io");
    let report = import_from(&disk.path("2.tar"), &[&other], None).await;
    assert_eq!((report.images, report.refusals.len()), (0, 2), "{report:?}");
    assert!(report.refusals[0].reason.contains("import the archive before it first"));
    assert_eq!(other.has_tag("org/app", "v2").await, None);
}

/// An archive as programs write it that name the images last.
pub(super) fn layout_tar(disk: &Disk, blobs: &[&[u8]], index: &str) -> PathBuf {
    let directory = disk.path("unpacked");
    for bytes in blobs {
        write(&directory.join(format!("blobs/sha256/{}", digest(bytes).hex())), bytes);
    }
    write(&directory.join("index.json"), index);
    write(&directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let path = disk.path("layout.tar");
    let tar = Command::new("tar")
        .args(["-cf"])
        .arg(&path)
        .arg("-C")
        .arg(&directory)
        .args(["blobs", "index.json", "oci-layout"])
        .status();
    assert!(tar.unwrap().success());
    path
}

pub(super) fn named(bytes: &[u8], name: &str) -> String {
    format!(
        r#"{{"mediaType":"a/b","digest":"{}","size":1,"annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}"#,
        digest(bytes)
    )
}

#[tokio::test]
async fn a_layout_that_names_its_images_last_is_imported_and_leaves_nothing_else() {
    let disk = Disk::new();
    let large = vec![9; 2 << 20];
    let (text, stray) = (image(b"{}", &large), vec![8; 2 << 20]);
    let blobs: [&[u8]; 4] = [b"{}", &large, text.as_bytes(), &stray];
    let index = format!(
        r#"{{"manifests":[{},{},{}]}}"#,
        named(text.as_bytes(), "quay.io/org/app:v1"),
        named(text.as_bytes(), "unknown.example/org/app:v1"),
        named(b"nothing", "quay.io/org/app:gone")
    );
    let path = layout_tar(&disk, &blobs, &index);
    let (hub, quay) = (Holder::new("docker.io"), Holder::new("quay.io"));
    let report = import_from(&path, &[&hub, &quay], None).await;
    assert_eq!((report.images, report.incomplete, report.blobs), (1, 0, 2), "{report:?}");
    let refused: Vec<_> = report.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].contains("no registry unknown.example") && refused[1].contains("lacks this manifest"));
    assert_eq!(quay.has_tag("org/app", "v1").await, Some(digest(text.as_bytes())));
    for bytes in [&large, &stray] {
        assert!(hub.store().open(&digest(bytes)).await.unwrap().is_none());
    }
    assert!(quay.store().open(&digest(&stray)).await.unwrap().is_none());
    assert_eq!(hub.store().usage().partial.bytes, 0);
    let report = import_from(&path, &[&hub, &quay], Some("docker.io")).await;
    assert_eq!(report.images, 0);
    assert!(report.refusals[0].reason.contains("--registry quay.io"), "{report:?}");
}

#[tokio::test]
async fn a_blob_of_an_archive_that_is_not_what_its_name_says_is_not_stored() {
    let disk = Disk::new();
    let large = vec![9; 2 << 20];
    for is_small in [true, false] {
        let layer: &[u8] = if is_small { b"some tiny content" } else { &large };
        let text = image(b"{}", layer);
        let index = format!(r#"{{"manifests":[{}]}}"#, named(text.as_bytes(), "quay.io/org/app:v1"));
        let path = layout_tar(&disk, &[b"{}", layer, text.as_bytes()], &index);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(layer.len()).position(|window| window == layer).unwrap();
        bytes[at] ^= 1;
        let quay = Holder::new("quay.io");
        let report = try_import(Cursor::new(bytes), &[&quay], None).await.unwrap();
        assert_eq!((report.images, report.refusals.len()), (0, 2), "{report:?}");
        assert_eq!(report.refusals[0].what, digest(layer).to_string());
        assert!(quay.store().open(&digest(layer)).await.unwrap().is_none());
        assert_eq!(quay.has_tag("org/app", "v1").await, None);
        fs::remove_dir_all(disk.path("unpacked")).unwrap();
    }
}

#[tokio::test]
async fn an_archive_cut_anywhere_lists_only_whole_images() {
    let holder = Holder::new("ghcr.io");
    for number in 0..4_u8 {
        holder.simple("org/app", &format!("v{number}"), &vec![number; 300_000]).await;
    }
    let disk = Disk::new();
    export_to(&disk.path("app.tar"), vec![holder.walked().await], &["--all"], HashSet::new()).await;
    let bytes = fs::read(disk.path("app.tar")).unwrap();
    let mut seen = BTreeSet::new();
    for end in (0..bytes.len() - 1024).step_by(50_000) {
        let new = Holder::new("ghcr.io");
        let cut = try_import(Cursor::new(bytes[..end].to_vec()), &[&new], None).await;
        assert!(cut.is_err(), "{end}");
        let mut whole = 0;
        for number in 0..4_u8 {
            if new.has_tag("org/app", &format!("v{number}")).await.is_some() {
                let layer = digest(&vec![number; 300_000]);
                assert!(new.store().open(&layer).await.unwrap().is_some(), "{end}");
                whole += 1;
            }
        }
        seen.insert(whole);
        let again = try_import(Cursor::new(bytes.clone()), &[&new], None).await.unwrap();
        assert_eq!((again.images, again.refusals.len()), (4, 0), "{end}");
    }
    assert!(seen.len() > 2, "images are stored while the archive is read: {seen:?}");
}

#[tokio::test]
async fn no_byte_of_an_unverified_archive_waits_where_a_pull_could_read_it() {
    let (blob, wrong) = (vec![1; 600_000], vec![2; 600_000]);
    let disk = Disk::new();
    let archive = layout_tar(&disk, &[&blob], r#"{"manifests":[]}"#);
    let right = fs::read(archive).unwrap();
    let start = right.windows(600).position(|it| it.iter().all(|byte| *byte == 1)).unwrap();
    let mut wrong_inside = right.clone();
    wrong_inside[start..start + 400_000].copy_from_slice(&wrong[..400_000]);
    for (what, bytes) in [
        ("cut", wrong_inside[..start + 300_000].to_vec()),
        ("whole", wrong_inside),
        ("right, but cut", right[..start + 300_000].to_vec()),
    ] {
        let store = Holder::new("ghcr.io");
        // A pull that was interrupted has left its beginning.
        let begun = store.store().spool(&digest(&blob)).await.unwrap();
        begun.write(0, vec![blob[..1000].to_vec().into()]).await.unwrap();
        begun.park().await;
        let _ = try_import(Cursor::new(bytes), &[&store], None).await;
        let spool = store.store().spool(&digest(&blob)).await.unwrap();
        assert_eq!(spool.watermark(), 1000, "{what}");
        assert_eq!(store.store().open(&digest(&blob)).await.unwrap().map(|_| ()), None, "{what}");
    }
}

fn docker_save(
    disk: &Disk,
    layers: &[(&str, &[u8])],
    config: &str,
    names: &str,
    links: &[(&str, &str)],
) -> PathBuf {
    let directory = disk.path("saved");
    for (name, bytes) in layers {
        write(&directory.join(name), bytes);
    }
    for (name, to) in links {
        fs::create_dir_all(directory.join(name).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, directory.join(name)).unwrap();
    }
    write(&directory.join("c0ffee.json"), config);
    let paths = layers.iter().map(|(name, _)| *name).chain(links.iter().map(|(name, _)| *name));
    let paths: Vec<_> = paths.map(|name| format!("{name:?}")).collect();
    let document =
        format!(r#"[{{"Config":"c0ffee.json","RepoTags":{names},"Layers":[{}]}}]"#, paths.join(","));
    write(&directory.join("manifest.json"), document);
    let path = disk.path("saved.tar");
    let tar = Command::new("tar").arg("-czf").arg(&path).arg("-C").arg(&directory).arg(".").status();
    assert!(tar.unwrap().success());
    path
}

#[tokio::test]
async fn an_archive_of_docker_save_gets_a_manifest_of_its_verified_layers() {
    let (one, two) = (vec![1; 2 << 20], b"layer two".to_vec());
    let config = |ids: &[&[u8]]| {
        let ids: Vec<_> = ids.iter().map(|bytes| format!("\"{}\"", digest(bytes))).collect();
        format!(
            r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            ids.join(",")
        )
    };
    let podman_name = format!("{}.tar", digest(&two).hex());
    let layers: [(&str, &[u8]); 2] = [("aaaa/layer.tar", &one), (&podman_name, &two)];
    let links = [("bbbb/layer.tar", "../aaaa/layer.tar")];
    let disk = Disk::new();
    let right = config(&[&one, &two, &one]);
    let path = docker_save(&disk, &layers, &right, r#"["alpine:3.20"]"#, &links);
    for registry in [None, Some("docker.io")] {
        let hub = Holder::new("docker.io");
        let report = import_from(&path, &[&hub], registry).await;
        assert_eq!((report.images, report.refusals.len(), report.blobs), (1, 0, 3), "{report:?}");
        let root = hub.has_tag("library/alpine", "3.20").await.unwrap();
        let held = hub.store().manifest(&"library/alpine".parse().unwrap(), &root).await.unwrap().unwrap();
        let storage::HeldManifest::Whole(manifest) = held else { panic!("a small manifest") };
        let parsed = oci::Manifest::parse(&manifest.bytes, None).unwrap();
        let found: Vec<_> = parsed.layers.iter().map(|layer| layer.digest.clone()).collect();
        assert_eq!(found, [digest(&one), digest(&two), digest(&one)]);
        assert_eq!(parsed.config.unwrap().digest, digest(right.as_bytes()));
    }
    // The configuration names another layer; the image has no name; the name is of another registry.
    for (config, names, reason) in [
        (config(&[&one, b"other", &one]), r#"["alpine:3.20"]"#, "should have"),
        (config(&[&one, &two, &one]), "null", "no name"),
        (config(&[&one]), r#"["alpine:3.20"]"#, "3 layers"),
        (config(&[&one, &two, &one]), r#"["localhost/app:1"]"#, "no registry localhost"),
    ] {
        let disk = Disk::new();
        let path = docker_save(&disk, &layers, &config, names, &links);
        let hub = Holder::new("docker.io");
        let report = import_from(&path, &[&hub], None).await;
        assert_eq!(report.images, 0);
        assert!(report.refusals[0].reason.contains(reason), "{report:?}");
        assert_eq!(hub.has_tag("library/alpine", "3.20").await, None);
    }
}

#[tokio::test]
async fn an_imported_tag_does_not_replace_a_newer_one_and_keeps_its_time() {
    let holder = Holder::new("ghcr.io");
    let named = holder.simple("org/app", "v1", b"layer").await;
    let disk = Disk::new();
    let path = disk.path("app.tar");
    export_to(&path, vec![holder.walked().await], &["--all"], HashSet::new()).await;
    // The exported tag was checked a minute ago.
    for (age, is_replaced) in [(30, false), (90, true)] {
        let new = Holder::new("ghcr.io");
        new.tag("org/app", "v1", &digest(b"other"), Duration::from_secs(age)).await;
        let report = import_from(&path, &[&new], None).await;
        assert_eq!((report.tags, report.kept_tags), (u64::from(is_replaced), u64::from(!is_replaced)));
        let expected = if is_replaced { named.clone() } else { digest(b"other") };
        assert_eq!(new.has_tag("org/app", "v1").await, Some(expected));
        if is_replaced {
            continue;
        }
        let kept = KeptTag {
            image: "ghcr.io/org/app:v1".to_owned(),
            stored: Some(digest(b"other").to_string()),
            archived: named.to_string(),
        };
        assert_eq!(report.kept, [kept]);
        let all = Options { replace: Replace::All, ..options(None) };
        let targets = OpenTargets(vec![Arc::clone(&new.target)]);
        let report = import_archive(File::open(&path).unwrap(), &targets, &all, |_| {}).await.unwrap();
        assert_eq!((report.tags, report.kept_tags, report.kept.len()), (1, 0, 0));
        assert_eq!(new.has_tag("org/app", "v1").await, Some(named.clone()));
    }
}

#[tokio::test]
async fn an_image_that_is_being_exported_is_not_evicted() {
    let holder = Holder::new("ghcr.io");
    holder.simple("org/app", "v1", &vec![5; 4 << 20]).await;
    let target = holder.walked().await;
    let keeper = Keeper::new(Arc::clone(&target.inventory), Limits::default());
    let (sender, mut receiver) = mpsc::channel(1);
    let targets = vec![target];
    let exporting =
        tokio::spawn(async move { export(&targets, &[Selector::all()], HashSet::new(), sender).await });
    // The export waits for its receiver.
    receiver.recv().await.unwrap().unwrap();
    receiver.recv().await.unwrap().unwrap();
    keeper.make_room(u64::MAX, Reason::Cap).await;
    assert!(holder.has_tag("org/app", "v1").await.is_some());
    while let Some(piece) = receiver.recv().await {
        piece.unwrap();
    }
    assert_eq!(
        exporting.await.unwrap().unwrap(),
        ExportReport { images: 1, blobs: 2, bytes: (4 << 20) + 2, ..ExportReport::default() }
    );
}

#[tokio::test]
async fn a_stream_that_breaks_off_leaves_no_file() {
    let holder = Holder::new("ghcr.io");
    holder.simple("org/app", "v1", &vec![5; 1 << 20]).await;
    let disk = Disk::new();
    let (sender, receiver) = mpsc::channel(2);
    let targets = vec![holder.walked().await];
    let collect = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        SentBytes::new(receiver).read_to_end(&mut bytes).unwrap();
        bytes
    });
    export(&targets, &[Selector::all()], HashSet::new(), sender).await.unwrap();
    let bytes = collect.await.unwrap();
    for name in ["app.tar", "app.tar.zst", "layout"] {
        for end in [0, 700, bytes.len() / 2, bytes.len() - 1500] {
            let cut = write_export(Cursor::new(&bytes[..end]), &disk.path(name), &mut |_| {});
            assert!(cut.is_err(), "{name} {end}");
            assert_eq!(disk.names(), [""; 0]);
        }
        let mut damaged = bytes.clone();
        let at = damaged.windows(1 << 20).position(|window| window.iter().all(|byte| *byte == 5)).unwrap();
        damaged[at] ^= 1;
        let error = write_export(Cursor::new(&damaged), &disk.path(name), &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("arrived damaged"), "{error}");
        assert_eq!(disk.names(), [""; 0]);
    }
    fs::create_dir(disk.path("taken")).unwrap();
    let taken = write_export(Cursor::new(&bytes), &disk.path("taken"), &mut |_| {}).unwrap_err();
    assert!(taken.to_string().contains("it exists"), "{taken}");
}

#[tokio::test]
async fn an_archive_without_images_or_with_hostile_entries_is_refused() {
    let quay = Holder::new("quay.io");
    let empty = vec![0; 1024];
    let error = try_import(Cursor::new(empty), &[&quay], None).await.unwrap_err();
    assert!(error.to_string().contains("neither index.json"), "{error}");
    let error = try_import(Cursor::new(b"no archive".to_vec()), &[&quay], None).await.unwrap_err();
    assert!(error.to_string().contains("is no tar archive"), "{error}");
    // A blob that claims more than any disk has.
    let mut header = tar::Header::new_gnu();
    header.set_path(format!("blobs/sha256/{}", "a".repeat(64))).unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(1 << 60);
    header.set_cksum();
    let directory = Disk::new();
    let metrics = telemetry::Metrics::new(&["quay.io".to_owned()]).registry("quay.io");
    let store: Arc<dyn Store> = Arc::new(storage::fs::open(&directory.path("store"), metrics).unwrap());
    let disk = Holder { target: target("quay.io", &store, false) };
    let error = try_import(Cursor::new(header.as_bytes().to_vec()), &[&disk], None).await.unwrap_err();
    assert!(error.to_string().contains("no room"), "{error}");
}

#[tokio::test]
async fn an_index_of_an_archive_is_read_through_all_its_levels() {
    let holder = Holder::new("ghcr.io");
    holder.blob(b"{}").await;
    holder.blob(b"layer").await;
    let text = image(b"{}", b"layer");
    holder.manifest("org/app", &text).await;
    let inner = index(&[text.as_bytes()]);
    holder.manifest("org/app", &inner).await;
    let outer = holder.manifest("org/app", &index(&[inner.as_bytes()])).await;
    holder.tag("org/app", "v1", &outer, Duration::ZERO).await;
    let disk = Disk::new();
    export_to(&disk.path("a.tar"), vec![holder.walked().await], &["ghcr.io/org/app:v1"], HashSet::new())
        .await;
    let new = Holder::new("ghcr.io");
    let report = import_from(&disk.path("a.tar"), &[&new], None).await;
    assert_eq!((report.images, report.incomplete), (1, 0), "{report:?}");
    assert_eq!(new.has_tag("org/app", "v1").await, Some(outer));
}

#[tokio::test]
async fn a_registry_whose_name_has_no_dot_and_a_large_manifest_come_back_as_they_were() {
    let (corp, hub) = (Holder::new("corp"), Holder::new("docker.io"));
    corp.blob(b"{}").await;
    corp.blob(b"layer").await;
    let padding = format!("{{\"padding\":\"{}\",", "x".repeat(300_000));
    let named = corp.manifest("org/app", &image(b"{}", b"layer").replacen('{', &padding, 1)).await;
    corp.tag("org/app", "v1", &named, Duration::from_secs(60)).await;
    let disk = Disk::new();
    let path = disk.path("app.tar");
    let written = export_to(&path, vec![corp.walked().await, hub.walked().await], &["--all"], HashSet::new());
    assert_eq!(written.await.report.images, 1);
    let (corp, hub) = (Holder::new("corp"), Holder::new("docker.io"));
    let report = import_from(&path, &[&hub, &corp], None).await;
    assert_eq!((report.images, report.refusals.len()), (1, 0), "{report:?}");
    assert_eq!(corp.has_tag("org/app", "v1").await, Some(named));
    assert_eq!(hub.has_tag("corp/org/app", "v1").await, None);
}

#[tokio::test]
async fn an_export_removes_what_a_killed_one_left_and_nothing_of_one_in_progress() {
    let hub = Holder::new("docker.io");
    hub.simple("org/app", "v1", b"layer").await;
    let targets = vec![hub.walked().await];
    let disk = Disk::new();
    fs::write(disk.path(".old.tar.wharf-0123abcd"), b"a killed export").unwrap();
    fs::create_dir(disk.path(".old.wharf-0123abcd")).unwrap();
    // An export that has begun and waits for its archive.
    let (sender, receiver) = mpsc::channel(2);
    let path = disk.path("slow.tar");
    let (reached, waits) = std::sync::mpsc::channel();
    let input = Announcing { reached: Some(reached), input: SentBytes::new(receiver) };
    let slow = tokio::task::spawn_blocking(move || write_export(input, &path, &mut |_| {}));
    tokio::task::spawn_blocking(move || waits.recv().unwrap()).await.unwrap();
    for name in ["new.tar", "layout"] {
        export_to(&disk.path(name), targets.clone(), &["--all"], HashSet::new()).await;
    }
    let names = disk.names();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().any(|name| name.starts_with(".slow.tar.wharf-")), "{names:?}");
    export(&targets, &[Selector::all()], HashSet::new(), sender).await.unwrap();
    slow.await.unwrap().unwrap();
    assert!(disk.names().iter().all(|name| !name.starts_with('.')), "{:?}", disk.names());
}

/// Says when it is read for the first time.
struct Announcing<R> {
    reached: Option<std::sync::mpsc::Sender<()>>,
    input: R,
}

impl<R: Read> Read for Announcing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(reached) = self.reached.take() {
            reached.send(()).unwrap();
        }
        self.input.read(buffer)
    }
}
