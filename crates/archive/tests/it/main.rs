//! Imports from directories as other programs write them.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

mod attacks;
mod carry;
mod names;
mod pack;
mod room;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use archive::{Kind, OpenTargets, Options, Report, Source, SourceError, Target, import};
use inventory::Inventory;
use oci::{Algorithm, Digest, Repository, Tag};
use policy::freshness::{Replace, TagRecord};
use storage::{MemoryStore, Store};
use tempfile::TempDir;

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn repository() -> Repository {
    "org/app".parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn image(config: &[u8], layer: &[u8]) -> String {
    let part = |bytes: &[u8]| {
        format!(r#"{{"mediaType":"a/b","digest":"{}","size":{}}}"#, digest(bytes), bytes.len())
    };
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
        part(config),
        part(layer)
    )
}

fn index(manifests: &[&[u8]]) -> String {
    let entry = |bytes: &&[u8]| format!(r#"{{"mediaType":"a/b","digest":"{}","size":1}}"#, digest(bytes));
    let entries: Vec<_> = manifests.iter().map(entry).collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        entries.join(",")
    )
}

/// A registry's storage directory.
struct Registry(TempDir);

impl Registry {
    fn new() -> Self {
        let registry = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(registry.v2().join("blobs")).unwrap();
        fs::create_dir_all(registry.v2().join("repositories")).unwrap();
        registry
    }

    fn v2(&self) -> std::path::PathBuf {
        self.0.path().join("docker/registry/v2")
    }

    fn data(&self, digest: &Digest) -> std::path::PathBuf {
        self.v2().join(format!("blobs/sha256/{}/{}/data", &digest.hex()[..2], digest.hex()))
    }

    fn blob(&self, bytes: &[u8]) -> Digest {
        write(&self.data(&digest(bytes)), bytes);
        digest(bytes)
    }

    fn manifest(&self, repository: &str, text: &str) -> Digest {
        let digest = self.blob(text.as_bytes());
        let path = format!("repositories/{repository}/_manifests/revisions/sha256/{}/link", digest.hex());
        write(&self.v2().join(path), digest.to_string());
        digest
    }

    fn tag(&self, repository: &str, tag: &str, link: &str) {
        let path = format!("repositories/{repository}/_manifests/tags/{tag}/current/link");
        write(&self.v2().join(path), link);
    }
}

async fn run(path: &Path, store: &Arc<dyn Store>, grants: bool) -> Report {
    let source = Arc::new(Source::open(path, None).unwrap());
    let targets = OpenTargets(vec![target("ghcr.io", store, grants)]);
    import(source, &targets, &options(Some("ghcr.io")), |_| {}).await.unwrap()
}

fn options(registry: Option<&str>) -> Options {
    Options {
        registry: registry.map(str::to_owned),
        made_at: SystemTime::now(),
        replace: Replace::Older,
        takes_incomplete: false,
    }
}

fn target(name: &str, store: &Arc<dyn Store>, grants: bool) -> Arc<Target> {
    let metrics = telemetry::Metrics::new(&[name.to_owned()]).registry(name);
    let inventory = Inventory::new(name, Arc::clone(store), metrics, Box::new(SystemTime::now));
    let scratch = std::env::temp_dir();
    Arc::new(Target { name: name.to_owned(), aliases: Vec::new(), grants, inventory, scratch })
}

fn memory_store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn file_store(directory: &Path) -> Arc<dyn Store> {
    let metrics = telemetry::Metrics::new(&["test".to_owned()]).registry("test");
    Arc::new(storage::fs::open(&directory.join("store"), metrics).unwrap())
}

async fn imports_once_and_then_nothing(store: &Arc<dyn Store>) {
    let registry = Registry::new();
    let (config, layer) = (registry.blob(b"{}"), registry.blob(&vec![7; 3 << 20]));
    let text = image(b"{}", &vec![7; 3 << 20]);
    registry.manifest("org/app", &text);
    // The other platform was never pulled.
    let root = index(&[text.as_bytes(), b"another platform"]);
    let root_digest = registry.manifest("org/app", &root);
    registry.tag("org/app", "v1", &root_digest.to_string());
    let report = run(registry.0.path(), store, true).await;
    assert_eq!(report.refusals, []);
    assert_eq!((report.images, report.incomplete, report.blobs, report.tags), (1, 1, 2, 1));
    for blob in [&config, &layer] {
        assert_eq!(&store.open(blob).await.unwrap().unwrap().digest(Algorithm::Sha256).await.unwrap(), blob);
        assert!(store.has_link(&repository(), blob).await.unwrap());
    }
    for manifest in [&root_digest, &digest(text.as_bytes())] {
        assert!(store.manifest(&repository(), manifest).await.unwrap().is_some());
    }
    assert_eq!(store.tag(&repository(), &tag("v1")).await.unwrap().unwrap().digest, root_digest);
    let again = run(registry.0.path(), store, true).await;
    assert_eq!((again.blobs, again.bytes, again.tags), (0, 0, 0));
    assert_eq!((again.held_blobs, again.held_tags), (2, 1));
}

#[tokio::test]
async fn a_registry_directory_is_imported_once_and_then_nothing_is_copied() {
    imports_once_and_then_nothing(&memory_store()).await;
    let directory = tempfile::tempdir().unwrap();
    imports_once_and_then_nothing(&file_store(directory.path())).await;
}

#[tokio::test]
async fn a_blob_that_images_of_a_directory_share_counts_once() {
    let (registry, store) = (Registry::new(), memory_store());
    registry.blob(b"{}");
    registry.blob(b"shared");
    for repository in ["org/app", "org/other", "org/third"] {
        let named = registry.manifest(repository, &image(b"{}", b"shared"));
        registry.tag(repository, "v1", &named.to_string());
    }
    let report = run(registry.0.path(), &store, false).await;
    assert_eq!((report.images, report.blobs, report.held_blobs), (3, 2, 0));
    let again = run(registry.0.path(), &store, false).await;
    assert_eq!((again.images, again.blobs, again.held_blobs), (3, 0, 2));
}

#[tokio::test]
async fn a_tag_that_the_store_knows_from_a_later_time_stays_and_an_older_one_is_replaced() {
    let registry = Registry::new();
    let named = registry.manifest("org/app", &image(&[], &[]));
    registry.tag("org/app", "v1", &named.to_string());
    let minute = Duration::from_secs(60);
    for (checked_at, expected) in
        [(SystemTime::now() + minute, digest(b"other")), (SystemTime::now() - minute, named)]
    {
        let store = memory_store();
        let media_type = "application/vnd.oci.image.manifest.v1+json".parse().unwrap();
        let record = TagRecord { digest: digest(b"other"), media_type, size: 5, checked_at };
        store.put_tag(&repository(), &tag("v1"), &record).await.unwrap();
        run(registry.0.path(), &store, false).await;
        assert_eq!(store.tag(&repository(), &tag("v1")).await.unwrap().unwrap().digest, expected);
    }
}

/// A record of such a time would outweigh the registry's word until then.
#[tokio::test]
async fn a_tag_of_a_time_that_lies_ahead_is_as_old_as_its_import() {
    let registry = Registry::new();
    let named = registry.manifest("org/app", &image(&[], &[]));
    registry.tag("org/app", "v1", &named.to_string());
    let link = registry.v2().join("repositories/org/app/_manifests/tags/v1/current/link");
    let year = Duration::from_secs(365 * 24 * 3600);
    fs::File::options().write(true).open(link).unwrap().set_modified(SystemTime::now() + year).unwrap();
    let store = memory_store();
    run(registry.0.path(), &store, false).await;
    let record = store.tag(&repository(), &tag("v1")).await.unwrap().unwrap();
    assert!(record.checked_at <= SystemTime::now(), "{record:?}");
}

#[tokio::test]
async fn what_is_malformed_is_refused_by_name_and_the_rest_is_imported() {
    let registry = Registry::new();
    let layer = registry.blob(b"layer");
    registry.blob(b"{}");
    let good = registry.manifest("org/app", &image(b"{}", b"layer"));
    registry.tag("org/app", "good", &good.to_string());
    // A layer whose bytes changed, a manifest whose bytes changed, a manifest that is none.
    let changed = registry.blob(b"other layer");
    write(&registry.data(&changed), b"other bytes");
    registry.manifest("org/app", &image(b"{}", b"other layer"));
    let lie = registry.manifest("org/app", &image(b"{}", b"layer "));
    write(&registry.data(&lie), image(b"{}", b"layer"));
    let page = registry.manifest("org/app", "<html>");
    // A tag without a digest, a tag that names nothing held, and huge documents.
    registry.tag("org/app", "empty", "latest");
    registry.tag("org/app", "gone", &digest(b"gone").to_string());
    registry.tag("org/app", "huge", &"a".repeat(1000));
    let huge = registry.manifest("org/app", &"[".repeat(5 << 20));
    registry.manifest("org/App", &image(b"{}", b"layer"));
    let store = memory_store();
    let report = run(registry.0.path(), &store, false).await;
    let refused: Vec<_> = report.refusals.iter().map(|refusal| refusal.what.clone()).collect();
    for what in [changed, lie.clone(), page, digest(b"gone"), huge] {
        assert!(refused.contains(&what.to_string()), "{what}: {:?}", report.refusals);
    }
    for what in ["org/app:empty", "org/app:huge", "org/App"] {
        assert!(refused.contains(&what.to_owned()), "{what}: {:?}", report.refusals);
    }
    assert_eq!(refused.len(), 8, "{:?}", report.refusals);
    assert_eq!(store.tag(&repository(), &tag("good")).await.unwrap().unwrap().digest, good);
    assert!(store.tag(&repository(), &tag("gone")).await.unwrap().is_none());
    assert!(store.manifest(&repository(), &lie).await.unwrap().is_none());
    assert!(store.open(&layer).await.unwrap().is_some());
    assert!(!store.has_link(&repository(), &layer).await.unwrap());
}

#[tokio::test]
async fn links_do_not_lead_out_of_the_source() {
    let registry = Registry::new();
    let outside = tempfile::tempdir().unwrap();
    write(&outside.path().join("secret"), b"secret");
    let secret = digest(b"secret");
    fs::create_dir_all(registry.data(&secret).parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), registry.data(&secret)).unwrap();
    registry.blob(b"{}");
    registry.manifest("org/app", &image(b"{}", b"secret"));
    let store = memory_store();
    let report = run(registry.0.path(), &store, false).await;
    assert_eq!((report.images, report.incomplete), (1, 1));
    assert!(store.open(&secret).await.unwrap().is_none());
}

