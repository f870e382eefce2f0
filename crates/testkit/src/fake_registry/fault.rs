//! The faults that rules can inject into a response.

use std::time::Duration;

use bytes::Bytes;

use super::delivery::{Break, Pace};
use super::range::RangeLie;
use super::reply::{Framing, Reply};
use crate::blob_source::BlobSource;
use crate::gate::{Gate, Valve};

const PORTAL: &str = "<!DOCTYPE html><html><body><h1>Please log in to the network</h1></body></html>";

/// One fault of a response. Positions called `k` count body bytes of this response from zero, without the
/// framing of chunks.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Sends no byte before the gate is open.
    Stall(Gate),
    /// This status with an error body: 401 with the challenge, 429 with `Retry-After` if the behaviour has
    /// one.
    Status(u16),
    /// This answer.
    StatusWith {
        /// The status.
        code: u16,
        /// All headers but `Content-Length`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Bytes,
    },
    /// These bytes instead of a response, then FIN. They need not be HTTP.
    Raw(Bytes),
    /// No response, and FIN.
    Close,
    /// No response, and RST.
    Reset,
    /// The whole response, and then an unannounced end of the connection, so that the client's pool has a
    /// dead connection.
    CloseAfter,
    /// 307 to this URL.
    RedirectTo(String),
    /// 307 to the same target below this URL, like a host that redirects to another registry.
    RedirectBelow(String),
    /// 307 to the requested URL.
    RedirectLoop,
    /// FIN after `k` body bytes, or after the last if there are fewer, but never a final chunk.
    CutAt(u64),
    /// RST after `k` body bytes. Bytes that the client has not read are lost, so it may see fewer.
    ResetAt(u64),
    /// `k` body bytes, then none before the gate is open. A shorter body never reaches the gate.
    PauseAt(u64, Gate),
    /// The body in pieces of `bytes`, one for each `every` on the runtime's clock.
    Drip {
        /// Size of a piece.
        bytes: usize,
        /// The time before each piece.
        every: Duration,
    },
    /// The body in pieces of `bytes`, one for each that the valve allows.
    Valved {
        /// Size of a piece.
        bytes: usize,
        /// Counts the pieces.
        valve: Valve,
    },
    /// No more than this many bytes per second, on the runtime's clock.
    Rate(u64),
    /// The lowest bit of this byte is inverted. The position counts in the whole content, so that it is the
    /// same byte for every range.
    FlipBit(u64),
    /// This `Content-Length`; the body is unchanged, and the connection ends after it.
    Length(u64),
    /// Chunks instead of `Content-Length`.
    Chunked,
    /// No `Content-Length`: the body ends with the connection.
    CloseDelimited,
    /// 200 and the whole content, for every range.
    RangeIgnored,
    /// A wrong response to a range.
    Range(RangeLie),
    /// This header instead of any with its name (lower case), such as `content-encoding: gzip`.
    Header(&'static str, String),
    /// Without the header with this name (lower case).
    WithoutHeader(&'static str),
    /// 200 and an HTML login page.
    HtmlPortal,
    /// 200 and these bytes, with the headers of the right response.
    Body(Bytes),
    /// The right response, after which the tag points to another digest: a HEAD and the GET after it
    /// disagree.
    MoveTag {
        /// The repository of the tag.
        repository: String,
        /// Its name.
        tag: String,
        /// The new digest.
        digest: String,
    },
}

/// The request, as far as faults need it.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The requested URL.
    pub(crate) own_url: String,
    /// Its path and query.
    pub(crate) own_target: String,
    /// The `WWW-Authenticate` of a challenge, if there is authentication.
    pub(crate) challenge: Option<String>,
    pub(crate) retry_after: Option<String>,
}

impl Fault {
    /// Applies the fault to `reply`.
    pub(crate) fn apply(self, reply: &mut Reply, setting: &Setting) {
        let delivery = &mut reply.delivery;
        match self {
            Self::Stall(gate) => delivery.stalls.push(gate),
            Self::Status(code) => reply.become_other(refusal(code, setting)),
            Self::StatusWith { code, headers, body } => {
                let mut other = Reply::new(code, "", body);
                other.headers = headers;
                reply.become_other(other);
            }
            Self::Raw(bytes) => delivery.instead = Some((bytes, Break::Fin)),
            Self::Close => delivery.instead = Some((Bytes::new(), Break::Fin)),
            Self::Reset => delivery.instead = Some((Bytes::new(), Break::Rst)),
            Self::CloseAfter => delivery.is_closing = true,
            Self::RedirectTo(url) => reply.become_other(Reply::redirect(&url)),
            Self::RedirectBelow(url) => {
                reply.become_other(Reply::redirect(&format!("{url}{}", setting.own_target)));
            }
            Self::RedirectLoop => reply.become_other(Reply::redirect(&setting.own_url)),
            Self::CutAt(at) => delivery.break_at = Some((at, Break::Fin)),
            Self::ResetAt(at) => delivery.break_at = Some((at, Break::Rst)),
            Self::PauseAt(at, gate) => delivery.pauses.push((at, gate)),
            Self::Drip { bytes, every } => delivery.pace = Pace::Every { bytes: bytes.max(1), every },
            Self::Valved { bytes, valve } => delivery.pace = Pace::Valved { bytes: bytes.max(1), valve },
            Self::Rate(per_second) => delivery.pace = Pace::Rate { per_second: per_second.max(1) },
            Self::FlipBit(at) => delivery.flips.push(at),
            Self::Length(length) => {
                reply.framing = Framing::Claimed(length);
                delivery.is_closing = true;
            }
            Self::Chunked => reply.framing = Framing::Chunked,
            Self::CloseDelimited => reply.framing = Framing::Close,
            Self::RangeIgnored => reply.is_ranged = false,
            Self::Range(lie) => reply.range_lie = Some(lie),
            Self::Header(name, value) => reply.overrides.push((name.to_owned(), Some(value))),
            Self::WithoutHeader(name) => reply.overrides.push((name.to_owned(), None)),
            Self::HtmlPortal => reply.become_other(Reply::new(200, "text/html; charset=utf-8", PORTAL)),
            Self::Body(bytes) => {
                reply.status = 200;
                reply.body = BlobSource::Bytes(bytes);
            }
            Self::MoveTag { repository, tag, digest } => reply.moves.push((repository, tag, digest)),
        }
    }
}

/// An error response with this status, in the registry's format.
fn refusal(code: u16, setting: &Setting) -> Reply {
    let word = match code {
        401 => "UNAUTHORIZED",
        403 | 451 => "DENIED",
        404 | 410 => "NOT_FOUND",
        429 => "TOOMANYREQUESTS",
        _ => "UNKNOWN",
    };
    let mut reply = Reply::error(code, word);
    let extra = match code {
        401 => setting.challenge.as_ref().map(|value| ("www-authenticate", value)),
        429 => setting.retry_after.as_ref().map(|value| ("retry-after", value)),
        _ => None,
    };
    if let Some((name, value)) = extra {
        reply = reply.with(name, value);
    }
    reply
}
