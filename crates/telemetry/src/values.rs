//! The values of the labels. The sets are closed: no client and no upstream can add a value.

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::label::label;

label! {
    /// The kinds of client requests.
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
        /// A page of the stored repositories.
        Catalog = "catalog",
        /// Anything else: a push, a malformed path.
        Other = "other",
    }
}

label! {
    /// The outcome of a request.
    pub enum Answered {
        /// From the store.
        Hit = "hit",
        /// From the upstream, and stored.
        Miss = "miss",
        /// From a fill that another request had started.
        Join = "join",
        /// From the store, because the upstream could not be asked.
        Stale = "stale",
        /// From the store, after the upstream confirmed it.
        Revalidated = "revalidated",
        /// From the upstream, without being stored.
        Bypass = "bypass",
        /// A body that broke off.
        Cut = "cut",
        /// The client left before there was an answer.
        Left = "left",
        /// `/v2/`.
        Version = "version",
        /// The registry says that the object does not exist.
        NotFound = "not_found",
        /// A negative answer that may not come from the registry.
        Unconfirmed = "unconfirmed",
        /// The registry refuses access.
        Denied = "denied",
        /// A login is needed: there is none, or a wrong one.
        Unauthorized = "unauthorized",
        /// wharf's own rules refuse the client access.
        Forbidden = "forbidden",
        /// Too many logins from the client's address failed.
        Paced = "paced",
        /// The registry limits requests.
        Throttled = "throttled",
        /// The upstream could not be asked.
        Unavailable = "unavailable",
        /// The upstream did not answer in time.
        Timeout = "timeout",
        /// Too many requests, or too much in memory.
        Overloaded = "overloaded",
        /// The registry is configured offline.
        Offline = "offline",
        /// The content has another digest than the one asked for.
        DigestMismatch = "digest_mismatch",
        /// The store failed.
        Store = "store",
        /// A range that the blob does not have.
        Range = "range",
        /// Not a request of the distribution API.
        Invalid = "invalid",
        /// A health check.
        Health = "health",
        /// A challenge of an authority of certificates.
        Challenge = "challenge",
        /// The root, or a well-known path of other programs.
        About = "about",
        /// A push or another method.
        Unsupported = "unsupported",
        /// A malformed head.
        Malformed = "malformed",
        /// The TLS server name differs from the host.
        Misdirected = "misdirected",
        /// A request in plain text that must come over TLS.
        Redirected = "redirected",
        /// A page in a browser.
        Browser = "browser",
        /// A host name of no registry.
        UnknownHost = "unknown_host",
        /// A registry that is not configured.
        UnknownRegistry = "unknown_registry",
        /// Host, path and `ns` name different registries.
        Disagree = "disagree",
        /// Nothing names a registry.
        NoSelector = "no_selector",
    }
}

/// The source of an answer's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The store had it before the request.
    Store,
    /// The upstream, for this request or for another one that asked at the same time.
    Upstream,
}

impl Answered {
    /// The source of the content; `None`: there is none, or not all of it.
    pub fn source(self) -> Option<Source> {
        match self {
            Self::Hit | Self::Stale | Self::Revalidated => Some(Source::Store),
            Self::Miss | Self::Join | Self::Bypass => Some(Source::Upstream),
            _ => None,
        }
    }
}

label! {
    /// The end of an order of a certificate.
    pub enum Ordered {
        /// With a certificate.
        Success = "success",
        /// Without one.
        Failure = "failure",
    }
}

label! {
    /// The reason for which wharf's own rules refused a client.
    pub enum AccessRefused {
        /// The client sent no login.
        NoLogin = "no_login",
        /// The client sent a wrong login.
        WrongLogin = "wrong_login",
        /// Its address is none that comes in.
        Address = "address",
        /// It has no certificate that comes in.
        Certificate = "certificate",
        /// No list of allowed repositories names the repository.
        NotAllowed = "not_allowed",
        /// A pattern denies the repository.
        Denied = "denied",
        /// Too many logins from its address failed.
        Paced = "paced",
        /// Too many passwords waited to be checked.
        Busy = "busy",
    }
}

label! {
    /// The reason for which a pull from the upstream failed.
    pub enum PullFailure of Answered {
        NotFound,
        Unconfirmed,
        Denied,
        Throttled,
        Timeout,
        Unavailable,
        Overloaded,
        Offline,
        DigestMismatch,
        Range,
        Store,
    }
}

/// The end of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FillEnd {
    /// The blob is stored.
    Done,
    /// The fill failed.
    Failed(PullFailure),
}

impl FillEnd {
    /// The label's text.
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
    /// The reason for which an answer was passed through without being stored.
    pub enum BypassReason {
        /// The store failed before or during the transfer.
        StoreFailed = "store_failed",
        /// The blob does not fit below the store's limits, whatever else is removed.
        NoRoom = "no_room",
    }
}

label! {
    /// Whether a tag names another digest than before.
    pub(crate) enum Changed {
        Yes = "yes",
        No = "no",
    }
}

