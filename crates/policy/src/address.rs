//! Which network addresses an upstream may be reached at.
