//! A seeded simulation of a store that is always over its cap, on paused time: clients pull images with
//! shared layers, read slowly and leave, while images are evicted, pinned and purged and the process
//! restarts. A failure names its seed; `WHARF_SEED` replays one, and `WHARF_SEEDS` sets their number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cache::{Outcome, Want};
use fastrand::Rng;
use futures_util::future::join_all;
use inventory::{Contents, ImageCursor, Keeper, PurgeError};
use oci::{Digest, Reference, Repository};
use policy::eviction::{Cap, Limits};
use storage::{BlobStore, HeldManifest, Maintain, MemoryStore, RecordStore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::upstream::{Manner, MemoryUpstream};
use crate::world::{World, next, noise};

const SEEDS_DEFAULT: u64 = 60;

const REPOSITORIES: [&str; 2] = ["library/app", "solo"];

/// Layers that many images have.
const SHARED_LAYERS: [usize; 5] = [900, 20_000, 65_600, 150_000, 300_000];

/// No visit takes longer.
const VISITS_TIME_MAX: Duration = Duration::from_secs(4 * 3600);

/// A pull that took no longer, and ended no longer ago, was of an image in use.
const LATELY: Duration = Duration::from_secs(9 * 60);

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

type Name = (Repository, Digest);

#[test]
fn no_seed_evicts_a_layer_in_need_or_breaks_a_pull() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("WHARF_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WHARF_SEEDS").unwrap_or(SEEDS_DEFAULT),
    };
    let mut told = Told::default();
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_time().start_paused(true).build().unwrap().block_on(live(seed))
        });
        assert!(lived.is_ok(), "replay with WHARF_SEED={seed}");
        told.add(lived.unwrap_or_default());
    }
    println!("{told:?}");
    // A simulation in which nothing happens shows nothing.
    let all = [told.pulled_count, told.evicted_count, told.purged_count, told.pinned_count];
    assert!(all.into_iter().all(|count| count > 0), "{told:?}");
}

/// The events of a run.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    pulled_count: u64,
    evicted_count: u64,
    purged_count: u64,
    pinned_count: u64,
}

impl Told {
    fn add(&mut self, other: Self) {
        self.pulled_count += other.pulled_count;
        self.evicted_count += other.evicted_count;
        self.purged_count += other.purged_count;
        self.pinned_count += other.pinned_count;
    }
}

/// An image of the upstream, or one platform of an index.
struct Image {
    name: Name,
    /// The client's first request: a tag, or the tag of an index and the digest of this image.
    references: Vec<String>,
    /// The index.
    parent: Option<Digest>,
    blobs: Vec<(Digest, Bytes)>,
}

/// The result of a visit.
enum Visited {
    Nothing,
    /// The image came whole, all of it into the store, and quickly.
    Pulled(Name, Instant),
    Purged(Name),
}

/// The store as it was after a step: the blobs that each manifest has.
#[derive(Default)]
struct Held {
    images: BTreeMap<Name, BTreeSet<Digest>>,
    children: BTreeMap<Name, Vec<Digest>>,
}

struct Life {
    random: Rng,
    store: Arc<MemoryStore>,
    world: World,
    keeper: Arc<Keeper>,
    cap: u64,
    stop: CancellationToken,
    images: Vec<Image>,
    held: Held,
    pinned: BTreeSet<Name>,
    told: Told,
}

async fn live(seed: u64) -> Told {
    let mut random = Rng::with_seed(seed);
    let upstream = Arc::new(MemoryUpstream::default());
    let images = publish(&upstream, &mut random);
    let bytes: usize = images.iter().flat_map(|image| &image.blobs).map(|(_, blob)| blob.len()).sum();
    let cap = (bytes as u64 / 4).max(700_000);
    let store = Arc::new(MemoryStore::new());
    let (world, keeper, stop) = begin(upstream, &store, cap);
    let mut life = Life {
        random,
        store,
        world,
        keeper,
        cap,
        stop,
        images,
        held: Held::default(),
        pinned: BTreeSet::new(),
        told: Told::default(),
    };
    life.look().await;
    for _ in 0..life.random.usize(6..14) {
        life.step().await;
    }
    life.stop.cancel();
    life.world.cancel.cancel();
    life.told
}

