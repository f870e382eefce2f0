//! The consent to a removal: given by an option, or asked for on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use super::failure::Failure;

/// Returns whether the user agrees to what was printed.
///
/// # Errors
/// No user can be asked.
pub(super) fn is_given(yes: bool, question: &str) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        let reason =
            "nothing was removed: this is no terminal on which to ask; run the command again with --yes";
        return Err(Failure::WrongUse(reason.to_owned()));
    }
    // Standard output may be a pipe.
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(|error| Failure::Failed(format!("cannot read the answer: {error}; nothing was removed")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
