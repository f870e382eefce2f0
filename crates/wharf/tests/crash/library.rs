//! Images to pull: a few with blobs of all relevant sizes, under tags that move.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use fastrand::Rng;
use testkit::{Blob, Door, Endpoint, FakeRegistry, Image, Log, Program, RequestRecord};

use crate::audit::Audit;

/// The registry's name in the configuration.
pub(crate) const REGISTRY: &str = "hub.test";
pub(crate) const REPOSITORY: &str = "library/app";

const MIB: u64 = 1 << 20;

/// The layers of the images: nothing, one byte, either side of the size up to which a blob is verified before
/// its first byte, either side of the tail that is kept back, and several that take a while.
const LAYERS: [&[u64]; 8] = [
    &[0, 1, 3 * MIB],
    &[65_535, 65_536, 5_000_000],
    &[256 * 1024, 256 * 1024 + 1],
    &[6 * MIB, 1_000],
    &[8 * MIB],
    &[12 * MIB, 65_537],
    &[100_000, 200_000, 300_000],
    &[MIB, MIB + 1],
];
const TAGS: [&str; 3] = ["latest", "1", "1.0"];

/// The upstream and its content.
pub(crate) struct Library {
    pub(crate) upstream: FakeRegistry,
    pub(crate) images: Vec<Image>,
    pub(crate) blobs: Vec<Blob>,
    /// The digests that each tag has named since the last answer to a client.
    named: Mutex<BTreeMap<&'static str, Vec<String>>>,
}

/// Content that clients have received whole and the program has promised to keep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) blobs: BTreeSet<String>,
    pub(crate) manifests: BTreeSet<String>,
    pub(crate) tags: BTreeSet<&'static str>,
}

impl Received {
    pub(crate) fn extend(&mut self, other: Self) {
        self.blobs.extend(other.blobs);
        self.manifests.extend(other.manifests);
        self.tags.extend(other.tags);
    }
}

/// The largest range that is fetched in parallel to a transfer that will reach it, in bytes.
const SMALL_RANGE_BYTES: u64 = 128 * 1024;

/// The bytes that a connection may have on the way when it is left: a piece that the upstream has counted and
/// not sent.
const ON_ITS_WAY_BYTES: u64 = 64 * 1024;

impl Library {
    pub(crate) async fn new() -> Self {
        let upstream = FakeRegistry::start_anonymous().await;
        let images: Vec<_> =
            LAYERS.iter().zip(1..).map(|(sizes, seed)| Image::generated(seed, sizes)).collect();
        for (number, image) in images.iter().enumerate() {
            upstream.put_image(REPOSITORY, &format!("image-{number}"), image);
        }
        let blobs = images.iter().flat_map(|image| image.blobs().cloned()).collect();
        let library = Self { upstream, images, blobs, named: Mutex::default() };
        for tag in TAGS {
            library.name(tag, library.images[0].digest());
        }
        library
    }

    pub(crate) fn registries(&self) -> [(&'static str, &FakeRegistry); 1] {
        [(REGISTRY, &self.upstream)]
    }

    /// The bytes of everything together.
    pub(crate) fn size(&self) -> u64 {
        let manifests = self.images.iter().map(|image| image.manifest.size());
        self.blobs.iter().map(Blob::size).chain(manifests).sum()
    }

    /// Whether clients ask for ranges of this blob. Bytes written out of order are recorded a little later
    /// than they are written, so a kill in between may lose some.
    pub(crate) fn is_ranged(&self, blob: &Blob) -> bool {
        blob.size() > 1 && blob.digest.ends_with(['0', '1', '2', '3', '4'])
    }

    pub(crate) fn any_tag(rng: &mut Rng) -> &'static str {
        TAGS[rng.usize(..TAGS.len())]
    }

    /// Moves one tag to the image after the one that it names.
    pub(crate) fn move_a_tag(&self, rng: &mut Rng) {
        let tag = Self::any_tag(rng);
        let now = self.named()[tag].last().cloned().expect("a tag names something");
        let at = self.images.iter().position(|image| image.digest() == now).expect("an image of ours");
        self.name(tag, self.images[(at + 1) % self.images.len()].digest());
    }

    fn name(&self, tag: &'static str, digest: &str) {
        // Noted first: otherwise an answer may come before the note.
        self.named().entry(tag).or_default().push(digest.to_owned());
        self.upstream.move_tag(REPOSITORY, tag, digest);
    }

