//! The images that an operator chooses for an export.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use oci::{Digest, Reference, Repository, Tag};
use policy::image::{ImagePattern, ImageSelector, NamedImage, SelectorError};

use crate::target::Target;

/// A choice of images.
#[derive(Clone, Debug)]
pub struct Selector(Option<ImageSelector>);

/// A selector among certain registries.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    All,
    /// One image of the registry of this name.
    Image(String, Repository, Reference),
    /// All that match.
    Pattern(ImagePattern),
}

impl Selector {
    /// Every image of every registry.
    pub fn all() -> Self {
        Self(None)
    }

    /// The choice among these registries.
    ///
    /// # Errors
    /// A line for the operator: none of them has the name.
    pub(crate) fn among(&self, targets: &[Arc<Target>]) -> Result<Choice, String> {
        let find = |name: &str| targets.iter().find(|target| target.has_name(name));
        match &self.0 {
            None => Ok(Choice::All),
            Some(ImageSelector::One(image)) => {
                let located = image.locate(find, |target| target.is_docker_hub());
                let (target, repository) = located.map_err(|error| error.to_string())?;
                Ok(Choice::Image(target.name.clone(), repository, image.reference()))
            }
            Some(ImageSelector::Pattern(pattern)) => {
                let name_of = |name: &str| find(name).map(|target| target.name.as_str());
                let unknown = |name: String| format!("the configuration has no registry {name:?}");
                pattern.clone().resolved(name_of).map(Choice::Pattern).map_err(unknown)
            }
        }
    }
}

impl Choice {
    /// The tags of an image that are chosen; `None`: the image is not.
    pub(crate) fn tags_of(
        &self,
        target: &Target,
        repository: &Repository,
        digest: &Digest,
        tags: &[Tag],
    ) -> Option<Vec<Tag>> {
        match self {
            Self::All => Some(tags.to_vec()),
            Self::Image(registry, chosen, _) if *registry != target.name || chosen != repository => None,
            Self::Image(_, _, Reference::Digest(wanted)) => (wanted == digest).then(|| tags.to_vec()),
            Self::Image(_, _, Reference::Tag(tag)) => tags.contains(tag).then(|| vec![tag.clone()]),
            Self::Pattern(pattern) => {
                let registry = target.name.as_str();
                let image = NamedImage { registry, repository: repository.as_str(), digest };
                let is_it = |tag: &&Tag| pattern.names(image, [tag.as_str()]);
                let named: Vec<_> = tags.iter().filter(is_it).cloned().collect();
                let is_chosen = !named.is_empty() || pattern.names(image, []);
                is_chosen.then_some(named)
            }
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        text.parse().map(Some).map(Self)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("--all"),
            Some(selector) => selector.fmt(f),
        }
    }
}