label! {
    /// The reasons for which wharf removes images from a store.
    pub enum Evicted {
        /// The store, or all stores together, held too much.
        Cap = "cap",
        /// The file system had too few free bytes.
        FreeSpace = "free_space",
        /// The image had not been used for a long time.
        Unused = "unused",
        /// The image's repository had enough tags with a more recent use.
        KeepTags = "keep_tags",
        /// An operator named the image.
        Purge = "purge",
    }
}

label! {
    /// The targets that wharf leaves alone for a while.
    pub enum LeftAlone {
        /// One tag, blob or list.
        Path = "path",
        /// A content network or a token service.
        Host = "host",
        /// The registry.
        Registry = "registry",
        /// A repository or a host that answered 429.
        Throttled = "throttled",
    }
}

label! {
    /// The answer of a source of logins.
    pub(crate) enum LoginAsked {
        /// It gave a login, or said that it has none.
        Given = "given",
        /// It gave no usable answer.
        Failed = "failed",
    }
}

label! {
    /// The kinds of requests to an upstream.
    pub enum UpstreamKind {
        /// `HEAD` of a manifest: a check whether a tag has moved.
        HeadManifest = "head_manifest",
        /// `GET` of a manifest: what Docker Hub counts as a pull.
        GetManifest = "get_manifest",
        /// `HEAD` of a blob.
        HeadBlob = "head_blob",
        /// `GET` of a blob or a part of one.
        GetBlob = "get_blob",
        /// A request to a token service.
        Token = "token",
        /// A page of tags or of referrers.
        List = "list",
        /// A request that follows a redirect.
        Redirect = "redirect",
        /// The root, `/v2/`: a probe, or a request for the challenge.
        Version = "version",
    }
}

label! {
    /// The reason for the end of a client's connection.
    pub enum CloseReason {
        /// Normally, after its last answer.
        Done = "done",
        /// The client disconnected.
        Left = "left",
        /// No further request came in time.
        Idle = "idle",
        /// The head of a request took too long.
        SlowHead = "slow_head",
        /// The client did not read in time.
        SlowReader = "slow_reader",
        /// No content came to send in time.
        NoAnswer = "no_answer",
        /// A body could not be completed.
        Cut = "cut",
        /// The client did not speak HTTP.
        Malformed = "malformed",
        /// The TLS handshake failed.
        Tls = "tls",
        /// The client kept its side open after the last answer.
        Linger = "linger",
        /// The grace period of a shutdown was over.
        Drain = "drain",
        /// The client had too many connections.
        Refused = "refused",
        /// The runtime dropped its task.
        Dropped = "dropped",
        /// Its task panicked.
        Panic = "panic",
    }
}

label! {
    /// The position of an address in the list of an upstream.
    pub(crate) enum AddressPosition {
        /// The registry itself.
        First = "1",
        /// The first stand-in.
        Second = "2",
        /// The second one.
        Third = "3",
        /// The third one.
        Fourth = "4",
        /// The fourth one.
        Fifth = "5",
        /// The fifth one.
        Sixth = "6",
        /// The sixth one.
        Seventh = "7",
        /// The seventh one.
        Eighth = "8",
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
        /// Objects that were found damaged and set aside.
        Quarantine = "quarantine",
        /// Stored lists of tags and referrers.
        List = "list",
    }
}

label! {
    /// The calls to the storage.
    pub enum StoreCall {
        /// open(2) of an existing file.
        Open = "open",
        /// open(2) of a new file.
        Create = "create",
        /// pread(2)
        Pread = "pread",
        /// pwritev(2)
        Pwritev = "pwritev",
        /// ioctl(2), which shares the blocks of files
        Ioctl = "ioctl",
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
        /// rmdir(2)
        Rmdir = "rmdir",
        /// stat(2)
        Stat = "stat",
        /// fstat(2)
        Fstat = "fstat",
        /// statvfs(3)
        Statvfs = "statvfs",
        /// readdir(3)
        Readdir = "readdir",
        /// flock(2)
        Flock = "flock",
        /// A job on a blocking thread.
        SpawnBlocking = "spawn_blocking",
        /// Sets the size of a spool.
        SetSize = "set_size",
        /// Publishes a verified spool as a blob.
        Admit = "admit",
        /// Verifies a spool.
        Finish = "finish",
        /// Keeps a spool for a later fill.
        Park = "park",
        /// Records which bytes a spool has.
        Note = "note",
        /// Deletes a spool.
        Discard = "discard",
        /// Other work on a spool's file.
        Run = "run",
        /// Any other call.
        Other = "other",
    }
}

impl StoreCall {
    /// Returns the call with this name.
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
    /// The end of a reload.
    pub enum Reloaded {
        /// The new configuration is in use.
        Success = "success",
        /// The new configuration was refused, and the old one stays in use.
        Failure = "failure",
    }
}

/// A status code, or only the class of an unusual one, so that an upstream that invents codes adds no series.
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
