//! A response before it is sent: the right one, then with the script's faults applied.

use serde_json::json;

use super::delivery::Delivery;
use super::range::{Asked, RangeLie};
use crate::blob_source::BlobSource;
use crate::incoming::Incoming;

/// A complete response with its body and its kind of delivery.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// All headers but those about length, range and connection.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: BlobSource,
    /// Whether it is for a client without a valid credential, or with one that the endpoint refuses.
    pub(crate) is_refusal: bool,
    /// Whether a `Range` header is honoured.
    pub(crate) is_ranged: bool,
    pub(crate) range_lie: Option<RangeLie>,
    pub(crate) framing: Framing,
    /// Headers that replace those of the finished head.
    pub(crate) overrides: Vec<(String, Option<String>)>,
    pub(crate) delivery: Delivery,
    /// Tags to move after the delivery: repository, tag, digest.
    pub(crate) moves: Vec<(String, String, String)>,
}

/// The framing of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `Content-Length`, true.
    Length,
    /// `Content-Length`, this.
    Claimed(u64),
    /// Chunks.
    Chunked,
    /// By closing the connection.
    Close,
}

/// The bytes to send: the head, then a range of the content.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) status: u16,
    pub(crate) head: Vec<u8>,
    pub(crate) content: BlobSource,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) framing: Framing,
    /// Whether the connection ends after this response without a fault.
    pub(crate) is_last: bool,
}

impl Reply {
    /// An answer with a body of this media type.
    pub(crate) fn new(status: u16, media_type: &str, body: impl Into<BlobSource>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), media_type.to_owned())],
            body: body.into(),
            is_refusal: false,
            is_ranged: false,
            range_lie: None,
            framing: Framing::Length,
            overrides: Vec::new(),
            delivery: Delivery::default(),
            moves: Vec::new(),
        }
    }

    /// An error as the distribution-spec writes it ("Error Codes").
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let body = json!({ "errors": [{ "code": code, "message": "the fake registry says so" }] });
        Self::new(status, "application/json", body.to_string().into_bytes())
    }

    /// 307 to `url`.
    pub(crate) fn redirect(url: &str) -> Self {
        Self::new(307, "text/plain", "").with("location", url)
    }

    /// One more header.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Marks the response as one for a missing or invalid credential.
    pub(crate) fn refusing(mut self) -> Self {
        self.is_refusal = true;
        self
    }

    /// Replaces the response, and keeps its kind of delivery.
    pub(crate) fn become_other(&mut self, other: Self) {
        self.status = other.status;
        self.headers = other.headers;
        self.body = other.body;
        self.is_ranged = other.is_ranged;
    }

    /// Decides range and framing, and writes the head.
    pub(crate) fn message(&self, request: &Incoming) -> Message {
        let size = self.body.len();
        let is_head = request.method == "HEAD";
        let asked = if self.is_ranged && self.status == 200 && !is_head {
            Asked::read(self.honoured_range(request), size)
        } else {
            Asked::Whole
        };
        let window = self.window(asked, size);
        let mut headers = self.headers.clone();
        if self.is_ranged {
            headers.push(("accept-ranges".to_owned(), "bytes".to_owned()));
        }
        if let Some(value) = window.content_range {
            headers.push(("content-range".to_owned(), value));
        }
        let has_body = !is_head && !matches!(window.status, 100..200 | 204 | 304);
        let (start, end) = if has_body { (window.start, window.end) } else { (0, 0) };
        let framing = if has_body { self.framing } else { Framing::Length };
        let told = window.end - window.start;
        match self.framing {
            Framing::Length => headers.push(("content-length".to_owned(), told.to_string())),
            Framing::Claimed(length) => headers.push(("content-length".to_owned(), length.to_string())),
            Framing::Chunked => headers.push(("transfer-encoding".to_owned(), "chunked".to_owned())),
            Framing::Close => {}
        }
        let is_last = request.wants_close() || framing == Framing::Close;
        if is_last {
            headers.push(("connection".to_owned(), "close".to_owned()));
        }
        for (name, value) in &self.overrides {
            headers.retain(|(key, _)| key != name);
            headers.extend(value.clone().map(|value| (name.clone(), value)));
        }
        let head = write_head(window.status, &headers);
        let is_last = is_last || self.delivery.is_closing;
        Message { status: window.status, head, content: self.body.clone(), start, end, framing, is_last }
    }

    /// The `Range` header, unless `If-Range` names another version (RFC 9110 section 13.1.5).
    fn honoured_range<'a>(&self, request: &'a Incoming) -> Option<&'a str> {
        let own = self.headers.iter().find(|(key, _)| key == "etag").map(|(_, value)| value.as_str());
        let condition = request.header("if-range");
        if condition.is_none() || condition == own { request.header("range") } else { None }
    }

    fn window(&self, asked: Asked, size: u64) -> Window {
        let shifted = |start: u64, by: i64, end: u64| start.saturating_add_signed(by).min(end);
        let label = |start: u64, end: u64, total: u64| {
            // A range shifted beyond its end is empty: its header is reversed, as a faulty server's would be.
            Some(format!("bytes {start}-{}/{total}", end.saturating_sub(1)))
        };
        let (start, end) = match asked {
            Asked::Whole => return Window { status: self.status, start: 0, end: size, content_range: None },
            Asked::Nothing => return Window::not_satisfiable(size),
            Asked::Span { start, end } => (start, end),
        };
        let (start, content_range) = match self.range_lie {
            None => (start, label(start, end, size)),
            Some(RangeLie::NotSatisfiable) => return Window::not_satisfiable(size),
            Some(RangeLie::Shifted(by)) => {
                let start = shifted(start, by, end);
                (start, label(start, end, size))
            }
            Some(RangeLie::ClaimsAsked(by)) => {
                // As many bytes as claimed, if there are enough: the length must not reveal the fault.
                let (from, until) = (shifted(start, by, size), shifted(end, by, size));
                let content_range = label(start, end, size);
                return Window { status: 206, start: from, end: until, content_range };
            }
            Some(RangeLie::WrongTotal(total)) => (start, label(start, end, total)),
            Some(RangeLie::NoContentRange) => (start, None),
        };
        Window { status: 206, start, end, content_range }
    }
}

struct Window {
    status: u16,
    start: u64,
    end: u64,
    content_range: Option<String>,
}

impl Window {
    fn not_satisfiable(size: u64) -> Self {
        Self { status: 416, start: 0, end: 0, content_range: Some(format!("bytes */{size}")) }
    }
}

fn write_head(status: u16, headers: &[(String, String)]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Clients must ignore the reason phrase (RFC 9112 section 4), so it is only for humans.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        307 => "Temporary Redirect",
        401 => "Unauthorized",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        _ => "Fake",
    }
}