    /// A client got the digest of a tag; from here on no older one may be served.
    pub(crate) fn heard(&self, tag: &'static str, digest: &str) {
        let mut named = self.named();
        let names = named.get_mut(tag).expect("a tag of ours");
        if let Some(at) = names.iter().rposition(|name| name == digest) {
            names.drain(..at);
        }
    }

    fn named(&self) -> MutexGuard<'_, BTreeMap<&'static str, Vec<String>>> {
        self.named.lock().expect("nobody panicked holding it")
    }

    /// Everything promised is on disk.
    pub(crate) fn expect_kept(&self, promised: &Received, audit: &Audit) {
        for blob in self.blobs.iter().filter(|blob| promised.blobs.contains(&blob.digest)) {
            assert_eq!(audit.kept(&blob.digest), blob.size(), "a client had {blob:?}");
        }
        for digest in &promised.manifests {
            assert!(audit.stored.contains_key(digest), "a client had the manifest {digest}");
        }
        let named = self.named();
        for tag in &promised.tags {
            let names = &named[tag];
            let kept = audit.tags.get(*tag).unwrap_or_else(|| panic!("a client had the tag {tag}"));
            assert!(names.contains(kept), "{tag} names {kept}, since the last answer it has named {names:?}");
        }
    }

    /// Everything promised is served while the upstream is gone, by a program that does nothing else.
    pub(crate) async fn expect_served_alone(&self, promised: &Received, program: Program) {
        self.upstream.set_door(Endpoint::Registry, Door::Refuse).await;
        for digest in &promised.blobs {
            let body = program.open(REGISTRY, &target_of(digest)).await.read_digest().await;
            assert_eq!(body.expect("a clean end"), *digest);
        }
        let manifests = promised.manifests.iter().map(|digest| (digest.as_str(), true));
        for (reference, is_digest) in manifests.chain(promised.tags.iter().map(|tag| (*tag, false))) {
            let target = format!("/v2/{REPOSITORY}/manifests/{reference}");
            let body = program.open(REGISTRY, &target).await.read_digest().await.expect("a clean end");
            if is_digest {
                assert_eq!(body, reference);
            } else {
                let names = &self.named()[reference];
                assert!(names.contains(&body), "{reference} names {body} and not one of {names:?}");
            }
        }
        program.kill();
        self.upstream.log().clear();
        self.upstream.set_door(Endpoint::Registry, Door::Open).await;
    }

    /// The upstream has sent nothing again that was on disk when the program started. Ranges may cost as much
    /// as docs/reference/guarantees.md allows: a small one besides the whole, and the bytes on the way on a
    /// connection that is left for them.
    pub(crate) fn expect_nothing_twice(&self, before: &Audit) {
        let log = self.upstream.log();
        for blob in &self.blobs {
            let asked = |request: &RequestRecord| request.reference.as_deref() == Some(&blob.digest);
            let requests: Vec<_> = log.requests().into_iter().filter(|request| asked(request)).collect();
            let mut beside = blob.size() / 32;
            if self.is_ranged(blob) {
                beside = beside.max(SMALL_RANGE_BYTES);
                beside += ON_ITS_WAY_BYTES * requests.len().saturating_sub(1) as u64;
            }
            let (sent, kept) = (log.body_bytes(&blob.digest), before.kept(&blob.digest));
            assert!(
                sent + kept <= blob.size() + beside,
                "{sent} bytes came of {blob:?}, of which {kept} were on disk: {requests:?}"
            );
        }
    }

    /// Waits until the upstream has noticed the end of the program, and sends nothing more.
    pub(crate) async fn forgotten_by_upstream(&self) {
        let endpoints = [Endpoint::Registry, Endpoint::Cdn];
        for endpoint in endpoints {
            // A connection of the program may still wait to be accepted, with its request. A later one is
            // accepted after it.
            let before = self.upstream.log().connections(endpoint);
            drop(tokio::net::TcpStream::connect(self.upstream.address_of(endpoint)).await);
            let accepted = |log: &Log| log.connections(endpoint) > before;
            self.upstream.log().wait_until("a connection is accepted", accepted).await;
        }
        let is_alone = |log: &Log| endpoints.iter().all(|endpoint| log.open_connections(*endpoint) == 0);
        self.upstream.log().wait_until("the upstream has lost its client", is_alone).await;
    }
}

/// The path of a blob.
pub(crate) fn target_of(digest: &str) -> String {
    format!("/v2/{REPOSITORY}/blobs/{digest}")
}
