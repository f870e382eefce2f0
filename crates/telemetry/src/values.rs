//! The closed sets behind the labels: no client and no upstream can add a value.

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::label::label;

label! {
    /// The kinds of clients' requests.
    pub enum Kind {
        /// The version check, `/v2/`.
        Version = "version",
        /// A manifest, by tag or by digest.
        Manifest = "manifest",
        /// A blob or a part of one.
        Blob = "blob",
        /// A page of a repository's tags.
        Tags = "tags",
        /// The referrers of a digest.
        Referrers = "referrers",
        /// A page of the repositories held here.
        Catalog = "catalog",
        /// Anything else: a push, a malformed path.
        Other = "other",
    }
}

label! {
    /// How a request was answered.
    pub enum Answered {
        /// From the store.
        Hit = "hit",
        /// From the upstream, and stored.
        Miss = "miss",
        /// Along a transfer that another request had started.
        Join = "join",
        /// From the store, because the upstream could not be asked.
        Stale = "stale",
        /// From the store, after the upstream said that it is still right.
        Revalidated = "revalidated",
        /// From the upstream, without being stored.
        Bypass = "bypass",
        /// A body that broke off.
        Cut = "cut",
        /// The client left before there was an answer.
        Left = "left",
        /// `/v2/`.
        Version = "version",
        /// The registry says that there is no such thing.
        NotFound = "not_found",
        /// The upstream says no in words that are not a registry's.
        Unconfirmed = "unconfirmed",
        /// The registry refuses.
        Denied = "denied",
        /// The registry allows no more requests for now.
        Throttled = "throttled",
        /// The upstream could not be asked.
        Unavailable = "unavailable",
        /// The upstream did not answer in time.
        Timeout = "timeout",
        /// Too many requests, or too much in memory.
        Overloaded = "overloaded",
        /// The registry is configured not to be asked.
        Offline = "offline",
        /// The content has another digest than the one asked for.
        DigestMismatch = "digest_mismatch",
        /// The store failed.
        Store = "store",
        /// A range that the blob does not have.
        Range = "range",
        /// No request of the distribution API.
        Invalid = "invalid",
        /// A health check.
        Health = "health",
        /// The root, or a path that is elsewhere.
        About = "about",
        /// A push or another method.
        Unsupported = "unsupported",
        /// A head that cannot be read.
        Malformed = "malformed",
        /// TLS for another name.
        Misdirected = "misdirected",
        /// A page in a browser.
        Browser = "browser",
        /// A host name that is no registry's.
        UnknownHost = "unknown_host",
        /// A registry that is not configured.
        UnknownRegistry = "unknown_registry",
        /// Host, path and `ns` name different registries.
        Disagree = "disagree",
        /// Nothing names a registry.
        NoSelector = "no_selector",
    }
}

label! {
    /// Why content could not be had from the upstream.
    pub enum PullFailure {
        /// The registry says that there is no such thing.
        NotFound = "not_found",
        /// The upstream says no in words that are not a registry's.
        Unconfirmed = "unconfirmed",
        /// The registry refuses.
        Denied = "denied",
        /// The registry allows no more requests for now.
        Throttled = "throttled",
        /// It did not answer in time.
        Timeout = "timeout",
        /// It could not be asked.
        Unavailable = "unavailable",
        /// Too many requests wait for it already.
        Overloaded = "overloaded",
        /// It is configured not to be asked.
        Offline = "offline",
        /// The content has another digest than the one asked for.
        DigestMismatch = "digest_mismatch",
        /// A range that the blob does not have.
        Range = "range",
        /// The store failed.
        Store = "store",
    }
}

/// How a transfer into the store ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FillEnd {
    /// The blob is stored.
    Done,
    /// It failed, and why.
    Failed(PullFailure),
}

impl FillEnd {
    /// The text of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(why) => why.as_str(),
        }
    }
}

impl EncodeLabelValue for FillEnd {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}

label! {
    /// Why an answer was passed through without being stored.
    pub enum BypassReason {
        /// The store failed before the content came, or while it came.
        StoreFailed = "store_failed",
    }
}

label! {
    /// Whether a tag names something else than before.
    pub(crate) enum Changed {
        Yes = "yes",
        No = "no",
    }
}

label! {
    /// Things upstream that are left alone for a while.
    pub enum LeftAlone {
        /// One tag, blob or list.
        Path = "path",
        /// A content network or a token service.
        Host = "host",
        /// The registry.
        Registry = "registry",
        /// Anything that answered 429.
        Throttled = "throttled",
    }
}

