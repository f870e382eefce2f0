//! The parts of an image: which of them the store holds, for which platforms it is whole, and how many bytes
//! it takes.
//!
//! The files decide. A platform is held if its manifest and every blob that this names are there, so that a
//! client can pull it while the upstream is away.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::SystemTime;

use futures_util::{Stream, StreamExt, stream};
use oci::{Digest, MediaType, Repository, Tag};

use crate::failure::Failure;
use crate::inventory::{ImageEntry, Inventory};
use crate::lookup::read_config;
use crate::outline::{Child, Described, Outline, Role, platform_of_config};
use crate::short_digest::key_of;
use crate::tally::{Pieces, Tallied, Tally};

/// The most manifests of one image that are looked at, and after how many contents that they name no further
/// one is. An image with more is not known to be whole.
const MANIFEST_COUNT_MAX: usize = 4096;
const PART_COUNT_MAX: usize = 20_000;

/// Images that are looked at at a time.
const LOOK_COUNT: usize = 8;

/// The parts of an image.
#[derive(Clone, Debug)]
pub struct Anatomy {
    /// The media type of its manifest.
    pub media_type: MediaType,
    /// The kind of an artifact.
    pub artifact_type: Option<String>,
    /// The annotation of the place where its source is.
    pub source: Option<String>,
    /// Its own manifest first, then those that it names.
    pub manifests: Vec<ManifestPart>,
    /// The blobs that held manifests name, each once.
    pub blobs: Vec<BlobPart>,
    /// Its platforms, as far as they are known.
    pub platforms: Vec<PlatformPart>,
    /// Whether every part that a client may pull is held.
    pub is_whole: bool,
    /// The bytes of all held parts.
    pub bytes: u64,
    /// Of those, the bytes that come free if the image goes. The rest is shared with other images.
    pub own_bytes: u64,
    /// The use of it, and what keeps it from being removed.
    pub standing: ImageStanding,
    pieces: Pieces,
}

/// The use of an image, the names that go with it, and what keeps it from being removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageStanding {
    /// The last use of a part that no other image needs.
    pub last_use: SystemTime,
    /// The manifests that an operator pinned: its own, and those of parts that go with it.
    pub pins: Vec<Digest>,
    /// The tags that go with it, sorted: its own, and those of parts that only it names.
    pub tags: Vec<Tag>,
    /// Whether it is being fetched or exported.
    pub is_busy: bool,
}

/// A manifest of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestPart {
    /// Its digest.
    pub digest: Digest,
    /// Its platform, if that is known.
    pub platform: Option<String>,
    /// Its length in bytes; `None`: it is not held.
    pub bytes: Option<u64>,
    /// Whether it stays if the image goes.
    pub is_shared: bool,
}

/// A blob of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPart {
    /// Its digest.
    pub digest: Digest,
    /// Its use.
    pub role: Role,
    /// Its media type, as the manifest says.
    pub media_type: Option<String>,
    /// Its size in bytes, as the manifest claims.
    pub claimed_bytes: Option<u64>,
    /// Its size in bytes; `None`: it is not held.
    pub bytes: Option<u64>,
    /// Whether another image needs it too.
    pub is_shared: bool,
}

/// A platform of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformPart {
    /// `linux/arm64/v8`.
    pub name: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Whether a client can pull it from the store alone.
    pub is_held: bool,
}

/// A manifest on the way down from the image's own.
struct Node {
    child: Child,
    bytes: Option<u64>,
    outline: Outline,
}

