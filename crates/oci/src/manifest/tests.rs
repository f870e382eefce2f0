use proptest::prelude::*;

use super::{DEPTH_MAX, DESCRIPTOR_COUNT_MAX, MANIFEST_BYTES_MAX, Manifest, ManifestError};
use crate::descriptor::{Descriptor, DescriptorError};
use crate::digest::{Algorithm, Digest, DigestError};
use crate::media_type::MediaType;

const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn digest(seed: u64) -> Digest {
    Digest::of(Algorithm::Sha256, &seed.to_le_bytes())
}

fn descriptor(media_type: &str, seed: u64) -> Descriptor {
    Descriptor { media_type: media_type.parse().unwrap(), digest: digest(seed), size: seed }
}

fn json(media_type: &str, seed: u64) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{seed}}}"#, digest(seed))
}

/// Puts descriptors in the place of `$1`, `$2`, `$3`.
fn fill(template: &str) -> String {
    (1..=3).fold(template.to_owned(), |text, seed| text.replace(&format!("${seed}"), &json(LAYER, seed)))
}

fn parse(text: &str, header: Option<&str>) -> Result<Manifest, ManifestError> {
    let header: Option<MediaType> = header.map(|it| it.parse().unwrap());
    Manifest::parse(text.as_bytes(), header.as_ref())
}

#[test]
fn an_image_names_its_parts() {
    let text = fill(
        r#"{"schemaVersion":2,"mediaType":"IMAGE","config":$1,"layers":[$2,$3],"annotations":{"a":"b"}}"#,
    );
    for kind in [OCI_IMAGE, DOCKER_IMAGE] {
        let wanted = Manifest {
            media_type: Some(kind.parse().unwrap()),
            config: Some(descriptor(LAYER, 1)),
            layers: vec![descriptor(LAYER, 2), descriptor(LAYER, 3)],
            ..Manifest::default()
        };
        let text = text.replace("IMAGE", kind);
        for header in
            [None, Some(kind), Some(&*format!("{kind}; charset=utf-8")), Some(&*kind.to_uppercase())]
        {
            assert_eq!(parse(&text, header), Ok(wanted.clone()), "{header:?}");
        }
    }
}

