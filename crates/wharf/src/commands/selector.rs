//! The images that an argument names: one, or all that match a pattern.

use std::fmt;
use std::str::FromStr;

use policy::eviction::ImagePattern;

use super::image_name::ImageName;
use super::unknown::unknown_registry;
use crate::config::Registry;

/// An argument that names images.
#[derive(Clone, Debug)]
pub(crate) enum Selector {
    /// `alpine`, which is `alpine:latest`; `ghcr.io/org/app@sha256:...`.
    One(ImageName),
    /// With `*` or `?`, or a digest alone.
    Pattern(ImagePattern),
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(['*', '?']) || text.starts_with('@') {
            return text
                .parse()
                .map(Self::Pattern)
                .map_err(|error: policy::eviction::PatternError| error.to_string());
        }
        text.parse().map(Self::One)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(image) => image.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

impl Selector {
    /// The pattern that names the same images.
    ///
    /// # Errors
    /// The configuration has no such registry.
    pub(crate) fn pattern(&self, registries: &[Registry]) -> Result<ImagePattern, String> {
        match self {
            Self::Pattern(pattern) => resolve(pattern, registries),
            Self::One(image) => {
                let located = image.locate(registries)?;
                let (kind, value) = located.object;
                let sign = if kind == "tag" { ':' } else { '@' };
                let text = format!("{}/{}{sign}{value}", located.registry, located.repository);
                text.parse().map_err(|error| format!("{image}: {error}"))
            }
        }
    }
}

impl Selector {
    /// The pattern that names all images of the same repositories: `alpine` is not only `alpine:latest`.
    ///
    /// # Errors
    /// A tag is written, or the configuration has no such registry.
    pub(crate) fn repository_pattern(&self, registries: &[Registry]) -> Result<ImagePattern, String> {
        let text = self.to_string();
        let pattern = text.parse().map_err(|error| format!("{text}: {error}"))?;
        let pattern: ImagePattern = resolve(&pattern, registries)?;
        match pattern.has_tag() {
            true => Err(format!("{text}: --untagged is for images without a tag; name a repository")),
            false => Ok(pattern),
        }
    }
}

/// The pattern with the name of its registry in place of an alias.
///
/// # Errors
/// The configuration has no such registry.
pub(crate) fn resolve(pattern: &ImagePattern, registries: &[Registry]) -> Result<ImagePattern, String> {
    let name_of = |name: &str| {
        let is_it = |it: &String| it.eq_ignore_ascii_case(name);
        let found = registries.iter().map(|registry| &registry.names);
        let mut found = found.filter(|names| is_it(&names.name) || names.aliases.iter().any(is_it));
        found.next().map(|names| names.name.as_str())
    };
    pattern.clone().resolved(name_of).map_err(|unknown| unknown_registry(&unknown, registries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_with_a_wildcard_is_a_pattern() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for text in ["library/*", "alpine:3.?", "ghcr.io/*", &format!("@{digest}")] {
            assert!(matches!(text.parse(), Ok(Selector::Pattern(_))), "{text}");
        }
        for text in ["alpine", "ghcr.io/org/app:1", &format!("alpine@{digest}")] {
            assert!(matches!(text.parse(), Ok(Selector::One(_))), "{text}");
        }
        for text in ["a b", "a*:", "@sha256:1", "UPPER/*"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
