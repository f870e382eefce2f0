//! An upstream in memory that misbehaves on request, and counts its requests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use oci::{Digest, MediaType, Reference, Repository};
use policy::failover::{Doubts, order};
use policy::head_trust::Stakes;
use tokio::sync::Semaphore;
use upstream::{
    AddressPosition, BlobHead, BlobRange, BlobStream, Described, Error, ErrorKind, ListPage, ListRequest,
    ManifestBody, ManifestHead, Senders, Upstream,
};

/// The pieces in which bodies arrive, in bytes.
pub(crate) const PIECE: usize = 16 * 1024;

/// How one blob GET behaves. The default is perfect behaviour.
#[derive(Clone, Default)]
pub(crate) struct Manner {
    /// Fail before the headers.
    pub(crate) refuse: Option<ErrorKind>,
    /// Break off after this many bytes of this body.
    pub(crate) cut_at: Option<usize>,
    /// End cleanly after this many bytes of this body.
    pub(crate) end_at: Option<usize>,
    /// Invert the lowest bit of the blob's byte at this offset.
    pub(crate) flip: Option<usize>,
    /// Answer a range request with the whole blob.
    pub(crate) ignore_range: bool,
    /// Answer a range that begins this many bytes later.
    pub(crate) late_start: u64,
    /// Leave the size out.
    pub(crate) no_size: bool,
    /// Answer like an upstream without suffix ranges.
    pub(crate) no_suffix: bool,
    /// Time between pieces.
    pub(crate) pace: Duration,
    /// Time to the headers.
    pub(crate) head: Duration,
    /// Go slowly after some bytes of this body.
    pub(crate) drip: Option<Drip>,
    /// Fail a request for a part before the headers.
    pub(crate) refuse_part: Option<ErrorKind>,
    /// Break off a part, one that does not reach the blob's end, after this many bytes.
    pub(crate) cut_part_at: Option<usize>,
    /// All bodies with this lock take turns: together they have the rate of one.
    pub(crate) line: Option<Arc<tokio::sync::Mutex<()>>>,
    /// Each piece takes one permit.
    pub(crate) gate: Option<Arc<Semaphore>>,
    /// Never answer.
    pub(crate) is_mute: bool,
    /// The `Retry-After` of refusals.
    pub(crate) retry_after: Option<Duration>,
    /// Become silent after this share of the body.
    pub(crate) stall_percent: Option<usize>,
    /// After this many bytes be silent for this time, once.
    pub(crate) pause_after: Option<(usize, Duration)>,
    /// The manner of requests for a range.
    pub(crate) ranged: Option<Box<Manner>>,
}

/// A body that becomes slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drip {
    /// After this many bytes.
    pub(crate) after: usize,
    /// In pieces of this length; 0: no further bytes, and the body breaks off after the time between pieces.
    pub(crate) piece: usize,
    /// Time between pieces.
    pub(crate) pace: Duration,
}

#[derive(Default)]
struct State {
    blobs: HashMap<Digest, Bytes>,
    manifests: HashMap<(Repository, String), (Bytes, MediaType)>,
    manners: VecDeque<Manner>,
    manner: Manner,
    down: Option<ErrorKind>,
    refused_blobs: HashMap<Digest, ErrorKind>,
    referrers: HashMap<Digest, Vec<String>>,
    has_no_referrers_api: bool,
    no_tags: Option<ErrorKind>,
    denied: Vec<Repository>,
    no_head: bool,
    no_get: Option<ErrorKind>,
    no_head_size: bool,
    /// The number of times that the connections were closed.
    disconnect_count: usize,
    wrong_manifest_count: usize,
    asked: Vec<String>,
    blob_bytes: u64,
    pause: Option<Arc<Semaphore>>,
    is_stand_in: bool,
    /// The answers of its addresses to requests for bytes, in order. Empty: one address that is right.
    addresses: Vec<Sends>,
    doubts: HashMap<Digest, Doubts>,
    /// The positions of the addresses that requests for bytes went to.
    asked_addresses: Vec<usize>,
    /// `None`: an empty object.
    tag_list: Option<Bytes>,
}

/// The bytes that one of several addresses sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sends {
    Right,
    /// A wrong byte at the beginning.
    Wrong,
    /// No bytes, as if the content were empty.
    Nothing,
}

#[derive(Default)]
pub(crate) struct MemoryUpstream {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for MemoryUpstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryUpstream")
    }
}

