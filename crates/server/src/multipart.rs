//! Several ranges of one blob in one body (RFC 9110, section 14.6): each behind a line that parts it from the one
//! before, and a head that says which it is. The parts themselves go out as any range does, as files where they can.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use cache::{BlobParts, BlobReader, Piece, PullError};
use http::HeaderValue;
use oci::ByteRange;

/// A body of several parts, read as the client takes it.
#[derive(Debug)]
pub(crate) struct Multipart {
    parts: BlobParts,
    /// The text before each part, and the one behind the last.
    texts: VecDeque<Bytes>,
    /// The part that is being sent.
    current: Option<BlobReader>,
}

impl Multipart {
    /// The body for these parts, its length in bytes and its media type.
    pub(crate) fn new(parts: BlobParts) -> (Self, u64, HeaderValue) {
        let boundary = boundary();
        let size = parts.size();
        let mut texts: VecDeque<Bytes> = VecDeque::with_capacity(parts.ranges().len() + 1);
        for range in parts.ranges() {
            let line_end = if texts.is_empty() { "" } else { "\r\n" };
            texts.push_back(head(line_end, &boundary, *range, size).into());
        }
        texts.push_back(format!("\r\n--{boundary}--\r\n").into());
        let content: u64 = parts.ranges().iter().map(ByteRange::len).sum();
        let length = content + texts.iter().map(|text| text.len() as u64).sum::<u64>();
        let media_type = HeaderValue::from_str(&format!("multipart/byteranges; boundary={boundary}"));
        let media_type = media_type.expect("a boundary is visible ASCII");
        (Self { parts, texts, current: None }, length, media_type)
    }

    /// The next piece; a file only if the connection `sends_files`.
    ///
    /// # Errors
    /// An error is final, as it is in [`BlobReader`].
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
        self.current = self.parts.next().map(|(_, reader)| reader);
        Poll::Ready(self.texts.pop_front().map(|text| Ok(Piece::Bytes(text))))
    }
}

fn head(line_end: &str, boundary: &str, range: ByteRange, size: u64) -> String {
    let (first, last) = (range.start, range.end - 1);
    format!(
        "{line_end}--{boundary}\r\nContent-Type: application/octet-stream\r\n\
         Content-Range: bytes {first}-{last}/{size}\r\n\r\n"
    )
}

/// A line that stands in no content: nobody can guess it who writes one.
fn boundary() -> String {
    // The standard library keys its hash maps at random, each map anew.
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
