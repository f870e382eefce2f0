//! Short forms of the program, its blobs and their bodies.

use bytes::Bytes;
use testkit::client::Connection;

/// The program under test.
pub(crate) const WHARF: &str = env!("CARGO_BIN_EXE_wharf");

/// The path of a blob.
pub(crate) fn blob(digest: &str) -> String {
    format!("/v2/library/app/blobs/{digest}")
}

/// Reads about `count` bytes.
pub(crate) async fn read_some(connection: &mut Connection, count: usize) -> usize {
    let mut came = 0;
    while came < count {
        let piece: Option<Bytes> = connection.read_piece(count - came).await.expect("bytes come");
        came += piece.expect("the end is not reached").len();
    }
    came
}
