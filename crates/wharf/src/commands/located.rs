//! Finds the registry of an image by its name or an alias.

use std::sync::Arc;

use cache::Backend;
use oci::{Reference, Repository};
use policy::docker_hub;
use policy::image::{ImageName, LocateError};

use super::unknown::unknown_registry;
use crate::config::Registry;

/// An image in a configured registry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located<'a> {
    pub(crate) registry: &'a str,
    pub(crate) repository: Repository,
    pub(crate) reference: Reference,
}

impl<'a> Located<'a> {
    /// The image in the registry that the name's host is the name or an alias of.
    ///
    /// # Errors
    /// A line for the operator: no configured registry has the name.
    pub(crate) fn find(image: &ImageName, registries: &'a [Registry]) -> Result<Self, String> {
        let find = |name: &str| name_behind(name, registries);
        let (registry, repository) =
            image.locate(find, |name| *name == docker_hub::NAME).map_err(|error| match error {
                LocateError::Unknown(name) => unknown_registry(&name, registries),
                error @ LocateError::Repository(_) => error.to_string(),
            })?;
        Ok(Self { registry, repository, reference: image.reference() })
    }

    /// The parameters of a request to the admin listener.
    pub(crate) fn parameters(&self) -> [(&'static str, String); 3] {
        let kind = match self.reference {
            Reference::Tag(_) => "tag",
            Reference::Digest(_) => "digest",
        };
        [
            ("registry", self.registry.to_owned()),
            ("repository", self.repository.to_string()),
            (kind, self.reference.to_string()),
        ]
    }
}

/// The name of the registry that has this name or alias.
pub(super) fn name_behind<'a>(name: &str, registries: &'a [Registry]) -> Option<&'a str> {
    let is_it = |it: &String| it.eq_ignore_ascii_case(name);
    let mut found = registries.iter().map(|registry| &registry.names);
    found.find(|names| is_it(&names.name) || names.aliases.iter().any(is_it)).map(|names| names.name.as_str())
}

/// The image in a running server: the backend that `find` returns for the host, the repository and the
/// reference.
///
/// # Errors
/// A line for the operator: no configured registry has the name.
pub(crate) fn serve_from(
    image: &ImageName,
    find: impl Fn(&str) -> Option<Arc<Backend>>,
) -> Result<(Arc<Backend>, Repository, Reference), String> {
    let located = image.locate(find, |backend| backend.hub_names());
    let (backend, repository) = located.map_err(|error| error.to_string())?;
    Ok((backend, repository, image.reference()))
}
