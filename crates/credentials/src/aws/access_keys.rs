//! Keys that sign requests to Amazon.

use std::time::SystemTime;

use secret::Secret;

/// Access keys.
#[derive(Clone, Debug)]
pub(super) struct AccessKeys {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Secret<String>,
    pub(super) session_token: Option<Secret<String>>,
    pub(super) expires_at: Option<SystemTime>,
}
