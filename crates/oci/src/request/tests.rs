use proptest::prelude::*;

use super::{PAGE_COUNT_MAX, Page, Request, RequestError};
use crate::digest::{Algorithm, Digest, DigestError};
use crate::query::QueryError;
use crate::reference::{Reference, ReferenceError};
use crate::repository::RepositoryError;

// What is accepted and what is refused stands in `tests/data`.

#[test]
fn the_error_says_what_is_wrong() {
    for (path, query, wanted) in [
        ("/v2/A/tags/list", "", RequestError::NameInvalid(RepositoryError::UpperCase)),
        ("/v2/a/manifests/-", "", RequestError::TagInvalid(ReferenceError::Tag)),
        ("/v2/a/manifests/sha256:0", "", RequestError::DigestInvalid(DigestError::Hex)),
        ("/v2/a/blobs/latest", "", RequestError::DigestInvalid(DigestError::Form)),
        ("/v2/a/tags/list", "n=x", RequestError::QueryInvalid(QueryError::Number("n"))),
        ("/v2/a/tags/list", "last=%", RequestError::QueryInvalid(QueryError::Encoding("last"))),
        ("/v2/a/tags/list", "last=%20", RequestError::QueryInvalid(QueryError::Value("last"))),
    ] {
        assert_eq!(Request::parse(path, Some(query)), Err(wanted), "{path}?{query}");
    }
}

#[test]
fn a_message_never_repeats_what_was_sent() {
    for target in
        ["/v2/<script>/tags/list", "/v2/a/manifests/<script>", "/v2/a/blobs/<script>:", "/v2/<script>"]
    {
        let error = Request::parse(target, None).unwrap_err();
        assert!(!error.to_string().contains("script"), "{error}");
    }
}

fn a_name() -> impl Strategy<Value = String> {
    let component = "manifests|blobs|tags|list|referrers|v2|[a-z0-9]{1,5}([._-][a-z0-9]{1,3})?";
    proptest::collection::vec(component, 1..5).prop_map(|components| components.join("/"))
}

proptest! {
    #[test]
    fn whatever_the_name_each_endpoint_is_told_apart(
        name in a_name(),
        tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,10}",
        n in any::<u32>(),
        is_escaped in any::<bool>(),
    ) {
        let repository: crate::Repository = name.parse().unwrap();
        let digest = Digest::of(Algorithm::Sha256, tag.as_bytes());
        let written = digest.to_string().replace(':', if is_escaped { "%3A" } else { ":" });
        let page = Page { n: Some(n.min(PAGE_COUNT_MAX)), last: Some(tag.clone()), cursor: None };
        let query = format!("n={n}&last={tag}");
        for (path, wanted) in [
            (
                format!("/v2/{name}/manifests/{tag}"),
                Request::Manifest {
                    repository: repository.clone(),
                    reference: Reference::Tag(tag.parse().unwrap()),
                },
            ),
            (
                format!("/v2/{name}/manifests/{written}"),
                Request::Manifest {
                    repository: repository.clone(),
                    reference: Reference::Digest(digest.clone()),
                },
            ),
            (
                format!("/v2/{name}/blobs/{written}"),
                Request::Blob { repository: repository.clone(), digest: digest.clone() },
            ),
            (
                format!("/v2/{name}/tags/list"),
                Request::Tags { repository: repository.clone(), page: page.clone() },
            ),
            (
                format!("/v2/{name}/referrers/{written}"),
                Request::Referrers { repository: repository.clone(), digest, artifact_type: None, page },
            ),
        ] {
            prop_assert_eq!(Request::parse(&path, Some(&query)), Ok(wanted));
        }
    }

    #[test]
    fn no_path_that_leads_astray_is_read(
        name in a_name(),
        place in any::<proptest::sample::Index>(),
        evil in "%2[eEfF]|%00|\\\\|/\\.\\./|//|/\\./|\0|\n| |%25|é",
    ) {
        let mut path = format!("{name}/manifests/latest");
        path.insert_str(place.index(path.len() + 1), &evil);
        path.insert_str(0, "/v2/");
        prop_assert!(Request::parse(&path, None).is_err());
    }

    #[test]
    fn no_text_makes_it_panic(path in "/v2/.{0,60}|.{0,20}", query in proptest::option::of(".{0,40}")) {
        let _ = Request::parse(&path, query.as_deref());
    }
}

#[test]
fn a_cursor_of_the_upstreams_own_comes_back_as_it_was() {
    let asked = Request::parse("/v2/a/tags/list", Some("n=5&next_page=gAAAA%3D%3D")).expect("a request");
    let Request::Tags { page, .. } = asked else { panic!("{asked:?}") };
    assert_eq!((page.n, page.cursor), (Some(5), Some(("next_page", "gAAAA==".to_owned()))));
    let refused = Request::parse("/v2/a/tags/list", Some("next_page=%0a"));
    assert_eq!(refused, Err(RequestError::QueryInvalid(QueryError::Value("next_page"))));
}