#[tokio::test]
async fn bytes_of_an_interrupted_copy_are_used_or_replaced() {
    for left in [b"lay".as_slice(), b"bad", b"too long"] {
        let registry = Registry::new();
        let layer = registry.blob(b"layer");
        registry.blob(b"{}");
        registry.manifest("org/app", &image(b"{}", b"layer"));
        let store = memory_store();
        let spool = store.spool(&layer).await.unwrap();
        spool.write(0, vec![left.to_vec().into()]).await.unwrap();
        spool.leave().await;
        let report = run(registry.0.path(), &store, false).await;
        assert_eq!((report.refusals.as_slice(), report.blobs), ([].as_slice(), 2));
        assert!(store.open(&layer).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_layout_gives_images_of_the_registry_that_was_chosen() {
    let layout = tempfile::tempdir().unwrap();
    let text = image(b"{}", b"layer");
    for bytes in [b"{}".as_slice(), b"layer", text.as_bytes()] {
        write(&layout.path().join(format!("blobs/sha256/{}", digest(bytes).hex())), bytes);
    }
    let manifest = digest(text.as_bytes());
    let entry = |key: &str, name: &str| {
        format!(r#"{{"mediaType":"a/b","digest":"{manifest}","size":1,"annotations":{{"{key}":"{name}"}}}}"#)
    };
    let entries = [
        entry("org.opencontainers.image.ref.name", "ghcr.io/org/app:v1"),
        entry("io.containerd.image.name", "quay.io/org/app:v1"),
        entry("org.opencontainers.image.ref.name", "v1"),
    ];
    write(&layout.path().join("index.json"), format!(r#"{{"manifests":[{}]}}"#, entries.join(",")));
    write(&layout.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    assert_eq!(Source::open(layout.path(), None).unwrap().kind(), Kind::Layout);
    let store = memory_store();
    let report = run(layout.path(), &store, false).await;
    assert_eq!((report.images, report.incomplete, report.refusals.len()), (1, 0, 2));
    assert!(report.refusals.iter().any(|refusal| refusal.reason.contains("--registry quay.io")));
    assert_eq!(store.tag(&repository(), &tag("v1")).await.unwrap().unwrap().digest, manifest);
}

#[test]
fn a_path_that_is_no_source_is_refused_with_the_kinds_that_are() {
    let directory = tempfile::tempdir().unwrap();
    let error = Source::open(directory.path(), None).unwrap_err();
    assert!(error.to_string().contains("docker/registry/v2"), "{error}");
    assert!(matches!(Source::open(&directory.path().join("none"), None), Err(SourceError::Io { .. })));
    // A store of wharf looks like the storage directory of a registry, and holds nothing that one would.
    let store = directory.path().join("docker.io");
    drop(storage::fs::open(&store, telemetry::Metrics::new(&["test".to_owned()]).registry("test")).unwrap());
    for path in [directory.path(), &store] {
        let error = Source::open(path, None).unwrap_err();
        assert!(error.to_string().contains("run `wharf export --all`"), "{error}");
    }
}

#[tokio::test]
async fn a_report_names_the_first_refused_parts_and_counts_all() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    // Entries without a name.
    let entry = format!(r#"{{"digest":"{}"}}"#, digest(b"a"));
    let entries = vec![entry; 10_020].join(",");
    write(&directory.path().join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#));
    let report = run(directory.path(), &memory_store(), false).await;
    assert_eq!((report.refused, report.refusals.len()), (10_020, 10_000));
    let mut sum = Report::default();
    sum.add(report.clone());
    sum.add(report);
    assert_eq!((sum.refused, sum.refusals.len()), (20_040, 10_000));
}

#[tokio::test]
async fn a_registry_directory_that_is_partly_unreadable_loses_no_other_repository() {
    let registry = Registry::new();
    registry.blob(b"{}");
    registry.blob(b"layer");
    registry.manifest("org/app", &image(b"{}", b"layer"));
    let closed = registry.v2().join("repositories/org/closed");
    fs::create_dir_all(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&closed).is_ok() {
        // Permissions do not bind root.
        fs::remove_dir(&closed).unwrap();
    }
    let long = (0..6).fold(registry.v2().join("repositories"), |path, _| path.join("d".repeat(60)));
    fs::create_dir_all(long.join("_manifests")).unwrap();
    let report = run(registry.0.path(), &memory_store(), false).await;
    assert_eq!(report.images, 1, "{report:?}");
    let refused: Vec<_> = report.refusals.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(refused.contains(&"repositories/org/closed"), closed.exists(), "{refused:?}");
    assert!(refused.iter().any(|what| what.starts_with("ddd")), "{refused:?}");
}

#[test]
fn a_list_of_names_is_read_up_to_its_bound() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    write(&directory.path().join("index.json"), "{}");
    // It has no end.
    let error = Source::open(directory.path(), Some(Path::new("/dev/zero"))).unwrap_err();
    assert!(error.to_string().contains("/dev/zero"), "{error}");
    assert!(error.to_string().contains("33554432 bytes"), "{error}");
}
