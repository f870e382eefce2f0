//! Identifies clients: password files, files of bearer tokens, and the rules of each registry.
//!
//! [`Logins`] holds the names and secrets of one pair of files and proves a client's `Authorization`. The
//! check of a password is slow on purpose, so it runs under the bounds of a [`Verifier`], and its result is
//! remembered for a minute by a keyed hash. `policy::access` decides what an identity may read.

mod authorization;
mod clients;
mod htpasswd;
mod logins;
mod memory;
mod table;
mod tokens;
mod verifier;

pub use self::clients::{ClientCredential, ClientHash, Clients, NotTaken};
pub use self::htpasswd::Users;
pub use self::logins::{Logins, Unchecked, Verdict};
pub use self::memory::REMEMBERED_FOR;
pub use self::table::{Access, AccessTable};
pub use self::tokens::Tokens;
pub use self::verifier::Verifier;

/// A line of a file that cannot be used. The text never repeats a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct LineError {
    /// The line's number, from 1.
    pub line: usize,
    /// The mistake, and the way to mend it.
    pub text: String,
}

/// The most lines of a file; more would make each reload slow.
const LINE_COUNT_MAX: usize = 100_000;

/// The longest name of a user or a token, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The lines of a file that hold something, with their numbers.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end_matches('\r')));
    lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

/// Whether a text can be the name of a user or a token. HTTP Basic credentials end a name with a colon.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(|c: char| c.is_control() || c == ':')
}