impl MemoryUpstream {
    /// From now on, another than the first address of the upstream answers, or the first one again.
    pub(crate) fn set_stand_in(&self, is_stand_in: bool) {
        self.state.lock().unwrap().is_stand_in = is_stand_in;
    }

    /// Makes it an upstream of these addresses, which are asked for bytes by the rules of `policy::failover`.
    pub(crate) fn set_addresses(&self, addresses: &[Sends]) {
        self.state.lock().unwrap().addresses = addresses.to_vec();
    }

    /// The address that a request for the bytes of a digest goes to.
    fn address_for(&self, digest: &Digest) -> (AddressPosition, Sends) {
        let mut state = self.state.lock().unwrap();
        let Some(count) = Some(state.addresses.len()).filter(|count| *count > 0) else {
            return (AddressPosition::new(usize::from(state.is_stand_in)), Sends::Right);
        };
        let doubts = state.doubts.get(digest).cloned().unwrap_or_default();
        let first = order(&vec![false; count], None, &doubts)[0];
        state.asked_addresses.push(first);
        (AddressPosition::new(first), state.addresses[first])
    }

    /// The positions of the addresses that got requests for bytes since the last call.
    pub(crate) fn take_asked_addresses(&self) -> Vec<usize> {
        std::mem::take(&mut self.state.lock().unwrap().asked_addresses)
    }

    /// The list of tags that it gives from now on.
    pub(crate) fn set_tag_list(&self, text: impl Into<Bytes>) {
        self.state.lock().unwrap().tag_list = Some(text.into());
    }

    fn is_stand_in(&self) -> bool {
        self.state.lock().unwrap().is_stand_in
    }

    pub(crate) fn put_blob(&self, bytes: &Bytes) -> Digest {
        let digest = Digest::of(oci::Algorithm::Sha256, bytes);
        self.state.lock().unwrap().blobs.insert(digest.clone(), bytes.clone());
        digest
    }

    /// Puts a manifest under a tag and under its digest.
    pub(crate) fn put_manifest(&self, repository: &Repository, tag: &str, text: &str) -> Digest {
        self.put_document(repository, tag, text, "application/vnd.oci.image.manifest.v1+json")
    }

    /// Puts any bytes in place of a manifest, under a tag and under their digest.
    pub(crate) fn put_document(
        &self,
        repository: &Repository,
        tag: &str,
        text: &str,
        media_type: &str,
    ) -> Digest {
        let bytes = Bytes::from(text.to_owned());
        let digest = Digest::of(oci::Algorithm::Sha256, &bytes);
        let media_type: MediaType = media_type.parse().unwrap();
        let mut state = self.state.lock().unwrap();
        for reference in [tag.to_owned(), digest.to_string()] {
            state.manifests.insert((repository.clone(), reference), (bytes.clone(), media_type.clone()));
        }
        digest
    }

    /// Replaces the content of a reference.
    pub(crate) fn replace_manifest(&self, repository: &Repository, reference: &str, text: &str) {
        let mut state = self.state.lock().unwrap();
        let key = (repository.clone(), reference.to_owned());
        let place = state.manifests.get_mut(&key).expect("it is there");
        place.0 = Bytes::from(text.to_owned());
    }

    pub(crate) fn delete_tag(&self, repository: &Repository, tag: &str) {
        self.state.lock().unwrap().manifests.remove(&(repository.clone(), tag.to_owned()));
    }

    /// The manner of the next blob GETs, one each; then that of [`Self::set_manner`].
    pub(crate) fn script(&self, manners: impl IntoIterator<Item = Manner>) {
        self.state.lock().unwrap().manners.extend(manners);
    }

    pub(crate) fn forget_script(&self) {
        self.state.lock().unwrap().manners.clear();
    }