impl Inventory {
    /// The parts of an image. `None`: the store does not hold its manifest.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn anatomy(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Anatomy>, Failure> {
        let Some(number) = self.model.number_of(repository) else { return Ok(None) };
        let Some((media_type, mut nodes, is_cut)) = self.nodes(repository, digest).await? else {
            return Ok(None);
        };
        let blobs = each_once(nodes.iter().flat_map(|node| &node.outline.blobs));
        let digests: Vec<Digest> = blobs.iter().map(|blob| blob.digest.clone()).collect();
        let sizes = self.store().sizes(&digests).await?;
        let held: HashMap<&Digest, u64> =
            digests.iter().zip(&sizes).filter_map(|(digest, size)| Some((digest, (*size)?))).collect();
        for node in &mut nodes {
            if node.child.platform.is_none() && !node.child.is_attestation && node.outline.children.is_empty()
            {
                node.child.platform = self.platform(&node.outline, &held).await?;
            }
        }
        let is_held = |node: &Node| {
            let is_there = |blob: &Described| blob.is_elsewhere || held.contains_key(&blob.digest);
            node.bytes.is_some() && node.outline.blobs.iter().all(is_there)
        };
        let platforms = nodes.iter().filter_map(|node| {
            let name = node.child.platform.clone()?;
            Some(PlatformPart { name, digest: node.child.digest.clone(), is_held: is_held(node) })
        });
        let root = &nodes[0].outline;
        let mut anatomy = Anatomy {
            media_type,
            artifact_type: root.artifact_type.clone(),
            source: root.source.clone(),
            platforms: platforms.collect(),
            is_whole: !is_cut && nodes.iter().all(|node| node.child.is_attestation || is_held(node)),
            bytes: nodes.iter().filter_map(|node| node.bytes).sum::<u64>() + held.values().sum::<u64>(),
            own_bytes: 0,
            standing: self.standing(repository, &nodes, &digests),
            pieces: pieces(number, &nodes, &held),
            manifests: Vec::new(),
            blobs: Vec::new(),
        };
        let mut tally = Tally::default();
        tally.add(&anatomy);
        let going = tally.going(self);
        anatomy.own_bytes = going.bytes;
        let goes = |node: &&Node| going.manifests.contains(&(number, key_of(&node.child.digest)));
        self.add_names(repository, nodes.iter().filter(goes), &mut anatomy.standing);
        anatomy.manifests = nodes
            .iter()
            .map(|node| ManifestPart {
                digest: node.child.digest.clone(),
                platform: node.child.platform.clone(),
                bytes: node.bytes,
                is_shared: !going.manifests.contains(&(number, key_of(&node.child.digest))),
            })
            .collect();
        anatomy.blobs = blobs
            .iter()
            .zip(sizes)
            .map(|(blob, bytes)| BlobPart {
                digest: blob.digest.clone(),
                role: blob.role,
                media_type: blob.media_type.clone(),
                claimed_bytes: blob.size,
                bytes,
                is_shared: !going.blobs.contains(&key_of(&blob.digest)),
            })
            .collect();
        Ok(Some(anatomy))
    }

    /// Counts the uses that count for the image when it is up for eviction.
    fn standing(&self, repository: &Repository, nodes: &[Node], blobs: &[Digest]) -> ImageStanding {
        let (images, serving) = (self.model.images.read(), self.serving());
        let (mut is_busy, mut used) = (false, 0);
        let mut named = HashMap::<u64, u32>::new();
        for node in nodes.iter().filter(|node| node.bytes.is_some()) {
            let row = images.find(repository, &node.child.digest).and_then(|slot| images.row(slot));
            let Some(row) = row else { continue };
            used = used.max(row.used);
            is_busy |= self.model.holds.has(repository, &row.digest);
            for blob in &node.outline.blobs {
                *named.entry(key_of(&blob.digest)).or_default() += 1;
            }
        }
        for digest in blobs {
            let known = self.model.blobs.get(key_of(digest));
            if named.get(&key_of(digest)).is_some_and(|count| known.count <= *count) {
                used = used.max(known.used);
            }
            is_busy |= serving.is_filling(digest);
        }
        ImageStanding { last_use: self.clock().to_wall(used), pins: Vec::new(), tags: Vec::new(), is_busy }
    }

    /// Adds the pins and the tags of these manifests.
    fn add_names<'a>(
        &self,
        repository: &Repository,
        nodes: impl Iterator<Item = &'a Node>,
        standing: &mut ImageStanding,
    ) {
        let images = self.model.images.read();
        for node in nodes {
            let slot = images.find(repository, &node.child.digest);
            let Some(row) = slot.and_then(|slot| images.row(slot)) else { continue };
            standing.tags.extend(images.tags_of(row.slot));
            standing.pins.extend(row.is_pinned.then_some(row.digest));
        }
        standing.tags.sort_unstable();
    }

    /// The parts of each of these images, several at a time and in no order.
    pub fn anatomies(
        &self,
        images: Vec<ImageEntry>,
    ) -> impl Stream<Item = (ImageEntry, Result<Option<Anatomy>, Failure>)> + '_ {
        let look = move |image: ImageEntry| async move {
            let anatomy = self.anatomy(&image.repository, &image.digest).await;
            (image, anatomy)
        };
        stream::iter(images).map(look).buffer_unordered(LOOK_COUNT)
    }

    /// The manifests of an image, its own first, and whether there are more.
    async fn nodes(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<(MediaType, Vec<Node>, bool)>, Failure> {
        let root = Child { digest: digest.clone(), platform: None, target: None, is_attestation: false };
        let (mut ahead, mut seen) = (VecDeque::from([root]), HashSet::from([digest.clone()]));
        let (mut nodes, mut media_type, mut part_count) = (Vec::new(), None, 0);
        while let Some(child) = ahead.pop_front() {
            if nodes.len() >= MANIFEST_COUNT_MAX || part_count > PART_COUNT_MAX {
                return Ok(media_type.map(|media_type| (media_type, nodes, true)));
            }
            let held = match self.is_held(repository, &child.digest) {
                true => self.read_manifest(repository, &child.digest).await?,
                false => None,
            };
            let Some(manifest) = held else {
                if media_type.is_none() {
                    return Ok(None);
                }
                nodes.push(Node { child, bytes: None, outline: Outline::default() });
                continue;
            };
            let outline = Outline::of(&manifest.bytes);
            part_count += outline.children.len() + outline.blobs.len();
            let below = outline.children.iter().filter(|below| seen.insert(below.digest.clone()));
            ahead.extend(below.map(|below| Child {
                // What an attestation names is one too.
                is_attestation: below.is_attestation || child.is_attestation,
                ..below.clone()
            }));
            media_type.get_or_insert(manifest.media_type);
            nodes.push(Node { child, bytes: Some(manifest.bytes.len() as u64), outline });
        }
        Ok(media_type.map(|media_type| (media_type, nodes, false)))
    }

    /// The platform in the configuration of an image.
    async fn platform(
        &self,
        outline: &Outline,
        held: &HashMap<&Digest, u64>,
    ) -> Result<Option<String>, Failure> {
        let config = outline.image_config().filter(|config| held.contains_key(&config.digest));
        let Some(config) = config else { return Ok(None) };
        let Some(blob) = self.store().open(&config.digest).await? else { return Ok(None) };
        Ok(read_config(&config.digest, &blob).await?.and_then(|bytes| platform_of_config(&bytes)))
    }
}