label! {
    /// The kinds of our requests to an upstream.
    pub enum UpstreamKind {
        /// `HEAD` of a manifest: the question "has the tag moved".
        HeadManifest = "head_manifest",
        /// `GET` of a manifest: what Docker Hub counts as a pull.
        GetManifest = "get_manifest",
        /// `HEAD` of a blob.
        HeadBlob = "head_blob",
        /// `GET` of a blob or a part of one.
        GetBlob = "get_blob",
        /// An exchange with a token realm.
        Token = "token",
        /// A page of tags or of referrers.
        List = "list",
        /// A further hop that a redirect led to.
        Redirect = "redirect",
        /// The root, `/v2/`: whether the registry is there, and what it wants to be shown.
        Version = "version",
    }
}

label! {
    /// Why a client's connection ended.
    pub enum CloseReason {
        /// After its last answer.
        Done = "done",
        /// The client went away.
        Left = "left",
        /// It made no further request.
        Idle = "idle",
        /// The head of a request took too long.
        SlowHead = "slow_head",
        /// The client did not read.
        SlowReader = "slow_reader",
        /// There was nothing to send for too long.
        NoAnswer = "no_answer",
        /// A body could not be completed.
        Cut = "cut",
        /// It spoke no HTTP.
        Malformed = "malformed",
        /// The TLS handshake failed.
        Tls = "tls",
        /// The client kept its side open after the last answer.
        Linger = "linger",
        /// The grace period of a stop was over.
        Drain = "drain",
        /// Its client has too many already.
        Refused = "refused",
        /// Its task was thrown away.
        Dropped = "dropped",
        /// A bug.
        Panic = "panic",
    }
}

label! {
    /// The kinds of stored objects.
    pub enum Stored {
        /// Verified blobs.
        Blob = "blob",
        /// Verified manifests.
        Manifest = "manifest",
        /// Unfinished blobs.
        Partial = "partial",
        /// What was found damaged and set aside.
        Quarantine = "quarantine",
    }
}

label! {
    /// The calls to the storage.
    pub enum StoreCall {
        /// open(2) of what is there.
        Open = "open",
        /// open(2) of a new file.
        Create = "create",
        /// pread(2)
        Pread = "pread",
        /// pwritev(2)
        Pwritev = "pwritev",
        /// write(2)
        Write = "write",
        /// fsync(2)
        Fsync = "fsync",
        /// fdatasync(2)
        Fdatasync = "fdatasync",
        /// syncfs(2)
        Syncfs = "syncfs",
        /// ftruncate(2)
        Ftruncate = "ftruncate",
        /// rename(2)
        Rename = "rename",
        /// unlink(2)
        Unlink = "unlink",
        /// mkdir(2)
        Mkdir = "mkdir",
        /// stat(2)
        Stat = "stat",
        /// fstat(2)
        Fstat = "fstat",
        /// readdir(3)
        Readdir = "readdir",
        /// flock(2)
        Flock = "flock",
        /// A job of the store on a thread that may block.
        SpawnBlocking = "spawn_blocking",
        /// A spool is told its size.
        SetSize = "set_size",
        /// A spool's blob is given its name.
        Admit = "admit",
        /// A spool is verified.
        Finish = "finish",
        /// A spool is left for later.
        Park = "park",
        /// What a spool has is noted.
        Note = "note",
        /// A spool is deleted.
        Discard = "discard",
        /// Work on a spool's file.
        Run = "run",
        /// Any other.
        Other = "other",
    }
}

impl StoreCall {
    /// The call of this name.
    pub fn named(name: &str) -> Self {
        let call = Self::ALL.iter().copied().find(|call| call.as_str() == name);
        debug_assert!(call.is_some(), "no label is declared for the call {name:?}");
        call.unwrap_or(Self::Other)
    }
}

impl fmt::Display for StoreCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

label! {
    /// How a reload ended.
    pub enum Reloaded {
        /// The configuration in use is that of the file.
        Success = "success",
        /// The file was refused, and the old configuration goes on.
        Failure = "failure",
    }
}

/// A status code, or the class of one that no registry has a reason to send. An upstream that invents codes
/// can therefore add no series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Status {
    Code(u16),
    Class(u16),
    Other,
    NoAnswer,
}

impl Status {
    pub(crate) fn new(status: Option<u16>) -> Self {
        match status {
            None => Self::NoAnswer,
            Some(
                code @ (200
                | 206
                | 301
                | 302
                | 303
                | 304
                | 307
                | 308
                | 400
                | 401
                | 403..=406
                | 408
                | 410
                | 416
                | 421
                | 429
                | 500..=504),
            ) => Self::Code(code),
            Some(code @ 100..=599) => Self::Class(code / 100),
            Some(_) => Self::Other,
        }
    }
}

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(encoder, "{code}"),
            Self::Class(class) => write!(encoder, "{class}xx"),
            Self::Other => encoder.write_str("other"),
            Self::NoAnswer => encoder.write_str("none"),
        }
    }
}
