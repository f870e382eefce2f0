//! Imports keep to the limits on the stores, by the rule of a pull.

use std::fs;
use std::sync::Arc;

use archive::{ImportError, OpenTargets, Report, Source, Target, import, import_archive};
use inventory::{CommonKeeper, ImageCursor, Keeper};
use oci::Digest;
use policy::eviction::{Cap, CommonLimits, Limits};
use storage::{MemoryStore, Space, Store};

use super::carry::{Disk, layout_tar, named};
use super::{Registry, digest, image, index, options, repository, tag, target, write};

const LAYER_BYTES: usize = 10_000;
const PADDING_BYTES: usize = 30_000;

/// The layers and the manifests of two platforms, and their index.
fn two_platforms() -> ([Vec<u8>; 2], [String; 2], String) {
    let layers = [vec![1; LAYER_BYTES], vec![2; LAYER_BYTES]];
    let padding = format!("{{\"padding\":\"{}\",", "x".repeat(PADDING_BYTES));
    let manifests = [0, 1].map(|at| image(b"{}", &layers[at]).replacen('{', &padding, 1));
    let root = index(&[manifests[0].as_bytes(), manifests[1].as_bytes()]);
    (layers, manifests, root)
}

/// A registry's directory with an image of two platforms. Returns the digests of its layers.
fn registry_directory() -> (Registry, [Digest; 2]) {
    let (layers, manifests, root) = two_platforms();
    let registry = Registry::new();
    registry.blob(b"{}");
    manifests.iter().for_each(|text| drop(registry.manifest("org/app", text)));
    let root = registry.manifest("org/app", &root);
    registry.tag("org/app", "v1", &root.to_string());
    let layers = layers.map(|layer| registry.blob(&layer));
    (registry, layers)
}

/// A store that no server keeps to its limits.
struct AtRest {
    store: Arc<dyn Store>,
    target: Arc<Target>,
    keeper: Arc<Keeper>,
    common: Arc<CommonKeeper>,
}

impl AtRest {
    async fn below(limits: Limits, common: CommonLimits) -> Self {
        let memory = MemoryStore::new();
        memory.set_space(Some(Space::new(1_000_000, 100_000)));
        let store: Arc<dyn Store> = Arc::new(memory);
        let target = target("ghcr.io", &store, false);
        let keeper = Keeper::new(Arc::clone(&target.inventory), limits);
        keeper.walk().await.unwrap();
        let common = CommonKeeper::new(common);
        common.set_keepers(vec![Arc::clone(&keeper)]);
        common.measure().await;
        Self { store, target, keeper, common }
    }

    async fn import(&self, registry: &Registry) -> Result<Report, ImportError> {
        let source = Arc::new(Source::open(registry.0.path(), None).unwrap());
        let targets = OpenTargets(vec![Arc::clone(&self.target)]);
        import(source, &targets, &options(Some("ghcr.io")), |_| {}).await
    }

    async fn lists_nothing(&self) -> bool {
        let listed = self.target.inventory.images(ImageCursor::default(), 10).images;
        let records = self.store.manifests(&repository(), None, 10).await.unwrap();
        let named = self.store.tag(&repository(), &tag("v1")).await.unwrap();
        listed.is_empty() && records.is_empty() && named.is_none()
    }
}

fn own(bytes: u64) -> Limits {
    Limits { max: Some(Cap::Bytes(bytes)), ..Limits::default() }
}

