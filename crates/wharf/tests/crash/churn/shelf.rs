//! The content of the upstreams: many images that share layers, more than the stores may hold.

use std::fmt::Write as _;
use std::path::Path;

use fastrand::Rng;
use testkit::{Blob, Door, Endpoint, FakeRegistry, Format, Image, Index};

/// The limits of the stores, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    /// The most of each registry's store.
    pub(crate) caps: [Option<u64>; 2],
    /// The most of both together.
    pub(crate) common: Option<u64>,
    /// The least that stays free on the file system.
    pub(crate) floor: Option<u64>,
}

pub(crate) const NAMES: [&str; 2] = ["one.test", "two.test"];
const REPOSITORIES: [&str; 3] = ["library/app", "team/tools/app", "solo"];

/// Names per registry.
const PRODUCT_COUNT: usize = 24;

/// Layers that many images have: either side of the sizes at which the behaviour changes.
const SHARED_LAYERS: [u64; 6] = [1_000, 65_537, 262_144, 300_000, 1_200_000, 2_500_000];

/// The upstreams and their content.
pub(crate) struct Shelf {
    pub(crate) upstreams: [FakeRegistry; 2],
    pub(crate) products: Vec<Product>,
}

/// Something that clients pull by a tag.
pub(crate) struct Product {
    /// The number of its registry.
    pub(crate) registry: usize,
    pub(crate) repository: &'static str,
    pub(crate) tags: Vec<String>,
    pub(crate) index: Option<Index>,
    /// One for each platform; one if there is no index.
    pub(crate) images: Vec<Image>,
}

impl Shelf {
    pub(crate) async fn new(rng: &mut Rng) -> Self {
        let upstreams = [FakeRegistry::start_anonymous().await, FakeRegistry::start_anonymous().await];
        let mut products = Vec::new();
        for (registry, upstream) in upstreams.iter().enumerate() {
            for number in 0..PRODUCT_COUNT {
                let product = Product::random(registry, number, rng);
                product.put(upstream);
                products.push(product);
            }
        }
        Self { upstreams, products }
    }

    /// The configuration of a program over stores below `data`, with further lines for each registry.
    pub(crate) fn configuration(&self, data: &Path, room: &Room, lines: &str) -> String {
        let size = |size: Option<u64>| size.map_or_else(|| "off".to_owned(), |bytes| format!("{bytes}B"));
        let mut text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = false\n\
             [storage]\nroot = \"{}\"\nmax_size = \"{}\"\nfree_min = \"{}\"\n",
            data.display(),
            size(room.common),
            size(room.floor)
        );
        for ((name, upstream), cap) in NAMES.iter().zip(&self.upstreams).zip(room.caps) {
            write!(
                text,
                "[[registry]]\nname = \"{name}\"\nupstream = \"{}\"\ntrusted_hosts = [\"{}\"]\n\
                 max_size = \"{}\"\n{lines}\n",
                upstream.url(),
                upstream.host_of(Endpoint::Cdn),
                size(cap)
            )
            .expect("writing to a string does not fail");
        }
        text
    }

    /// Opens or shuts the upstreams.
    pub(crate) async fn set_doors(&self, door: Door) {
        for upstream in &self.upstreams {
            for endpoint in [Endpoint::Registry, Endpoint::Cdn] {
                upstream.set_door(endpoint, door).await;
            }
        }
    }

    pub(crate) fn any(&self, rng: &mut Rng) -> &Product {
        &self.products[rng.usize(..self.products.len())]
    }
}

impl Product {
    fn random(registry: usize, number: usize, rng: &mut Rng) -> Self {
        let repository = REPOSITORIES[rng.usize(..REPOSITORIES.len())];
        let is_index = rng.u8(..4) == 0;
        let platforms: &[_] = if is_index { &["amd64", "arm64", "riscv64"] } else { &["amd64"] };
        let images: Vec<_> = platforms.iter().map(|platform| image(platform, rng)).collect();
        let tag_count = if rng.u8(..4) == 0 { 5 } else { 1 };
        let tags = (0..tag_count).map(|tag| format!("v{number}.{tag}")).collect();
        let index = is_index.then(|| Index::of(Format::Oci, &images));
        Self { registry, repository, tags, index, images }
    }

    fn put(&self, upstream: &FakeRegistry) {
        for tag in &self.tags {
            match &self.index {
                Some(index) => upstream.put_index(self.repository, tag, index),
                None => upstream.put_image(self.repository, tag, &self.images[0]),
            }
        }
    }

    /// The digest that its tags name.
    pub(crate) fn digest(&self) -> &str {
        self.index.as_ref().map_or_else(|| self.images[0].digest(), Index::digest)
    }

    pub(crate) fn registry_name(&self) -> &'static str {
        NAMES[self.registry]
    }

    pub(crate) fn manifest_target(&self, reference: &str) -> String {
        format!("/v2/{}/manifests/{reference}", self.repository)
    }

    pub(crate) fn blob_target(&self, blob: &Blob) -> String {
        format!("/v2/{}/blobs/{}", self.repository, blob.digest)
    }
}

/// An image of some shared layers and one or two of its own.
fn image(platform: &str, rng: &mut Rng) -> Image {
    let mut builder = Image::builder(Format::Oci).platform("linux", platform);
    for _ in 0..rng.usize(1..4) {
        let number = rng.usize(..SHARED_LAYERS.len());
        builder = builder.generated_layer(number as u64, SHARED_LAYERS[number]);
    }
    for _ in 0..rng.usize(1..3) {
        builder = builder.generated_layer(rng.u64(1_000..), rng.u64(1..900_000));
    }
    builder.command(&[&rng.u64(..).to_string()]).build()
}