/// A process over the store.
fn begin(
    upstream: Arc<MemoryUpstream>,
    store: &Arc<MemoryStore>,
    cap: u64,
) -> (World, Arc<Keeper>, CancellationToken) {
    let world = World::evicting_before(upstream, store.clone(), |settings| {
        settings.verify_first_bytes_max = 64 * 1024;
        settings.read_ahead_count = 2;
    });
    let limits = Limits { max: Some(Cap::Bytes(cap)), ..Limits::default() };
    let keeper = Keeper::new(world.inventory.clone(), limits);
    let stop = CancellationToken::new();
    tokio::spawn(Arc::clone(&keeper).run(stop.clone()));
    (world, keeper, stop)
}

/// Puts images with shared layers, some of them below an index.
fn publish(upstream: &MemoryUpstream, random: &mut Rng) -> Vec<Image> {
    let mut images = Vec::new();
    for number in 0..random.usize(6..12) {
        let repository: Repository = REPOSITORIES[random.usize(..2)].parse().unwrap();
        let platform_count = if random.u8(..4) == 0 { 2 } else { 1 };
        let tag = format!("v{number}");
        let mut children = Vec::new();
        for _ in 0..platform_count {
            let mut blobs = Vec::new();
            for _ in 0..random.usize(1..3) {
                blobs.push(noise(*random.choice(&SHARED_LAYERS).unwrap()));
            }
            blobs.push(noise(random.usize(1..200_000)));
            let blobs: Vec<_> = blobs.into_iter().map(|blob| (upstream.put_blob(&blob), blob)).collect();
            let layer = |(digest, blob): &(Digest, Bytes)| {
                format!(
                    r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":{}}}"#,
                    blob.len()
                )
            };
            let layers = blobs.iter().map(layer).collect::<Vec<_>>().join(",");
            let text = format!(
                r#"{{"schemaVersion":2,"layers":[{layers}],"annotations":{{"n":"{}"}}}}"#,
                random.u32(..)
            );
            let digest = upstream.put_manifest(&repository, &tag, &text);
            children.push((digest, text.len(), blobs));
        }
        let references = |digest: &Digest| match platform_count {
            1 => vec![tag.clone()],
            _ => vec![tag.clone(), digest.to_string()],
        };
        let names =
            |(digest, len, _): &(Digest, usize, _)| format!(r#"{{"digest":"{digest}","size":{len}}}"#);
        let mut parent = None;
        if platform_count > 1 {
            let list = children.iter().map(names).collect::<Vec<_>>().join(",");
            let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX_TYPE}","manifests":[{list}]}}"#);
            parent = Some(upstream.put_document(&repository, &tag, &text, INDEX_TYPE));
        }
        images.extend(children.into_iter().map(|(digest, _, blobs)| Image {
            references: references(&digest),
            name: (repository.clone(), digest),
            parent: parent.clone(),
            blobs,
        }));
    }
    images
}

impl Life {
    async fn step(&mut self) {
        let asked_before = self.world.upstream.asked().len();
        match self.random.u8(..10) {
            0 => self.restart().await,
            1 => tokio::time::sleep(Duration::from_secs(self.random.u64(..3600))).await,
            2 => self.pin().await,
            _ => {}
        }
        let pace = Duration::from_millis(self.random.u64(..30));
        self.world.upstream.set_manner(Manner { pace, ..Manner::default() });
        let visits: Vec<_> = (0..self.random.usize(1..7)).map(|_| self.random.fork()).collect();
        let visits = join_all(visits.into_iter().map(|random| self.visit(random)));
        let visited = tokio::time::timeout(VISITS_TIME_MAX, visits).await.expect("a visit does not end");
        self.world.settle().await;
        self.look().await;
        let asked = self.world.upstream.asked().split_off(asked_before);
        self.check(&visited, &asked).await;
        for one in visited {
            match one {
                Visited::Nothing => {}
                Visited::Pulled(..) => self.told.pulled_count += 1,
                Visited::Purged(_) => self.told.purged_count += 1,
            }
        }
    }

