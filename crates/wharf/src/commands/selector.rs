//! Arguments that name images, as patterns with the names of configured registries.

use policy::image::{ImagePattern, ImageSelector};

use super::located::{Located, name_behind};
use super::unknown::unknown_registry;
use crate::config::Registry;

/// The pattern that names the same images.
///
/// # Errors
/// The configuration has no such registry.
pub(crate) fn pattern_of(selector: &ImageSelector, registries: &[Registry]) -> Result<ImagePattern, String> {
    match selector {
        ImageSelector::Pattern(pattern) => resolve(pattern, registries),
        ImageSelector::One(image) => {
            let Located { registry, repository, reference } = Located::find(image, registries)?;
            let sign = match reference {
                oci::Reference::Tag(_) => ':',
                oci::Reference::Digest(_) => '@',
            };
            let text = format!("{registry}/{repository}{sign}{reference}");
            text.parse().map_err(|error| format!("{image}: {error}"))
        }
    }
}

/// The pattern that names all images of the same repositories: `alpine` is not only `alpine:latest`.
///
/// # Errors
/// A tag is written, or the configuration has no such registry.
pub(crate) fn repository_pattern_of(
    selector: &ImageSelector,
    registries: &[Registry],
) -> Result<ImagePattern, String> {
    let text = selector.to_string();
    let pattern = text.parse().map_err(|error| format!("{text}: {error}"))?;
    let pattern: ImagePattern = resolve(&pattern, registries)?;
    match pattern.has_tag() {
        true => Err(format!("{text}: --untagged is for images without a tag; name a repository")),
        false => Ok(pattern),
    }
}

/// The pattern with the name of its registry in place of an alias.
///
/// # Errors
/// The configuration has no such registry.
pub(crate) fn resolve(pattern: &ImagePattern, registries: &[Registry]) -> Result<ImagePattern, String> {
    let name_of = |name: &str| name_behind(name, registries);
    pattern.clone().resolved(name_of).map_err(|unknown| unknown_registry(&unknown, registries))
}