#[tokio::test]
async fn an_import_whose_manifests_have_no_room_names_the_limit_and_lists_no_part_of_the_image() {
    let common = |bytes| CommonLimits { max: Some(Cap::Bytes(bytes)), free_min: None };
    let floor = |bytes| CommonLimits { max: None, free_min: Some(Cap::Bytes(bytes)) };
    let none = CommonLimits::default();
    // Its blobs have room. A manifest may exceed a limit a little, and all of them together do not fit.
    for (limits, common, text) in [
        (own(65_000), none, "`max_size` of the registry is 65000 bytes"),
        (Limits::default(), common(65_000), "`max_size` of `[storage]` is 65000 bytes"),
        (Limits::default(), floor(60_000), "`free_min` keeps 60000 bytes"),
    ] {
        let (registry, layers) = registry_directory();
        let at_rest = AtRest::below(limits, common).await;
        let error = at_rest.import(&registry).await.unwrap_err();
        assert!(matches!(error, ImportError::NoRoom(_)), "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.to_string().contains("the manifests of org/app:v1"), "{error}");
        assert!(at_rest.lists_nothing().await, "{text}");
        for layer in &layers {
            assert!(at_rest.store.open(layer).await.unwrap().is_some(), "the next import goes on from there");
        }
        at_rest.keeper.set_limits(Limits::default());
        at_rest.common.set_limits(none);
        at_rest.common.measure().await;
        let report = at_rest.import(&registry).await.unwrap();
        assert_eq!((report.images, report.blobs, report.held_blobs, report.tags), (1, 0, 3, 1), "{report:?}");
        // What is held needs no room.
        at_rest.keeper.set_limits(own(10));
        at_rest.common.measure().await;
        let report = at_rest.import(&registry).await.unwrap();
        assert_eq!((report.images, report.held_tags), (1, 1), "{report:?}");
    }
}

#[tokio::test]
async fn an_import_whose_blobs_have_no_room_names_the_first_of_them_and_lists_nothing() {
    let (layers, manifests, root) = two_platforms();
    let documents = ["{}", &manifests[0], &manifests[1], &root].map(str::as_bytes);
    let contents = [&layers[0][..], &layers[1]].into_iter().chain(documents).collect::<Vec<_>>();
    let disk = Disk::new();
    let index = format!(r#"{{"manifests":[{}]}}"#, named(root.as_bytes(), "ghcr.io/org/app:v1"));
    let archive = layout_tar(&disk, &contents, &index);
    let (registry, [first, second]) = registry_directory();
    for is_archive in [false, true] {
        let at_rest = AtRest::below(own(15_000), CommonLimits::default()).await;
        let imported = match is_archive {
            false => at_rest.import(&registry).await,
            true => {
                let targets = OpenTargets(vec![Arc::clone(&at_rest.target)]);
                import_archive(fs::File::open(&archive).unwrap(), &targets, &options(None), |_| {}).await
            }
        };
        let error = imported.unwrap_err().to_string();
        assert!(error.contains("`max_size` of the registry is 15000 bytes"), "{error}");
        assert!([&first, &second].iter().any(|layer| error.contains(&layer.to_string())), "{error}");
        assert!(at_rest.lists_nothing().await);
        assert!(at_rest.store.usage().blobs.bytes <= 15_000);
    }
}

#[tokio::test]
async fn the_manifests_of_an_image_with_several_names_are_read_once() {
    let layout = tempfile::tempdir().unwrap();
    let text = image(b"{}", b"layer");
    for bytes in [b"{}".as_slice(), b"layer", text.as_bytes()] {
        write(&layout.path().join(format!("blobs/sha256/{}", digest(bytes).hex())), bytes);
    }
    let names = ["ghcr.io/org/app:v1", "ghcr.io/org/other:v1", "ghcr.io/org/third:v1"];
    let entries = names.map(|name| named(text.as_bytes(), name)).join(",");
    write(&layout.path().join("index.json"), format!(r#"{{"manifests":[{entries}]}}"#));
    write(&layout.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let at_rest = AtRest::below(Limits::default(), CommonLimits::default()).await;
    let source = Arc::new(Source::open(layout.path(), None).unwrap());
    let targets = OpenTargets(vec![Arc::clone(&at_rest.target)]);
    let manifest = layout.path().join(format!("blobs/sha256/{}", digest(text.as_bytes()).hex()));
    let mut name_count = 0;
    let say = |_: &str| {
        name_count += 1;
        if name_count == 2 {
            fs::remove_file(&manifest).unwrap();
        }
    };
    let report = import(source, &targets, &options(None), say).await.unwrap();
    assert_eq!(report.refusals, []);
    assert_eq!((report.images, report.tags, name_count), (3, 3, 3));
}
