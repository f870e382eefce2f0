//! The storage directory of the `distribution` registry.
//!
//! ```text
//! repositories/<name>/_manifests/revisions/<algorithm>/<hex>/link   the digest of a manifest
//! repositories/<name>/_manifests/tags/<tag>/current/link            the digest that the tag names
//! blobs/<algorithm>/<2 hex>/<hex>/data                              content
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use oci::{Algorithm, Digest, MANIFEST_BYTES_MAX, Manifest, Repository};

use crate::confined::{Confined, NAME_COUNT_MAX, read_all};
use crate::listing::{Found, Listing, Refusal, Refusals};

/// The longest path that may be a repository's name, in bytes.
const PATH_BYTES_MAX: usize = 255;

/// The longest `link` file, in bytes; a SHA-512 digest takes 135.
const LINK_BYTES_MAX: usize = 256;

/// All repositories, in the order of their names.
pub(super) fn repositories(root: &Confined) -> io::Result<(Vec<Option<Repository>>, Refusals)> {
    let (mut found, mut refusals) = (Vec::new(), Refusals::default());
    let (mut pending, mut name_count) = (vec![String::new()], 0);
    while let Some(path) = pending.pop() {
        let parts: Vec<_> =
            ["repositories"].into_iter().chain(path.split('/').filter(|it| !it.is_empty())).collect();
        let names = match root.directory(&parts).and_then(|it| it.map_or(Ok(Vec::new()), |it| it.names())) {
            Ok(names) => names,
            Err(error) => {
                refusals.push(Refusal::new(parts.join("/"), error));
                continue;
            }
        };
        name_count += names.len();
        if name_count > NAME_COUNT_MAX {
            return Err(io::Error::other(format!("its repositories have more than {NAME_COUNT_MAX} names")));
        }
        for name in names {
            if name == "_manifests" {
                match path.parse::<Repository>() {
                    Ok(repository) => found.push(Some(repository)),
                    Err(error) => refusals.push(Refusal::new(&path, error)),
                }
            } else if !name.starts_with('_') {
                let beneath = if path.is_empty() { name } else { format!("{path}/{name}") };
                match beneath.len() {
                    0..=PATH_BYTES_MAX => pending.push(beneath),
                    _ => refusals.push(Refusal::new(beneath, "no repository has so long a name")),
                }
            }
        }
    }
    found.sort_unstable();
    Ok((found, refusals))
}

/// The top-level images of one repository: those manifests that no index of it names, with their tags.
pub(super) fn images(root: &Confined, repository: &Repository) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut path = vec!["repositories"];
    path.extend(repository.as_str().split('/'));
    path.push("_manifests");
    let Some(manifests) = root.directory(&path)? else { return Ok(listing) };
    let mut images: BTreeMap<Digest, Found> = BTreeMap::new();
    for digest in revisions(&manifests)? {
        images.insert(
            digest.clone(),
            Found { host: None, repository: repository.clone(), digest, tags: Vec::new() },
        );
    }
    if let Some(tags) = manifests.directory(&["tags"])? {
        for name in tags.names()? {
            let refused = |reason: String| Refusal::new(format!("{repository}:{name}"), reason);
            let tag = match name.parse() {
                Ok(tag) => tag,
                Err(error) => {
                    listing.refusals.push(refused(format!("{error}")));
                    continue;
                }
            };
            match tags.read(&[&name, "current", "link"], LINK_BYTES_MAX) {
                Ok(Some((bytes, modified_at))) => match digest_in(&bytes) {
                    Some(digest) => {
                        let new = || Found {
                            host: None,
                            repository: repository.clone(),
                            digest: digest.clone(),
                            tags: Vec::new(),
                        };
                        images.entry(digest.clone()).or_insert_with(new).tags.push((tag, modified_at));
                    }
                    None => listing.refusals.push(refused("its link file holds no digest".to_owned())),
                },
                Ok(None) => listing.refusals.push(refused("it has no current/link file".to_owned())),
                Err(error) => listing.refusals.push(refused(error.to_string())),
            }
        }
    }
    let children = children(root, images.keys());
    listing.images = images
        .into_values()
        .filter(|image| !image.tags.is_empty() || !children.contains(&image.digest))
        .collect();
    Ok(listing)
}

fn revisions(manifests: &Confined) -> io::Result<Vec<Digest>> {
    let mut found = Vec::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let Some(directory) = manifests.directory(&["revisions", algorithm.as_str()])? else { continue };
        for hex in directory.names()? {
            // A deleted manifest keeps its directory and loses its link.
            if let Ok(digest) = format!("{}:{hex}", algorithm.as_str()).parse()
                && directory.file(&[&hex, "link"])?.is_some()
            {
                found.push(digest);
            }
        }
    }
    Ok(found)
}

/// The manifests that these manifests name. An unreadable one names none; the import reports it.
fn children<'a>(root: &Confined, digests: impl Iterator<Item = &'a Digest>) -> BTreeSet<Digest> {
    let mut children = BTreeSet::new();
    for digest in digests {
        let hex = digest.hex();
        let path = ["blobs", digest.algorithm().as_str(), &hex[..2], hex, "data"];
        if let Ok(Some((file, _))) = root.file(&path)
            && let Ok(bytes) = read_all(file, MANIFEST_BYTES_MAX)
            && let Ok(manifest) = Manifest::parse(&bytes, None)
        {
            children.extend(manifest.manifests.into_iter().map(|child| child.digest));
        }
    }
    children
}

fn digest_in(bytes: &[u8]) -> Option<Digest> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}