    /// Lets the keeper look at the store, at least twice.
    async fn look(&self) {
        tokio::time::sleep(Duration::from_secs(61)).await;
    }

    async fn restart(&mut self) {
        if self.random.bool() {
            // An orderly stop writes the last uses.
            self.stop.cancel();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.stop.cancel();
        self.world.cancel.cancel();
        self.world.settle().await;
        let upstream = self.world.upstream.clone();
        (self.world, self.keeper, self.stop) = begin(upstream, &self.store, self.cap);
        self.look().await;
    }

    async fn pin(&mut self) {
        let mut random = self.random.fork();
        let Some((repository, digest)) = self.any_listed(&mut random) else { return };
        // More than half of the room, and little would ever be stored.
        let is_pinned = self.pinned.len() < 2 && self.random.bool();
        self.world.inventory.set_pinned(&repository, &digest, is_pinned).await.unwrap();
        if is_pinned {
            self.told.pinned_count += 1;
            self.pinned.insert((repository, digest));
        } else {
            self.pinned.remove(&(repository, digest));
        }
    }

    fn any_listed(&self, random: &mut Rng) -> Option<Name> {
        let mut images = self.world.inventory.images(ImageCursor::default(), 1000).images;
        images.sort_by(|one, other| one.digest.cmp(&other.digest));
        let image = random.choice(images)?;
        Some((image.repository, image.digest))
    }

    async fn visit(&self, mut random: Rng) -> Visited {
        tokio::time::sleep(Duration::from_millis(random.u64(..5_000))).await;
        if random.u8(..12) == 0 {
            return self.purge(&mut random).await;
        }
        let image = random.choice(&self.images).expect("there are images");
        let (repository, digest) = &image.name;
        let begun = Instant::now();
        for reference in &image.references {
            let reference: Reference = reference.parse().unwrap();
            let pulled = self.world.backend.pull_manifest(repository, &reference, Want::Get).await;
            pulled.expect("a manifest cannot be had");
        }
        // How far the client goes, and how slowly it reads.
        let blob_count =
            if random.u8(..5) == 0 { random.usize(..image.blobs.len()) } else { image.blobs.len() };
        let pause = if random.u8(..6) == 0 { random.u64(..120) } else { 0 };
        let mut is_stored = true;
        for (digest, blob) in &image.blobs[..blob_count] {
            let answer = self.world.backend.pull_blob(repository, digest, None, Want::Get).await;
            let answer = answer.expect("a blob cannot be had");
            is_stored &= answer.outcome != Outcome::Bypass;
            let (mut reader, mut body) = (answer.body.unwrap(), BytesMut::new());
            while let Some(piece) = next(&mut reader).await {
                body.extend_from_slice(&piece.expect("a body breaks off"));
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
            assert!(body == *blob, "a whole body is wrong");
        }
        let is_quick = begun.elapsed() < LATELY;
        let is_pulled = is_stored && is_quick && blob_count == image.blobs.len();
        let name = (repository.clone(), digest.clone());
        if is_pulled { Visited::Pulled(name, Instant::now()) } else { Visited::Nothing }
    }

    async fn purge(&self, random: &mut Rng) -> Visited {
        let Some(name) = self.any_listed(random).filter(|name| !self.pinned.contains(name)) else {
            return Visited::Nothing;
        };
        match self.keeper.purge(&name.0, &name.1, Duration::ZERO).await {
            Ok(_) => Visited::Purged(name),
            Err(PurgeError::Store(failure)) => panic!("the store failed: {failure}"),
            // It is in use, or gone already.
            Err(_) => Visited::Nothing,
        }
    }

    async fn check(&mut self, visited: &[Visited], asked: &[String]) {
        let now = self.read().await;
        let is_anew = |name: &Name| {
            let references =
                self.images.iter().filter(|image| image.name == *name).flat_map(|it| &it.references);
            let mut references = references.cloned().chain([name.1.to_string()]);
            references.any(|it| asked.contains(&format!("GET manifest {it}")))
        };
        for (name, blobs) in &self.held.images {
            match now.images.get(name) {
                // Its manifest may have left and come again without its blobs.
                Some(_) if is_anew(name) => {}
                Some(there) => assert!(blobs.is_subset(there), "{name:?} has lost a blob"),
                None => {
                    assert!(!self.pinned.contains(name), "{name:?} is pinned and gone");
                    self.told.evicted_count += 1;
                }
            }
        }
        for (name, children) in &self.held.children {
            let is_there = now.images.contains_key(name);
            for child in children.iter().filter(|_| is_there && !is_anew(name)) {
                assert!(
                    now.images.contains_key(&(name.0.clone(), child.clone())),
                    "{name:?} has lost {child}"
                );
            }
        }
        let was_purged = |image: &Image| {
            let is_part_of = |(repository, digest): &Name| {
                *repository == image.name.0
                    && (*digest == image.name.1 || Some(digest) == image.parent.as_ref())
            };
            visited.iter().any(|it| matches!(it, Visited::Purged(purged) if is_part_of(purged)))
        };
        for one in visited {
            let Visited::Pulled(name, at) = one else { continue };
            let image = self.images.iter().find(|image| image.name == *name).unwrap();
            if at.elapsed() < LATELY && !was_purged(image) {
                let there = now.images.get(name).unwrap_or_else(|| panic!("{name:?} was used and is gone"));
                let lacking: Vec<_> = image.blobs.iter().filter(|(blob, _)| !there.contains(blob)).collect();
                assert!(lacking.is_empty(), "{name:?} was pulled and lacks {} blobs", lacking.len());
            }
        }
        self.check_list(&now);
        self.held = now;
    }

    /// The list names exactly the images that are there.
    fn check_list(&self, now: &Held) {
        let mut roots: BTreeSet<_> = now.images.keys().cloned().collect();
        for ((repository, _), children) in &now.children {
            roots.retain(|(of, digest)| of != repository || !children.contains(digest));
        }
        let listed = self.world.inventory.images(ImageCursor::default(), 1000).images;
        let listed: BTreeSet<_> = listed.into_iter().map(|image| (image.repository, image.digest)).collect();
        assert_eq!(listed, roots);
        assert_eq!(self.store.usage().partial.bytes, 0, "no fill is under way");
    }

    /// Reads the whole store.
    async fn read(&self) -> Held {
        let mut held = Held::default();
        for repository in self.store.repositories(None, 100).await.unwrap() {
            for entry in self.store.manifests(&repository, None, 1000).await.unwrap() {
                let found = self.store.manifest(&repository, &entry.digest).await.unwrap();
                let Some(HeldManifest::Whole(manifest)) = found else { panic!("a record without bytes") };
                let contents = Contents::of(&manifest.bytes);
                let mut there = BTreeSet::new();
                for blob in contents.blobs {
                    if self.store.open(&blob.digest).await.unwrap().is_some() {
                        there.insert(blob.digest);
                    }
                }
                let name = (repository.clone(), entry.digest);
                let mut children = contents.children;
                let all = self.store.manifests(&repository, None, 1000).await.unwrap();
                children.retain(|child| all.iter().any(|entry| entry.digest == *child));
                if !children.is_empty() {
                    held.children.insert(name.clone(), children);
                }
                held.images.insert(name, there);
            }
        }
        held
    }
}
