//! Whether and when a failed upstream request is tried again.
