//! The images of an export.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use inventory::{Hold, ImageCursor};
use oci::{Digest, Repository, Tag};

use super::failure::ExportError;
use crate::listing::{Refusal, Refusals};
use crate::selector::{Choice, Selector};
use crate::target::Target;

/// Manifests that one look at a store's images takes.
const PAGE_COUNT: usize = 1024;

/// A chosen image.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) target: Arc<Target>,
    pub(super) repository: Repository,
    pub(super) digest: Digest,
    /// Its tags that were chosen.
    pub(super) tags: Vec<Tag>,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.target.name, self.repository)?;
        match self.tags.first() {
            Some(tag) => write!(f, ":{tag}"),
            None => write!(f, "@{}", self.digest),
        }
    }
}

type Choices = (Vec<Chosen>, Vec<Hold>, Refusals);

/// The chosen images by their names, holds that keep them in their stores, and the selectors that chose none.
///
/// # Errors
/// [`ExportError::NotReady`].
pub(super) fn choose(targets: &[Arc<Target>], selectors: &[Selector]) -> Result<Choices, ExportError> {
    let (mut chosen, mut holds) = (BTreeMap::new(), Vec::new());
    let (mut choices, mut refusals) = (Vec::new(), Refusals::default());
    for selector in selectors {
        match selector.among(targets) {
            Ok(choice) => choices.push((selector, choice, false)),
            Err(reason) => refusals.push(Refusal::new(selector, reason)),
        }
    }
    for target in targets {
        if !target.inventory.is_complete() {
            return Err(ExportError::NotReady(target.name.clone()));
        }
        let mut of_target = Vec::new();
        let mut from = Some(ImageCursor::default());
        while let Some(at) = from {
            let page = target.inventory.images(at, PAGE_COUNT);
            from = page.next;
            for mut entry in page.images {
                entry.tags.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
                let mut tags: Option<Vec<Tag>> = None;
                for (_, choice, is_met) in &mut choices {
                    let named = choice.tags_of(target, &entry.repository, &entry.digest, &entry.tags);
                    *is_met |= named.is_some();
                    if let Some(named) = named {
                        let tags = tags.get_or_insert_default();
                        let new: Vec<_> = named.into_iter().filter(|tag| !tags.contains(tag)).collect();
                        tags.extend(new);
                    }
                }
                let Some(tags) = tags else { continue };
                of_target.push((entry.repository.clone(), entry.digest.clone()));
                let image = Chosen {
                    target: Arc::clone(target),
                    repository: entry.repository,
                    digest: entry.digest,
                    tags,
                };
                chosen.insert((image.to_string(), image.digest.to_string()), image);
            }
        }
        holds.push(target.inventory.hold(of_target));
    }
    let unmet = choices.iter().filter(|(_, _, is_met)| !is_met);
    unmet.for_each(|(selector, choice, _)| {
        let reason = match choice {
            Choice::All => "no store holds an image",
            _ => "no store holds an image of that name",
        };
        refusals.push(Refusal::new(selector, reason));
    });
    Ok((chosen.into_values().collect(), holds, refusals))
}
