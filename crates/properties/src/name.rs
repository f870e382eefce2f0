//! Repositories, tags, digests, references and media types.

use std::path::{Component, Path};
use std::str::FromStr;

use oci::{Algorithm, Digest, MediaType, Reference, Repository, Tag};

/// Checks that a valid name prints as it was written, and that no path made of it leaves the store.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let repository = parse::<Repository>(text);
    let tag = parse::<Tag>(text);
    let digest = parse::<Digest>(text);
    if let Some(reference) = parse::<Reference>(text) {
        let (is_tag, is_digest) = (tag.is_some(), digest.is_some());
        assert!(if matches!(reference, Reference::Tag(_)) { is_tag } else { is_digest });
    }
    if let Some(media_type) = parse::<MediaType>(text) {
        assert!(text.starts_with(media_type.essence()) && media_type.essence().contains('/'));
    }
    if let Some(partial) = storage::fs::fuzzing::parse_partial(text) {
        let name = format!("{}-{}", partial.algorithm().as_str(), partial.hex());
        assert!(text == name || text == format!("{name}.json"), "{text} stands for {partial}");
    }
    if let Some(repository) = &repository {
        let library = repository.is_single_component();
        assert_eq!(library, !text.contains('/'));
    }
    check_paths(
        &repository.unwrap_or_else(|| "library/alpine".parse().expect("a name")),
        tag.as_ref(),
        &digest.unwrap_or_else(|| Digest::of(Algorithm::Sha256, b"")),
    );
}

fn parse<T: FromStr + ToString>(text: &str) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    assert_eq!(value.to_string(), text);
    Some(value)
}

/// Checks that every path is below the root, with plain names that every file system accepts.
pub(crate) fn check_paths(repository: &Repository, tag: Option<&Tag>, digest: &Digest) {
    let root = Path::new("/root");
    for path in storage::fs::fuzzing::paths(root, repository, tag, digest) {
        let beneath = path.strip_prefix(root).expect("beneath the root");
        assert!(beneath.components().count() >= 2);
        for component in beneath.components() {
            assert!(matches!(component, Component::Normal(name) if name.len() <= 255), "{path:?}");
        }
        assert_eq!(beneath.components().collect::<std::path::PathBuf>(), beneath);
    }
}
