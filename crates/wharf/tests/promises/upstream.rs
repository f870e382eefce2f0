//! What the promises are kept before, and how their bodies are read.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use testkit::client::{Broken, Connection};
use testkit::{Auth, Behaviour, FakeRegistry};

/// The program under test.
pub(crate) const WHARF: &str = env!("CARGO_BIN_EXE_wharf");

/// An upstream without authentication, so that each request counted is one for content.
pub(crate) async fn plain_upstream() -> FakeRegistry {
    FakeRegistry::start_with(Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }).await
}

/// The path of a blob.
pub(crate) fn blob(digest: &str) -> String {
    format!("/v2/library/app/blobs/{digest}")
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads to the end and gives the digest of what came, if the end was clean.
pub(crate) async fn read_digest(mut connection: Connection) -> Result<String, Broken> {
    let mut hasher = Sha256::new();
    while let Some(piece) = connection.read_piece(1 << 20).await? {
        hasher.update(&piece);
    }
    Ok(format!("sha256:{}", hex(&hasher.finalize())))
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
