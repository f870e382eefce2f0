//! When a cached tag may be served without asking the upstream.