    pub(crate) fn set_manner(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    pub(crate) fn set_down(&self, down: Option<ErrorKind>) {
        self.state.lock().unwrap().down = down;
    }

    /// Fails each GET of this blob before the headers; with `None`, no longer.
    pub(crate) fn refuse_blob(&self, digest: &Digest, kind: Option<ErrorKind>) {
        let refused = &mut self.state.lock().unwrap().refused_blobs;
        match kind {
            Some(kind) => refused.insert(digest.clone(), kind),
            None => refused.remove(digest),
        };
    }

    /// Lists these manifests as referrers of a digest, each list on a page of its own.
    pub(crate) fn list_referrers(&self, subject: &Digest, pages: Vec<String>) {
        self.state.lock().unwrap().referrers.insert(subject.clone(), pages);
    }

    /// Answers requests for referrers like a server that has never heard of them.
    pub(crate) fn drop_referrers_api(&self) {
        self.state.lock().unwrap().has_no_referrers_api = true;
    }

    /// Answers requests for tags with this error.
    pub(crate) fn refuse_tags(&self, kind: Option<ErrorKind>) {
        self.state.lock().unwrap().no_tags = kind;
    }

    pub(crate) fn deny(&self, repository: &Repository) {
        self.state.lock().unwrap().denied.push(repository.clone());
    }

    pub(crate) fn allow(&self, repository: &Repository) {
        self.state.lock().unwrap().denied.retain(|denied| denied != repository);
    }

    pub(crate) fn refuse_head(&self) {
        self.state.lock().unwrap().no_head = true;
    }

    /// Manifests can be described, and not fetched.
    pub(crate) fn refuse_get(&self, kind: Option<ErrorKind>) {
        self.state.lock().unwrap().no_get = kind;
    }

    /// A HEAD of a blob does not tell its size.
    pub(crate) fn hide_sizes(&self) {
        self.state.lock().unwrap().no_head_size = true;
    }

    /// Sends the next `count` manifests with a wrong byte, under the right digest.
    pub(crate) fn spoil_manifests(&self, count: usize) {
        self.state.lock().unwrap().wrong_manifest_count = count;
    }

    /// Makes each manifest request wait for a permit from now on.
    pub(crate) fn pause(&self) -> Arc<Semaphore> {
        let pause = Arc::new(Semaphore::new(0));
        self.state.lock().unwrap().pause = Some(pause.clone());
        pause
    }

    /// The number of requests that begin with `what`, for example `GET blob`.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|asked| asked.starts_with(what)).count()
    }

    /// The number of times that the connections were closed.
    pub(crate) fn disconnect_count(&self) -> usize {
        self.state.lock().unwrap().disconnect_count
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The number of blob bytes sent.
    pub(crate) fn blob_bytes(&self) -> u64 {
        self.state.lock().unwrap().blob_bytes
    }

    /// Records the request; returns the state of the upstream.
    async fn ask(&self, what: String, repository: &Repository) -> Result<(), Error> {
        let pause = {
            let mut state = self.state.lock().unwrap();
            state.asked.push(what.clone());
            (!what.contains("blob")).then(|| state.pause.clone()).flatten()
        };
        if let Some(pause) = pause {
            pause.acquire().await.unwrap().forget();
        }
        let state = self.state.lock().unwrap();
        if let Some(kind) = state.down {
            return Err(error(kind));
        }
        if state.denied.contains(repository) { Err(error(ErrorKind::Denied)) } else { Ok(()) }
    }

    fn manifest(&self, repository: &Repository, reference: &Reference) -> Result<(Bytes, MediaType), Error> {
        let state = self.state.lock().unwrap();
        let found = state.manifests.get(&(repository.clone(), reference.to_string())).cloned();
        found.ok_or_else(|| error(ErrorKind::NotFound))
    }
}

pub(crate) fn error(kind: ErrorKind) -> Error {
    let error = Error::new(kind, "memory.test", format!("{kind:?} on purpose"));
    match kind {
        ErrorKind::NotFound | ErrorKind::Unconfirmed => error.with_status(404),
        ErrorKind::Denied => error.with_status(403),
        _ => error,
    }
}

/// The error of an upstream, with its `Retry-After`.
fn refusal(kind: ErrorKind, retry_after: Option<Duration>) -> Error {
    match retry_after {
        Some(pause) => error(kind).with_status(503).with_retry_after(pause),
        None => error(kind),
    }
}

#[async_trait]
impl Upstream for MemoryUpstream {
    async fn head_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        _: Stakes,
    ) -> Result<Described, Error> {
        self.ask(format!("HEAD manifest {reference}"), repository).await?;
        if self.state.lock().unwrap().no_head {
            return self.get_manifest(repository, reference).await.map(Described::Whole);
        }
        let (bytes, media_type) = self.manifest(repository, reference)?;
        let digest = Digest::of(oci::Algorithm::Sha256, &bytes);
        let size = Some(bytes.len() as u64);
        let sent_by = AddressPosition::new(usize::from(self.is_stand_in()));
        let (digest, media_type) = (Some(digest), Some(media_type));
        Ok(Described::Head(ManifestHead { digest, media_type, size, sent_by }))
    }

