//! The peculiarities of Docker Hub: it has three names, it is reached at another host than its name, and its
//! official images are in `library/`, which people leave out.

use oci::{Repository, RepositoryError, Request, RequestError};

/// The name that clients write.
pub const NAME: &str = "docker.io";

/// The host of its registry.
pub const REGISTRY_HOST: &str = "registry-1.docker.io";

/// The URL of its registry.
pub const UPSTREAM: &str = "https://registry-1.docker.io";

/// Its other names in clients' configurations.
pub const ALIASES: [&str; 2] = [REGISTRY_HOST, "index.docker.io"];

/// Puts `library/` in front of a repository name with one component.
///
/// # Errors
/// [`RequestError::NameInvalid`] if the name is too long for that.
pub fn in_library(mut request: Request) -> Result<Request, RequestError> {
    let repository = match &mut request {
        Request::Version | Request::Catalog { .. } => return Ok(request),
        Request::Manifest { repository, .. }
        | Request::Blob { repository, .. }
        | Request::Tags { repository, .. }
        | Request::Referrers { repository, .. } => repository,
    };
    if repository.is_single_component() {
        *repository = in_library_if_short(repository).map_err(RequestError::NameInvalid)?;
    }
    Ok(request)
}

/// The repository, with `library/` in front of a name with one component.
///
/// # Errors
/// The name is too long for that.
pub fn in_library_if_short(repository: &Repository) -> Result<Repository, RepositoryError> {
    match repository.is_single_component() {
        true => format!("library/{repository}").parse(),
        false => Ok(repository.clone()),
    }
}

/// Tells whether a pattern for repositories means those in `library/`: it has one part, and does not begin
/// with `*`.
pub fn is_short_pattern(pattern: &str) -> bool {
    !pattern.contains('/') && !pattern.starts_with('*')
}

/// Tells whether Docker Hub has this name, in lower case.
pub fn is_name(name: &str) -> bool {
    name == NAME || ALIASES.contains(&name)
}

#[cfg(test)]
mod tests {
    use oci::Request;

    use super::in_library;

    #[test]
    fn the_library_is_for_names_with_one_component() {
        let check = |path: &str, expected: &str| {
            let asked = Request::parse(path, None).and_then(in_library);
            assert_eq!(asked, Request::parse(expected, None));
        };
        check("/v2/alpine/manifests/1", "/v2/library/alpine/manifests/1");
        check("/v2/alpine/tags/list", "/v2/library/alpine/tags/list");
        check("/v2/org/alpine/manifests/1", "/v2/org/alpine/manifests/1");
        check("/v2/_catalog", "/v2/_catalog");
        check("/v2/", "/v2/");
        let long = format!("/v2/{}/tags/list", "a".repeat(250));
        assert!(Request::parse(&long, None).is_ok_and(|asked| in_library(asked).is_err()));
    }
}
