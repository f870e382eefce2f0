//! The words in which these tests speak of the program under test and of a pull.

use sha2::{Digest as _, Sha256};
use testkit::client::{Broken, Connection};
use testkit::{Auth, Behaviour, FakeRegistry};

/// The program under test.
pub(crate) const WHARF: &str = env!("CARGO_BIN_EXE_wharf");

/// An upstream without authentication, so that all its bytes are content.
pub(crate) async fn plain_upstream() -> FakeRegistry {
    FakeRegistry::start_with(Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }).await
}

/// Reads to the end and gives the digest of what came, if the end was clean.
pub(crate) async fn read_digest(mut connection: Connection) -> Result<String, Broken> {
    let mut hasher = Sha256::new();
    while let Some(piece) = connection.read_piece(1 << 20).await? {
        hasher.update(&piece);
    }
    let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{hex}"))
}
