//! Values that must not be printed by accident, and URLs that print without what they carry in secret.
//!
//! Neither type can be serialised, and both show `***` in every message, log line and panic.

mod url;
mod value;

pub use crate::url::RedactedUrl;
pub use crate::value::Secret;