    async fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<ManifestBody, Error> {
        let (sent_by, sends) = match reference {
            Reference::Digest(digest) => self.address_for(digest),
            Reference::Tag(_) => (AddressPosition::new(usize::from(self.is_stand_in())), Sends::Right),
        };
        self.ask(format!("GET manifest {reference}"), repository).await?;
        if let Some(kind) = self.state.lock().unwrap().no_get {
            return Err(error(kind));
        }
        let (mut bytes, media_type) = self.manifest(repository, reference)?;
        let digest = Digest::of(oci::Algorithm::Sha256, &bytes);
        let mut state = self.state.lock().unwrap();
        if state.wrong_manifest_count > 0 {
            state.wrong_manifest_count -= 1;
            bytes = [&bytes[..], b" "].concat().into();
        }
        match sends {
            Sends::Right => {}
            Sends::Wrong => bytes = [b" ", &bytes[..]].concat().into(),
            Sends::Nothing => bytes = Bytes::new(),
        }
        Ok(ManifestBody { bytes, media_type: Some(media_type), digest: Some(digest), sent_by })
    }

    async fn head_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        _: Stakes,
    ) -> Result<BlobHead, Error> {
        self.ask(format!("HEAD blob {digest}"), repository).await?;
        let blob = self.state.lock().unwrap().blobs.get(digest).cloned();
        let blob = blob.ok_or_else(|| error(ErrorKind::NotFound))?;
        let is_told = !self.state.lock().unwrap().no_head_size;
        Ok(BlobHead { size: is_told.then_some(blob.len() as u64) })
    }

    async fn get_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: BlobRange,
    ) -> Result<BlobStream, Error> {
        let (sent_by, sends) = self.address_for(digest);
        self.ask(format!("GET blob {digest} {range:?}"), repository).await?;
        if let Some(kind) = self.state.lock().unwrap().refused_blobs.get(digest) {
            return Err(error(*kind));
        }
        let (blob, manner) = {
            let mut state = self.state.lock().unwrap();
            let manner = state.manners.pop_front().unwrap_or_else(|| state.manner.clone());
            (state.blobs.get(digest).cloned(), manner)
        };
        let mut manner = manner;
        if !matches!(range, BlobRange::Whole | BlobRange::From(0))
            && let Some(ranged) = manner.ranged.take()
        {
            manner = *ranged;
        }
        if manner.is_mute {
            std::future::pending::<()>().await;
        }
        if matches!(range, BlobRange::Span(_) | BlobRange::Further(_) | BlobRange::Last(_)) {
            manner.refuse = manner.refuse.or(manner.refuse_part);
            manner.cut_at = manner.cut_at.or(manner.cut_part_at);
        }
        tokio::time::sleep(manner.head).await;
        if let Some(kind) = manner.refuse {
            return Err(refusal(kind, manner.retry_after));
        }
        if manner.no_suffix && matches!(range, BlobRange::Last(_)) {
            return Err(error(ErrorKind::Invalid));
        }
        let mut blob = blob.ok_or_else(|| error(ErrorKind::NotFound))?;
        if sends == Sends::Nothing {
            blob = Bytes::new();
        }
        if sends == Sends::Wrong {
            manner.flip = Some(0);
        }
        let size = blob.len() as u64;
        let (start, end) = match range {
            _ if manner.ignore_range => (0, size),
            BlobRange::Whole => (0, size),
            BlobRange::From(start) => (start + manner.late_start, size),
            BlobRange::Span(span) | BlobRange::Further(span) => {
                (span.start + manner.late_start, span.end.min(size))
            }
            BlobRange::Last(length) => (size.saturating_sub(length) + manner.late_start, size),
        };
        if start >= size && size > 0 {
            return Err(error(ErrorKind::Invalid));
        }
        if let Some(percent) = manner.stall_percent {
            let after = (end - start) as usize * percent / 100;
            manner.drip = Some(Drip { after, piece: 0, pace: Duration::from_secs(600) });
        }
        let drips = drips(&blob.slice(start as usize..end as usize), manner.drip, self.state.clone());
        if let Some(drip) = manner.drip {
            manner.end_at = Some(manner.end_at.unwrap_or(drip.after).min(drip.after));
        }
        let pieces = pieces(&blob, start as usize, end as usize, &manner);
        let told = (!manner.no_size).then_some(size);
        let body = paced(pieces, manner, self.state.clone()).chain(drips).boxed();
        Ok(BlobStream { start, end: told.map(|_| end), size: told, sent_by, body })
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, Error> {
        let (what, repository) = match request {
            ListRequest::Tags { repository, .. } => ("GET tags", repository),
            ListRequest::Referrers { repository, .. } => ("GET referrers", repository),
        };
        self.ask(what.to_owned(), repository).await?;
        let state = self.state.lock().unwrap();
        if let (ListRequest::Tags { .. }, Some(kind)) = (request, state.no_tags) {
            return Err(error(kind));
        }
        let ListRequest::Referrers { digest, page, .. } = request else {
            return Ok(ListPage {
                sent_by: AddressPosition::new(usize::from(state.is_stand_in)),
                ..list_page(state.tag_list.as_deref().unwrap_or(b"{}"), None)
            });
        };
        if state.has_no_referrers_api {
            return Err(error(ErrorKind::Unconfirmed));
        }
        let pages = state.referrers.get(digest).map_or(&[][..], Vec::as_slice);
        let number = page.last.as_ref().map_or(0, |last| last.parse().unwrap());
        let next = (number + 1 < pages.len()).then(|| format!("last={}", number + 1));
        let page = list_page(pages.get(number).map_or(&b"{}"[..], |page| page.as_bytes()), next);
        Ok(ListPage { sent_by: AddressPosition::new(usize::from(state.is_stand_in)), ..page })
    }

    fn note_wrong(&self, digest: &Digest, senders: &Senders) -> bool {
        let mut state = self.state.lock().unwrap();
        let count = state.addresses.len();
        let doubts = state.doubts.entry(digest.clone()).or_insert_with(|| Doubts::of(count));
        let addresses: Vec<usize> = senders.addresses.iter().map(|address| address.get()).collect();
        count > 0 && doubts.note(&addresses, senders.are_all)
    }

    fn disconnect(&self) {
        self.state.lock().unwrap().disconnect_count += 1;
    }
}