#[test]
fn an_index_names_its_manifests_and_anything_its_subject() {
    let text = fill(r#"{"schemaVersion":2,"mediaType":"INDEX","manifests":[$1,$2],"subject":$3}"#);
    for kind in [OCI_INDEX, DOCKER_LIST] {
        let wanted = Manifest {
            media_type: Some(kind.parse().unwrap()),
            subject: Some(descriptor(LAYER, 3)),
            manifests: vec![descriptor(LAYER, 1), descriptor(LAYER, 2)],
            ..Manifest::default()
        };
        assert_eq!(parse(&text.replace("INDEX", kind), Some(kind)), Ok(wanted));
    }
}

#[test]
fn documents_of_other_kinds_have_no_references_and_are_no_error() {
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for (text, header) in [
        ("{}", None),
        ("{}", Some(OCI_IMAGE)),
        ("{}", Some(OCI_INDEX)),
        (" \n{\"mediaType\":\"\"} \n", Some("application/json")),
        (r#"{"schemaVersion":1,"name":"a","fsLayers":[{"blobSum":"x"}],"signatures":[{}]}"#, Some(schema_1)),
        (
            r#"{"anything":[{"deep":{"er":[1,2.5,null,true,"\u00e4"]}}]}"#,
            Some("application/vnd.example+json"),
        ),
        (
            r#"{"mediaType":null,"config":null,"layers":null,"manifests":null,"subject":null}"#,
            Some(OCI_INDEX),
        ),
    ] {
        assert_eq!(parse(text, header), Ok(Manifest::default()), "{text}");
    }
}

/// CVE-2021-41190: what one client takes for an index must not be an image to another.
#[test]
fn a_document_that_is_both_index_and_image_is_refused() {
    for (template, headers) in [
        (r#"{"manifests":[$1],"layers":[$2]}"#, &[None, Some(OCI_IMAGE), Some(OCI_INDEX), Some("a/b")][..]),
        (r#"{"manifests":[$1],"config":$2}"#, &[None, Some(OCI_IMAGE), Some(OCI_INDEX), Some("a/b")]),
        (r#"{"manifests":[],"layers":[]}"#, &[None, Some(OCI_IMAGE), Some(OCI_INDEX)]),
        (r#"{"manifests":[$1]}"#, &[Some(OCI_IMAGE), Some(DOCKER_IMAGE)]),
        (r#"{"config":$1}"#, &[Some(OCI_INDEX), Some(DOCKER_LIST)]),
        (r#"{"layers":[$1]}"#, &[Some(OCI_INDEX), Some(DOCKER_LIST)]),
        (
            r#"{"mediaType":"application/vnd.oci.image.index.v1+json","layers":[$1]}"#,
            &[None, Some(OCI_INDEX)],
        ),
        (
            r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[$1]}"#,
            &[None, Some(OCI_IMAGE)],
        ),
    ] {
        for header in headers {
            let shouted = header.map(str::to_uppercase);
            for header in [*header, shouted.as_deref()] {
                assert_eq!(
                    parse(&fill(template), header),
                    Err(ManifestError::Ambiguous),
                    "{template} {header:?}"
                );
            }
        }
    }
}

#[test]
fn the_media_type_inside_must_be_the_one_it_is_served_under() {
    let text = format!(r#"{{"mediaType":"{OCI_IMAGE}"}}"#);
    for header in [DOCKER_IMAGE, OCI_INDEX, "application/json"] {
        let wanted = ManifestError::MediaTypeDiffers {
            served: header.parse().unwrap(),
            inside: OCI_IMAGE.parse().unwrap(),
        };
        assert_eq!(parse(&text, Some(header)), Err(wanted));
    }
}

/// Clients written in Go match names without regard to case, even beyond ASCII, and take the last of two.
#[test]
fn names_that_clients_could_read_differently_are_refused() {
    for template in [
        r#"{"layers":[$1],"layers":[$2]}"#,
        r#"{"layers":[$1],"layers":null}"#,
        r#"{"layers":[$1],"Layers":[$2]}"#,
        r#"{"LAYERS":[$1]}"#,
        r#"{"layerſ":[$1]}"#,
        r#"{"layer\u017f":[$1]}"#,
        r#"{"mediatype":"a/b"}"#,
        r#"{"Config":$1}"#,
        r#"{"manifests":[$1],"Manifests":[$2]}"#,
        r#"{"mediaType":"a/b","mediaType":"c/d"}"#,
    ] {
        let error = parse(&fill(template), None).unwrap_err();
        assert!(
            matches!(&error, ManifestError::Unreadable(why) if why.contains("ambiguous")),
            "{template} {error}"
        );
    }
}

#[test]
fn what_is_no_manifest_is_refused() {
    for text in [
        "",
        " ",
        "null",
        "[]",
        "\"{}\"",
        "1",
        "<html>",
        "{",
        "{}}",
        "{} {}",
        "{}\0",
        "\u{feff}{}",
        r#"{"layers":{}}"#,
        r#"{"layers":[1]}"#,
        r#"{"layers":[null]}"#,
        r#"{"layers":[{"mediaType":"a/b","size":1}]}"#,
        r#"{"config":[]}"#,
        r#"{"config":{"mediaType":"a/b","digest":1,"size":1}}"#,
        r#"{"mediaType":1}"#,
        r#"{"mediaType":"\ud800"}"#,
    ] {
        assert!(matches!(parse(text, None), Err(ManifestError::Unreadable(_))), "{text}");
    }
    assert!(matches!(Manifest::parse(b"{\"mediaType\":\"\xff\"}", None), Err(ManifestError::Unreadable(_))));
    let bad = |error| Err(ManifestError::Descriptor(error));
    let bad_digest = r#"{"layers":[{"mediaType":"a/b","digest":"sha256:../..","size":1}]}"#;
    assert_eq!(parse(bad_digest, None), bad(DescriptorError::Digest(DigestError::Hex)));
    let negative = json(LAYER, 1).replace("\"size\":1", "\"size\":-1");
    assert_eq!(parse(&format!(r#"{{"config":{negative}}}"#), None), bad(DescriptorError::Size));
}

#[test]
fn contents_under_a_digest_that_cannot_be_verified_are_left_out() {
    let blake = r#"{"mediaType":"a/b","digest":"blake3:00","size":1}"#;
    let text = format!(r#"{{"config":{blake},"layers":[{blake},{}]}}"#, json(LAYER, 2));
    let wanted = Manifest { layers: vec![descriptor(LAYER, 2)], ..Manifest::default() };
    assert_eq!(parse(&text, None), Ok(wanted));
}

#[test]
fn size_depth_and_count_are_bounded() {
    let padded = |len: usize| format!("{{{}}}", " ".repeat(len - 2));
    assert!(parse(&padded(MANIFEST_BYTES_MAX), None).is_ok());
    assert_eq!(parse(&padded(MANIFEST_BYTES_MAX + 1), None), Err(ManifestError::TooLarge));

    let nested = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(parse(&nested(DEPTH_MAX), None).is_ok());
    assert_eq!(parse(&nested(DEPTH_MAX + 1), None), Err(ManifestError::TooDeep));
    assert_eq!(parse(&"[".repeat(MANIFEST_BYTES_MAX), None), Err(ManifestError::TooDeep));
    let brackets_in_text = format!(r#"{{"a":"{}\"{{\\"}}"#, "[{".repeat(DEPTH_MAX));
    assert!(parse(&brackets_in_text, None).is_ok());

    let listed = |count: usize| {
        let all: Vec<String> = (0..count).map(|_| json("a/b", 1)).collect();
        format!(r#"{{"layers":[{}]}}"#, all.join(","))
    };
    assert_eq!(parse(&listed(DESCRIPTOR_COUNT_MAX), None).unwrap().layers.len(), DESCRIPTOR_COUNT_MAX);
    assert_eq!(parse(&listed(DESCRIPTOR_COUNT_MAX + 1), None), Err(ManifestError::TooManyDescriptors));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = Manifest::parse(&bytes, None);
    }

    #[test]
    fn no_damaged_image_makes_it_panic_or_shows_a_part_it_has_not(
        place in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        len in any::<proptest::sample::Index>(),
    ) {
        let text = fill(r#"{"schemaVersion":2,"config":$1,"layers":[$2,$3]}"#);
        let mut bytes = text.into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(manifest) = Manifest::parse(&bytes, None) {
            prop_assert!(manifest.layers.len() <= 2 && manifest.manifests.is_empty());
        }
        let cut = len.index(bytes.len());
        prop_assert!(Manifest::parse(&bytes[..cut], None).is_err());
    }
}
