//! Answers that are longer than memory, from a running wharf.

use std::io::{self, BufRead, BufReader, Read};

use crate::exchange::{Connection, Socket};

/// The bound on the head of an answer, and on a line of the chunked coding, in bytes.
const HEAD_BYTES_MAX: u64 = 16 * 1024;

/// An answer whose content is read as it comes.
#[derive(Debug)]
pub(crate) struct StreamedAnswer {
    /// The status code; 0: it is not readable.
    pub(crate) status: u16,
    /// The content.
    pub(crate) content: Content,
}

/// The content of an answer (RFC 9112, section 6).
#[derive(Debug)]
pub(crate) struct Content {
    input: BufReader<Socket>,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    /// So many bytes are left.
    Length(u64),
    /// So many bytes are left of a chunk.
    Chunked { left: u64, is_first: bool, is_over: bool },
}

impl StreamedAnswer {
    /// Reads the head of the answer to a request that was sent.
    ///
    /// # Errors
    /// I/O errors, and heads that wharf does not send.
    pub(crate) fn read(socket: Socket) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(256 * 1024, socket);
        let status = line(&mut input)?.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let mut framing = Framing::Length(0);
        loop {
            let field = line(&mut input)?.to_ascii_lowercase();
            if field.is_empty() {
                break;
            }
            match field.split_once(':') {
                Some(("content-length", length)) => {
                    framing = Framing::Length(length.trim().parse().map_err(io::Error::other)?);
                }
                Some(("transfer-encoding", _)) => {
                    framing = Framing::Chunked { left: 0, is_first: true, is_over: false };
                }
                _ => {}
            }
        }
        Ok(Self { status, content: Content { input, framing } })
    }
}

impl Content {
    /// The connection, for a thread that ends it.
    ///
    /// # Errors
    /// The process has too many open files.
    pub(crate) fn connection(&self) -> io::Result<Connection> {
        self.input.get_ref().connection()
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Framing::Chunked { left: 0, is_first, is_over: false } = self.framing {
            if !is_first {
                line(&mut self.input)?;
            }
            let size = line(&mut self.input)?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let left = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            self.framing = Framing::Chunked { left, is_first: false, is_over: left == 0 };
        }
        let left = match &mut self.framing {
            Framing::Length(left) => left,
            Framing::Chunked { left, .. } => left,
        };
        if *left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let len = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
        let len = self.input.read(&mut buffer[..len])?;
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection broke off"));
        }
        *left -= len as u64;
        Ok(len)
    }
}

/// A line without its end.
fn line(input: &mut BufReader<Socket>) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.by_ref().take(HEAD_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.last() != Some(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection broke off"));
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
