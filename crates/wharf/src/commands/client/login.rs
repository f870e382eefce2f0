//! The login for a check.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secret::Secret;

/// The value of `Authorization` for the login in `file`.
///
/// # Errors
/// A line for the user, which does not repeat the login.
pub(super) fn authorization(file: &Path) -> Result<Secret<String>, String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let login = text.trim_end_matches(['\r', '\n']);
    if !login.contains(':') || login.contains('\n') {
        return Err(format!("{} is not one line with USER:PASSWORD", file.display()));
    }
    Ok(Secret::new(format!("Basic {}", STANDARD.encode(login))))
}
