//! The whole process before a fake registry.
