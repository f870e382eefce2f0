//! Room in a store for what is imported, by the rule of a pull.

use std::fmt;

use inventory::{Announced, NoRoom};

use super::failure::ImportError;
use super::tree::Tree;
use crate::listing::Found;
use crate::target::Target;

/// Takes room for a content that is about to be stored.
///
/// # Errors
/// [`ImportError::NoRoom`], with the limit.
pub(crate) async fn take_room(
    target: &Target,
    what: &(dyn fmt::Display + Sync),
    size: u64,
) -> Result<Announced, ImportError> {
    let taken = target.inventory.take_room(size, false).await;
    taken.map_err(|limit| no_room(target, what, size, limit))
}

/// Takes room for the manifests of an image that its repository lacks, for all of them or for none.
///
/// # Errors
/// As [`take_room`].
pub(super) async fn take_room_for_manifests(
    target: &Target,
    image: &Found,
    tree: &Tree,
) -> Result<Option<Announced>, ImportError> {
    let manifests = tree.manifests.iter().map(|member| &member.manifest);
    let is_lacking = |digest| !target.inventory.has_manifest(&image.repository, digest);
    let lacking = manifests.filter(|manifest| is_lacking(manifest.digest()));
    let size = lacking.map(|manifest| manifest.bytes().len() as u64).sum();
    if size == 0 {
        return Ok(None);
    }
    let taken = target.inventory.take_room(size, true).await;
    taken.map(Some).map_err(|limit| no_room(target, &format!("the manifests of {image}"), size, limit))
}

fn no_room(target: &Target, what: &dyn fmt::Display, size: u64, limit: NoRoom) -> ImportError {
    let reason = format!("no room in the store of {} for {what} ({size} bytes): {limit}", target.name);
    ImportError::NoRoom(reason)
}
