//! The shared credentials file of Amazon's tools: sections of `name = value`.

use secret::Secret;

use super::access_keys::AccessKeys;
use crate::failure::Failure;

/// The keys of a profile.
///
/// # Errors
/// A [`Failure`] if the file has no such profile, or the profile has no keys of its own.
pub(super) fn read(text: &str, profile: &str) -> Result<AccessKeys, Failure> {
    let (mut is_found, mut is_in) = (false, false);
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let name = name.trim();
            is_in = name == profile || name.strip_prefix("profile ").map(str::trim) == Some(profile);
            is_found |= is_in;
            continue;
        }
        if !is_in || line.starts_with(['#', ';']) {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let slot = match key.trim() {
            "aws_access_key_id" => &mut id,
            "aws_secret_access_key" => &mut secret,
            "aws_session_token" => &mut token,
            _ => continue,
        };
        *slot = Some(value.trim().to_owned());
    }
    if !is_found {
        return Err(Failure::new(format!("finds no profile {profile:?} in the shared credentials file")));
    }
    match (id, secret) {
        (Some(access_key_id), Some(secret)) => Ok(AccessKeys {
            access_key_id,
            secret_access_key: Secret::new(secret),
            session_token: token.map(Secret::new),
            expires_at: None,
        }),
        _ => Err(Failure::new(format!(
            "finds no access key in the profile {profile:?}; profiles that take a role or start a program are \
             not read: use a web identity, or the source command"
        ))),
    }
}
