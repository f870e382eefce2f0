//! The images that an operator chooses for an export.

use std::fmt;
use std::str::FromStr;

use oci::{Digest, Repository, Tag};
use policy::eviction::{ImagePattern, NamedImage, PatternError};

use crate::name::ImageName;
use crate::target::Target;

/// A choice of images.
#[derive(Clone, Debug)]
pub struct Selector {
    text: String,
    chosen: Chosen,
}

#[derive(Clone, Debug)]
enum Chosen {
    All,
    /// One image.
    Image(ImageName, Option<Digest>),
    /// All that match, of one registry or of all.
    Pattern(ImagePattern),
}

/// The reasons why a text chooses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// No name of an image.
    #[error("write an image as alpine, ghcr.io/org/app:v1 or ghcr.io/org/app@sha256:...")]
    Name,
    /// No pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl Selector {
    /// Every image of every registry.
    pub fn all() -> Self {
        Self { text: "--all".to_owned(), chosen: Chosen::All }
    }

    /// The tags of an image that are chosen; `None`: the image is not.
    pub(crate) fn tags_of(
        &self,
        target: &Target,
        repository: &Repository,
        digest: &Digest,
        tags: &[Tag],
    ) -> Option<Vec<Tag>> {
        match &self.chosen {
            Chosen::All => Some(tags.to_vec()),
            Chosen::Image(name, _) if !target.has_name(&name.host) || name.repository != *repository => None,
            Chosen::Image(_, Some(wanted)) => (wanted == digest).then(|| tags.to_vec()),
            Chosen::Image(name, None) => {
                let is_it = |tag: &&Tag| tag.as_str() == name.tag.as_ref().map_or("latest", Tag::as_str);
                tags.iter().find(is_it).map(|tag| vec![tag.clone()])
            }
            Chosen::Pattern(pattern) => {
                let registry = target.name.as_str();
                let name_of = |name: &str| target.has_name(name).then_some(registry);
                // The pattern may be for another registry.
                let pattern = pattern.clone().resolved(name_of).ok()?;
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
        let chosen = if text.contains(['*', '?']) {
            Chosen::Pattern(text.parse()?)
        } else {
            let digest = text.split_once('@').map(|(_, digest)| digest.parse());
            let digest = digest.transpose().map_err(|_| SelectorError::Name)?;
            Chosen::Image(ImageName::parse(text).ok_or(SelectorError::Name)?, digest)
        };
        Ok(Self { text: text.to_owned(), chosen })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