fn list_page(bytes: &[u8], next: Option<String>) -> ListPage {
    ListPage {
        bytes: Bytes::copy_from_slice(bytes),
        media_type: None,
        next,
        filters_applied: None,
        sent_by: AddressPosition::default(),
    }
}

/// The pieces, each at its time.
fn paced(
    pieces: Vec<Result<Bytes, Error>>,
    manner: Manner,
    state: Arc<Mutex<State>>,
) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::iter(pieces).enumerate().then(move |(number, piece)| {
        let (manner, state) = (manner.clone(), state.clone());
        async move {
            if let Some((after, pause)) = manner.pause_after
                && number == after / PIECE
            {
                tokio::time::sleep(pause).await;
            }
            if let Some(gate) = &manner.gate {
                gate.acquire().await.unwrap().forget();
            }
            let turn = match &manner.line {
                Some(line) => Some(line.lock().await),
                None => None,
            };
            if !manner.pace.is_zero() {
                tokio::time::sleep(manner.pace).await;
            }
            drop(turn);
            if let Ok(bytes) = &piece {
                state.lock().unwrap().blob_bytes += bytes.len() as u64;
            }
            piece
        }
    })
}

/// The pieces of a dripping body.
fn drips(
    body: &Bytes,
    drip: Option<Drip>,
    state: Arc<Mutex<State>>,
) -> impl Stream<Item = Result<Bytes, Error>> + use<> {
    let rest = drip.map_or(Bytes::new(), |drip| body.slice(drip.after.min(body.len())..));
    stream::unfold(rest, move |mut rest| {
        let state = state.clone();
        async move {
            let drip = drip.filter(|_| !rest.is_empty())?;
            tokio::time::sleep(drip.pace).await;
            if drip.piece == 0 {
                return Some((Err(error(ErrorKind::Interrupted)), Bytes::new()));
            }
            let piece = rest.split_to(drip.piece.min(rest.len()));
            state.lock().unwrap().blob_bytes += piece.len() as u64;
            Some((Ok(piece), rest))
        }
    })
}

fn pieces(blob: &Bytes, start: usize, end: usize, manner: &Manner) -> Vec<Result<Bytes, Error>> {
    let mut body = blob[start..end].to_vec();
    if let Some(flip) = manner.flip.and_then(|flip| flip.checked_sub(start)).filter(|flip| *flip < body.len())
    {
        body[flip] ^= 1;
    }
    let stop = manner.cut_at.or(manner.end_at).unwrap_or(body.len()).min(body.len());
    let mut pieces: Vec<_> =
        body[..stop].chunks(PIECE).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    if manner.cut_at.is_some() {
        pieces.push(Err(error(ErrorKind::Interrupted)));
    }
    pieces
}
