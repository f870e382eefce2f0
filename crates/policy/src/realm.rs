//! Which token realms may see an upstream's credentials.
