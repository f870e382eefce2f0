//! Directories that are packed for a wharf that runs.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io::{self, Cursor, Write};
use std::path::Path;
use std::sync::Arc;

use archive::{
    Kind, OpenTargets, Options, Packer, Receiver, Registries, Report, Source, SourceError, Target,
    import_archive,
};
use oci::Digest;
use storage::Store;

use crate::{Registry, digest, image, index, memory_store, options, repository, tag, target, write};

/// The registries of a wharf.
struct Served(Vec<Arc<Target>>);

/// Only tests of an error of the source would need another.
#[derive(Debug)]
struct Broken;

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        panic!("{error}")
    }
}

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Registries for Served {
    type Error = Broken;

    fn resolve(&mut self, name: &str) -> Result<Result<String, String>, Broken> {
        let found = self.0.iter().find(|target| target.has_name(name));
        Ok(found.map(|target| target.name.clone()).ok_or_else(|| format!("no registry {name}")))
    }
}

/// An archive in memory, and the images that were begun.
#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    begun: Vec<String>,
}

impl Write for Received {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Receiver for Received {
    fn begin(&mut self, image: &str) {
        self.begun.push(image.to_owned());
    }
}

/// The report, the images of each archive and the bytes of all.
pub(super) async fn carry(
    source: &Source,
    chosen: Option<&str>,
    targets: &[Arc<Target>],
) -> (Report, Vec<usize>, usize) {
    let mut served = Served(targets.to_vec());
    let mut packer = Packer::new(source, chosen.map(str::to_owned)).unwrap();
    let (mut report, mut counts, mut bytes) = (Report::default(), Vec::new(), 0);
    while let Some(batch) = packer.next(&mut served).unwrap() {
        let home = targets.iter().find(|target| target.name == batch.registry()).unwrap();
        let mut missing = HashSet::new();
        for blob in batch.blobs() {
            if home.inventory.store().open(blob).await.unwrap().is_none() {
                missing.insert(blob.clone());
            }
        }
        let mut received = Received::default();
        batch.write(&missing, &mut received).unwrap();
        counts.push(received.begun.len());
        bytes += received.bytes.len();
        let options = Options { takes_incomplete: true, ..options(None) };
        let input = Cursor::new(received.bytes);
        let all = OpenTargets(targets.to_vec());
        report.add(import_archive(input, &all, &options, |_| {}).await.unwrap());
    }
    report.refuse(packer.refusals());
    (report, counts, bytes)
}

async fn holds(store: &Arc<dyn Store>, blob: &Digest) -> bool {
    store.open(blob).await.unwrap().is_some()
}

#[tokio::test]
async fn a_registry_directory_is_packed_with_images_that_lack_parts_and_then_without_blobs() {
    let registry = Registry::new();
    let large = vec![7; 3 << 20];
    let (config, layer) = (registry.blob(b"{}"), registry.blob(&large));
    let text = image(b"{}", &large);
    registry.manifest("org/app", &text);
    let root = index(&[text.as_bytes(), b"a platform that was never pulled"]);
    let root = registry.manifest("org/app", &root);
    registry.tag("org/app", "v1", &root.to_string());
    // A layer that was never pulled, one with other bytes, and a manifest that is none.
    registry.manifest("org/lacking", &image(b"{}", b"never pulled"));
    let changed = registry.blob(b"changed");
    write(&registry.data(&changed), b"changeD");
    registry.manifest("org/wrong", &image(b"{}", b"changed"));
    let page = registry.manifest("org/page", "<html>");
    let source = Source::open(registry.0.path(), None).unwrap();
    let store = memory_store();
    // Some names of registries have no dot.
    let targets = [target("corp", &store, true)];
    let (report, counts, _) = carry(&source, Some("corp"), &targets).await;
    assert_eq!((report.images, report.incomplete, report.blobs, report.tags), (3, 3, 2, 1), "{report:?}");
    assert_eq!(counts, [3]);
    let refused: Vec<_> = report.refusals.iter().map(|refusal| refusal.what.clone()).collect();
    assert_eq!(refused, [changed.to_string(), page.to_string()], "{report:?}");
    assert_eq!(store.tag(&repository(), &tag("v1")).await.unwrap().unwrap().digest, root);
    for (blob, is_held) in [(&config, true), (&layer, true), (&changed, false)] {
        assert_eq!(holds(&store, blob).await, is_held, "{blob}");
    }
    assert!(store.has_link(&repository(), &layer).await.unwrap());
    let (again, _, bytes) = carry(&source, Some("corp"), &targets).await;
    assert_eq!((again.images, again.blobs, again.held_tags), (3, 0, 1), "{again:?}");
    assert!(bytes < 100_000, "{bytes} bytes were sent again");
}

#[tokio::test]
async fn many_images_go_into_several_archives() {
    let layout = tempfile::tempdir().unwrap();
    // A manifest that is larger than small blobs.
    let padding = format!("{{\"padding\":\"{}\",", "x".repeat(300_000));
    let texts = [image(b"{}", b"layer"), image(b"{}", b"layer").replacen('{', &padding, 1)];
    for bytes in [b"{}".as_slice(), b"layer", texts[0].as_bytes(), texts[1].as_bytes()] {
        write(&layout.path().join(format!("blobs/sha256/{}", digest(bytes).hex())), bytes);
    }
    let entry = |number: usize| {
        let digest = digest(texts[usize::from(number == 501)].as_bytes());
        let name = format!("{{\"io.containerd.image.name\":\"ghcr.io/org/app:v{number}\"}}");
        format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":1,"annotations":{name}}}"#)
    };
    let entries: Vec<_> = (0..502).map(entry).collect();
    write(&layout.path().join("index.json"), format!(r#"{{"manifests":[{}]}}"#, entries.join(",")));
    write(&layout.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let source = Source::open(layout.path(), None).unwrap();
    let store = memory_store();
    let (report, counts, _) = carry(&source, None, &[target("ghcr.io", &store, false)]).await;
    assert_eq!((report.images, report.incomplete, report.blobs, report.tags), (502, 0, 2, 502), "{report:?}");
    assert_eq!(counts, [500, 2]);
    assert!(store.tag(&repository(), &tag("v501")).await.unwrap().is_some());
}

/// containerd's content store, with a list of names beside it.
fn content_store(directory: &Path, images: &[(&str, &str)]) {
    std::fs::create_dir_all(directory.join("ingest")).unwrap();
    let mut list = String::new();
    for (name, text) in images {
        let digest = digest(text.as_bytes());
        write(&directory.join(format!("blobs/sha256/{}", digest.hex())), text);
        list += &format!("{name} application/vnd.oci.image.manifest.v1+json {digest} 5 B linux/amd64 -\n");
    }
    for bytes in [b"{}".as_slice(), b"layer"] {
        write(&directory.join(format!("blobs/sha256/{}", digest(bytes).hex())), bytes);
    }
    write(&directory.join("names"), list);
}

#[tokio::test]
async fn a_content_store_of_containerd_is_carried_by_a_list_of_names() {
    let directory = tempfile::tempdir().unwrap();
    let text = image(b"{}", b"layer");
    let images = [
        ("ghcr.io/org/app:v1", text.as_str()),
        ("index.docker.io/org/app:v2", text.as_str()),
        ("nope.example/org/app:v3", text.as_str()),
    ];
    content_store(directory.path(), &images);
    let error = Source::open(directory.path(), None).unwrap_err();
    assert!(matches!(error, SourceError::NoNames { .. }), "{error}");
    let names = directory.path().join("names");
    let source = Source::open(directory.path(), Some(&names)).unwrap();
    assert_eq!(source.kind(), Kind::Containerd);
    let (one, hub) = (memory_store(), memory_store());
    let mut docker = Target::clone(&target("docker.io", &hub, false));
    docker.aliases.push("index.docker.io".to_owned());
    let targets = [target("ghcr.io", &one, false), Arc::new(docker)];
    let (report, _, _) = carry(&source, None, &targets).await;
    assert_eq!((report.images, report.incomplete, report.tags), (2, 0, 2), "{report:?}");
    assert_eq!(report.refusals[0].what, "nope.example/org/app:v3");
    assert_eq!(one.tag(&repository(), &tag("v1")).await.unwrap().unwrap().digest, digest(text.as_bytes()));
    assert_eq!(hub.tag(&repository(), &tag("v2")).await.unwrap().unwrap().digest, digest(text.as_bytes()));
    // The operator's registry only.
    let (report, _, _) = carry(&source, Some("docker.io"), &targets).await;
    assert_eq!((report.images, report.held_tags, report.refusals.len()), (1, 1, 2), "{report:?}");
    assert!(report.refusals[0].reason.contains("--registry ghcr.io"), "{report:?}");
}