impl Anatomy {
    /// The same without the lists of its parts, which are long, for a caller that keeps many.
    #[must_use]
    pub fn without_parts(self) -> Self {
        Self { manifests: Vec::new(), blobs: Vec::new(), ..self }
    }
}

impl Tally {
    /// Adds an image of the store.
    pub fn add(&mut self, image: &Anatomy) {
        self.add_pieces(&image.pieces);
    }
}

/// The blobs of all manifests, each once.
fn each_once<'a>(blobs: impl Iterator<Item = &'a Described>) -> Vec<Described> {
    let mut seen = HashSet::new();
    blobs.filter(|blob| seen.insert(&blob.digest)).cloned().collect()
}

fn pieces(number: u32, nodes: &[Node], held: &HashMap<&Digest, u64>) -> Pieces {
    let key = |node: &Node| (number, key_of(&node.child.digest));
    let tallied = |node: &Node| {
        let children = node.outline.children.iter().map(|child| key_of(&child.digest));
        let blobs = node.outline.blobs.iter().map(|blob| key_of(&blob.digest));
        Some((
            key(node),
            Tallied { bytes: node.bytes?, children: children.collect(), blobs: blobs.collect() },
        ))
    };
    Pieces {
        root: key(&nodes[0]),
        manifests: nodes.iter().filter_map(tallied).collect(),
        blobs: held.iter().map(|(digest, size)| (key_of(digest), *size)).collect(),
    }
}
