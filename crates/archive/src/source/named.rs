//! Images by their full names, as a program lists them.

use std::collections::BTreeMap;
use std::io;
use std::time::SystemTime;

use oci::{Digest, Repository, Tag};
use policy::image::ImageName;

use crate::listing::{Found, Listing, Refusal};

/// The longest list, in bytes.
pub(super) const LIST_BYTES_MAX: usize = 32 << 20;

/// An image under a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    /// The digest of its manifest or index.
    pub(super) digest: Digest,
    /// When the name began to mean it.
    pub(super) at: SystemTime,
}

/// Reads a list with a name and a digest on each line, such as the output of `ctr images list`: the first
/// word is the name, and the digest is the first of the others that is one.
///
/// # Errors
/// The line that is not readable.
pub(super) fn read_list(bytes: &[u8], at: SystemTime) -> io::Result<Vec<Named>> {
    let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
    let mut images = Vec::new();
    for line in text.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        let Some(name) = words.next().filter(|name| *name != "REF" && !name.starts_with('#')) else {
            continue;
        };
        let digest = words.find_map(|word| word.parse().ok());
        let wrong = || io::Error::other(format!("{line:?}: write a name and a digest on each line"));
        images.push(Named { name: name.to_owned(), digest: digest.ok_or_else(wrong)?, at });
    }
    Ok(images)
}

/// The images under these names. A name without a registry means Docker Hub, as for Docker. If a name is
/// there several times, as in several namespaces, its newest image has the tag.
pub(super) fn listing(named: Vec<Named>) -> Listing {
    let mut listing = Listing::default();
    let mut images: BTreeMap<(String, Repository, Digest), Found> = BTreeMap::new();
    let mut newest: BTreeMap<(String, Repository, Tag), (SystemTime, Digest)> = BTreeMap::new();
    for Named { name, digest, at } in named {
        // Kubernetes keeps each image under the digest of its configuration, too.
        if name.parse::<Digest>().is_ok() {
            continue;
        }
        let parsed: Option<ImageName> = name.parse().ok();
        let Some((parsed, (host, repository))) =
            parsed.and_then(|parsed| parsed.as_docker_reads_it().ok().map(|read| (parsed, read)))
        else {
            listing.refusals.push(Refusal::new(name, "it is no name of an image"));
            continue;
        };
        // A name with a digest does not tell which image its tag means.
        if let Some(tag) = parsed.tag().filter(|_| parsed.digest().is_none()).cloned() {
            let key = (host.clone(), repository.clone(), tag);
            let known = newest.entry(key).or_insert_with(|| (at, digest.clone()));
            if at > known.0 {
                *known = (at, digest.clone());
            }
        }
        images.entry((host, repository, digest)).or_insert_with_key(|(host, repository, digest)| Found {
            host: Some(host.clone()),
            repository: repository.clone(),
            digest: digest.clone(),
            tags: Vec::new(),
        });
    }
    for ((host, repository, tag), (at, digest)) in newest {
        let image = images.get_mut(&(host, repository, digest)).expect("each tag came with its image");
        image.tags.push((tag, at));
    }
    listing.images = images.into_values().collect();
    listing
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use oci::Algorithm;

    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(Algorithm::Sha256, text.as_bytes())
    }

    fn shown(listing: &Listing) -> Vec<String> {
        listing.images.iter().map(|image| format!("{image} {}", image.tags.len())).collect()
    }

    #[test]
    fn the_output_of_ctr_is_a_list() {
        let (one, other) = (digest("1"), digest("2"));
        let text = format!(
            "REF                            TYPE    DIGEST SIZE PLATFORMS LABELS\n\
             docker.io/library/alpine:3.20  application/vnd.oci.image.index.v1+json {one} 3.5 MiB amd64 -\n\
             \n# a comment\nghcr.io/org/app:v1 {other}\n"
        );
        let named = read_list(text.as_bytes(), UNIX_EPOCH).unwrap();
        assert_eq!(named.iter().map(|it| &it.digest).collect::<Vec<_>>(), [&one, &other]);
        assert_eq!(shown(&listing(named)), ["docker.io/library/alpine:3.20 1", "ghcr.io/org/app:v1 1"]);
        let error = read_list(b"ghcr.io/org/app:v1 sha256:12\n", UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains("org/app:v1"), "{error}");
    }

    #[test]
    fn names_of_nodes_become_images_and_the_newest_one_has_the_tag() {
        let named = |name: &str, text: &str, seconds| Named {
            name: name.to_owned(),
            digest: digest(text),
            at: UNIX_EPOCH + Duration::from_secs(seconds),
        };
        let found = listing(vec![
            named("docker.io/library/alpine:3.20", "old", 5),
            named("docker.io/library/alpine:3.20", "new", 9),
            named(&format!("docker.io/library/alpine@{}", digest("new")), "new", 9),
            named(&digest("config").to_string(), "new", 9),
            named("alpine:3.20", "old", 7),
            named("docker.io/library/alpine:3.20", "oldest", 1),
            named(&format!("quay.io/a/b:v1@{}", digest("b")), "b", 1),
            named("UPPER CASE", "c", 1),
        ]);
        let mut expected = [
            "docker.io/library/alpine:3.20 1".to_owned(),
            format!("docker.io/library/alpine@{} 0", digest("old")),
            format!("docker.io/library/alpine@{} 0", digest("oldest")),
            format!("quay.io/a/b@{} 0", digest("b")),
        ];
        expected.sort_unstable();
        let mut shown = shown(&found);
        shown.sort_unstable();
        assert_eq!(shown, expected);
        let tagged = found.images.iter().find(|image| !image.tags.is_empty()).unwrap();
        assert_eq!((&tagged.digest, tagged.tags[0].1), (&digest("new"), UNIX_EPOCH + Duration::from_secs(9)));
        assert_eq!(found.refusals.count, 1);
    }
}
