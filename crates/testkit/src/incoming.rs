//! A received request, parsed by hand, because tests must see every byte of it.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// More than any client sends; a longer head ends the connection.
const HEAD_BYTES_MAX: usize = 256 << 10;

/// Bytes read from the connection at once: most heads are shorter.
const READ_BYTES: usize = 8 << 10;

/// The head of one HTTP/1.1 request. Its body, if any, was read and discarded.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    /// As sent, so upper case.
    pub(crate) method: String,
    /// The request target as sent: usually path and query.
    pub(crate) target: String,
    /// In order; names in lower case, values trimmed.
    pub(crate) headers: Vec<(String, String)>,
}

impl Incoming {
    /// The first header of that name, which must be given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the client asked for the connection to be closed after the answer.
    pub(crate) fn wants_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn parse(raw: &str) -> Option<Self> {
        let mut lines = raw.split("\r\n");
        let mut start = lines.next()?.split(' ');
        let (method, target) = (start.next()?.to_owned(), start.next()?.to_owned());
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self { method, target, headers })
    }
}

/// The next request on a connection, or `None` when the client closed between two requests. `pending` has the
/// bytes that were read after the last request.
///
/// # Errors
/// The connection's errors, and `InvalidData` for bytes that are not HTTP.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    pending: &mut BytesMut,
) -> io::Result<Option<Incoming>> {
    let end = loop {
        if let Some(at) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if pending.len() > HEAD_BYTES_MAX {
            return Err(invalid("the head of the request is too long"));
        }
        pending.reserve(READ_BYTES);
        if stream.read_buf(pending).await? == 0 {
            return if pending.is_empty() { Ok(None) } else { Err(invalid("half a request")) };
        }
    };
    let head = pending.split_to(end);
    let parsed = Incoming::parse(&String::from_utf8_lossy(&head));
    let incoming = parsed.ok_or_else(|| invalid("not an HTTP request"))?;
    skip_body(stream, pending, &incoming).await?;
    Ok(Some(incoming))
}

async fn skip_body(
    stream: &mut (impl AsyncRead + Unpin),
    pending: &mut BytesMut,
    incoming: &Incoming,
) -> io::Result<()> {
    if incoming.header("transfer-encoding").is_some() {
        return Err(invalid("a pull-only registry takes no chunked request"));
    }
    let mut left: usize = match incoming.header("content-length") {
        None => 0,
        Some(value) => value.parse().map_err(|_| invalid("the length of the request is no number"))?,
    };
    loop {
        let skipped = left.min(pending.len());
        pending.advance(skipped);
        left -= skipped;
        if left == 0 {
            return Ok(());
        }
        if stream.read_buf(pending).await? == 0 {
            return Err(invalid("the body of the request was cut"));
        }
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
