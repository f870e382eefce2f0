//! Several ranges of one blob in one body (`multipart/byteranges`; RFC 9110, section 14.6). Each part follows
//! a boundary and a head that names its range. Parts are sent like any range, as files if possible.

use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use cache::{BlobParts, BlobReader, Piece, PullError};
use http::HeaderValue;
use oci::ByteRange;

/// A body of several parts, read at the client's pace.
///
/// Each part's head is formatted just before the part: a thousand heads in advance, for a client that may not
/// read, would take a quarter of a megabyte.
#[derive(Debug)]
pub(crate) struct Multipart {
    parts: BlobParts,
    boundary: String,
    /// The part being sent.
    current: Option<BlobReader>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    BeforeFirst,
    InParts,
    Over,
}

impl Multipart {
    /// Returns the body for these parts, its length in bytes and its media type.
    pub(crate) fn new(parts: BlobParts) -> (Self, u64, HeaderValue) {
        let boundary = boundary();
        let mut length = last_line(&boundary).len() as u64;
        let mut line_end = "";
        for range in parts.ranges() {
            length += head(line_end, &boundary, *range, parts.size()).len() as u64 + range.len();
            line_end = "\r\n";
        }
        let media_type = HeaderValue::from_str(&format!("multipart/byteranges; boundary={boundary}"));
        let media_type = media_type.expect("a boundary is visible ASCII");
        (Self { parts, boundary, current: None, state: State::BeforeFirst }, length, media_type)
    }

    /// Polls the next piece. It is a piece of a file only if the connection `sends_files`.
    ///
    /// # Errors
    /// An error is final, as in [`BlobReader`].
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        sends_files: bool,
    ) -> Poll<Option<Result<Piece, PullError>>> {
        if let Some(reader) = &mut self.current {
            let piece = if sends_files {
                ready!(reader.poll_piece(cx))
            } else {
                ready!(reader.poll_chunk(cx)).map(|chunk| chunk.map(Piece::Bytes))
            };
            if piece.is_some() {
                return Poll::Ready(piece);
            }
        }
        Poll::Ready(self.next_text().map(|text| Ok(Piece::Bytes(Bytes::from(text)))))
    }

    /// Moves to the next part and returns the text before it, or the text after the last part.
    fn next_text(&mut self) -> Option<String> {
        let line_end = if self.state == State::BeforeFirst { "" } else { "\r\n" };
        self.current = None;
        if let Some((range, reader)) = self.parts.next() {
            (self.current, self.state) = (Some(reader), State::InParts);
            return Some(head(line_end, &self.boundary, range, self.parts.size()));
        }
        let is_over = mem::replace(&mut self.state, State::Over) == State::Over;
        (!is_over).then(|| last_line(&self.boundary))
    }
}

fn last_line(boundary: &str) -> String {
    format!("\r\n--{boundary}--\r\n")
}

fn head(line_end: &str, boundary: &str, range: ByteRange, size: u64) -> String {
    let (first, last) = (range.start, range.end - 1);
    format!(
        "{line_end}--{boundary}\r\nContent-Type: application/octet-stream\r\n\
         Content-Range: bytes {first}-{last}/{size}\r\n\r\n"
    )
}

/// A random boundary, so that no content can contain it on purpose.
fn boundary() -> String {
    // The standard library seeds each hash map at random.
    let part = || RandomState::new().hash_one(0_u8);
    format!("{:016x}{:016x}", part(), part())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_f3_a_part_says_where_it_belongs() {
        let range = ByteRange { start: 20, end: 30 };
        assert_eq!(
            head("\r\n", "xyz", range, 300),
            "\r\n--xyz\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 20-29/300\r\n\r\n"
        );
    }

    #[test]
    fn client_f3_no_two_answers_have_one_boundary() {
        let (one, other) = (boundary(), boundary());
        assert!(one != other && one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    }
}
