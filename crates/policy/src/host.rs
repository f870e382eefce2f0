//! Which registry a request is meant for.
