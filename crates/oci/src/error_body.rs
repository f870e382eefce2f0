//! Error bodies (distribution-spec, "Error Codes"): they distinguish a registry from a router or a portal.

use serde::Deserialize;

use crate::lenient::LenientValue;

/// The most errors of one body that are read.
const ERROR_COUNT_MAX: usize = 16;

/// What a registry's error body is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorBody {
    /// The requested resource.
    AboutResource,
    /// The registry's present state: too many requests, or no answer for now.
    Temporary,
}

#[derive(Deserialize)]
struct Document {
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: LenientValue,
}

/// Codes that say nothing about the requested resource: the registry cannot tell now, or does not know why.
const TEMPORARY_CODES: [&str; 5] =
    ["INTERNAL_ERROR", "INTERNAL_SERVER_ERROR", "TOOMANYREQUESTS", "UNAVAILABLE", "UNKNOWN"];

impl ErrorBody {
    /// Reads `{"errors":[{"code":"MANIFEST_UNKNOWN", ...}]}`. Returns `None` for anything else: other
    /// services write JSON too, but no codes "containing only uppercase alphabetic characters and
    /// underscores".
    pub fn read(bytes: &[u8]) -> Option<Self> {
        // serde would accept a JSON array as the fields in their order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        let Document { errors } = serde_json::from_slice(bytes).ok()?;
        let codes = errors.into_iter().take(ERROR_COUNT_MAX).map(|entry| entry.code.text());
        let codes: Vec<String> = codes.collect::<Option<_>>()?;
        let is_code = |code: &String| {
            !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        };
        if codes.is_empty() || !codes.iter().all(is_code) {
            return None;
        }
        let is_temporary = |code: &String| TEMPORARY_CODES.contains(&code.as_str());
        let about = if codes.iter().any(is_temporary) { Self::Temporary } else { Self::AboutResource };
        Some(about)
    }
}

#[cfg(test)]
mod tests;
