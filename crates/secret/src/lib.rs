//! Values that cannot be printed by accident, and URLs that print without their secrets.
//!
//! Neither type can be serialised, and both show `***` in every message, log line and panic.

mod url;
mod value;

pub use crate::url::RedactedUrl;
pub use crate::value::Secret;
