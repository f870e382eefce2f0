//! When an upstream that keeps failing is left alone.
