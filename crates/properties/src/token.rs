//! The response of a token service.

use std::time::Duration;

use serde_json::Value;

/// Checks that a token is sent as it was received, in one field, marked as a secret, and for a sensible time.
pub fn check(input: &[u8]) {
    let Some((header, lifetime)) = upstream::fuzzing::parse_token(input) else { return };
    assert!(header.is_sensitive());
    assert!(lifetime > Duration::ZERO && lifetime <= Duration::from_secs(3600), "{lifetime:?}");
    let sent = header.as_bytes().strip_prefix(b"Bearer ").expect("a bearer token");
    assert!(!sent.is_empty() && !sent.contains(&b'\r') && !sent.contains(&b'\n'));
    // Skipped parts may be less strict than this reader.
    let Ok(answer) = serde_json::from_slice::<Value>(input) else { return };
    let given = ["token", "access_token"].map(|name| answer[name].as_str().map(str::as_bytes));
    assert!(given.contains(&Some(sent)), "the token that is sent is not the one that came");
}
