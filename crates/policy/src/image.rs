//! Images as people write them: names, patterns for names, and arguments that may be either.
//!
//! All of them are split into parts here, by the rules of Docker. The first part is a registry if it has a
//! dot or a colon, or is `localhost`; upper case makes no difference in it. On Docker Hub, a repository of
//! one part is in `library/`.

mod name;
mod pattern;
mod selector;

pub use name::{ImageName, ImageNameError, LocateError};
pub(crate) use pattern::matches;
pub use pattern::{ImagePattern, NamedImage, PatternError};
pub use selector::{ImageSelector, SelectorError};

use oci::Digest;

use crate::docker_hub;

/// A name or a pattern in its parts, none of which is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts<'t> {
    registry: Option<&'t str>,
    repository: &'t str,
    tag: Option<&'t str>,
    digest: Option<&'t str>,
}

impl<'t> Parts<'t> {
    /// Splits `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`.
    fn of(text: &'t str) -> Self {
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        let (registry, rest) = match named.split_once('/') {
            Some((first, rest)) if is_registry(first) => (Some(first), rest),
            _ => (None, named),
        };
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        Self { registry, repository, tag, digest }
    }
}

/// The digest of a text without a repository, such as people copy it from a list: `sha256:...` or
/// `@sha256:...`.
fn digest_alone(text: &str) -> Option<Digest> {
    text.strip_prefix('@').unwrap_or(text).parse().ok()
}

fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first.eq_ignore_ascii_case("localhost")
}

/// A pattern for repositories as it is meant in a registry, whose name it need not begin with: on Docker Hub,
/// a repository of one part is in `library/`, unless it begins with `*`.
pub(crate) fn repository_within(registry: &str, pattern: &str) -> String {
    let beneath = pattern.strip_prefix(registry).and_then(|rest| rest.strip_prefix('/'));
    let pattern = beneath.unwrap_or(pattern);
    match registry == docker_hub::NAME && docker_hub::is_short_pattern(pattern) {
        true => format!("library/{pattern}"),
        false => pattern.to_owned(),
    }
}

#[cfg(test)]
mod tests;
