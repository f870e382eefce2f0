//! Standard output, for the results of commands.

use std::io::{self, Write};

use telemetry::error_chain;

/// Prints a text at once.
///
/// # Errors
/// A line for the user.
pub(crate) fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write: {}", error_chain(&error)))
}

/// Prints a line about what could not be done. Standard error may be closed; the exit code says it too.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
