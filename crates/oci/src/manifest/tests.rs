use proptest::prelude::*;

use super::kind::{DOCKER_IMAGE, DOCKER_LIST, OCI_IMAGE, OCI_INDEX, SCHEMA_1, SIGNED_SCHEMA_1};
use super::{DEPTH_MAX, DESCRIPTOR_COUNT_MAX, MANIFEST_BYTES_MAX, Manifest, ManifestError, ManifestKind};
use crate::descriptor::{Descriptor, DescriptorError};
use crate::digest::{Algorithm, Digest, DigestError};
use crate::media_type::MediaType;

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn digest(seed: u64) -> Digest {
    Digest::of(Algorithm::Sha256, &seed.to_le_bytes())
}

fn descriptor(media_type: &str, seed: u64) -> Descriptor {
    Descriptor { media_type: media_type.parse().unwrap(), digest: digest(seed), size: Some(seed) }
}

fn json(media_type: &str, seed: u64) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{seed}}}"#, digest(seed))
}

/// Puts descriptors in the place of `$1`, `$2`, `$3`.
fn fill(template: &str) -> String {
    (1..=3).fold(template.to_owned(), |text, seed| text.replace(&format!("${seed}"), &json(LAYER, seed)))
}

fn empty(kind: ManifestKind, media_type: &str) -> Manifest {
    let media_type = media_type.parse().unwrap();
    Manifest { kind, media_type, subject: None, config: None, layers: Vec::new(), manifests: Vec::new() }
}

fn parse(text: &str, header: Option<&str>) -> Result<Manifest, ManifestError> {
    let header: Option<MediaType> = header.map(|it| it.parse().unwrap());
    Manifest::parse(text.as_bytes(), header.as_ref())
}

/// What a document is taken for under a header.
fn recognise(text: &str, header: Option<&str>) -> Result<(ManifestKind, String), ManifestError> {
    parse(text, header).map(|manifest| (manifest.kind, manifest.media_type.to_string()))
}

#[test]
fn an_image_names_its_parts() {
    let text = fill(
        r#"{"schemaVersion":2,"mediaType":"IMAGE","config":$1,"layers":[$2,$3],"annotations":{"a":"b"}}"#,
    );
    for kind in [OCI_IMAGE, DOCKER_IMAGE] {
        let text = text.replace("IMAGE", kind);
        for header in
            [None, Some(kind), Some(&*format!("{kind}; charset=utf-8")), Some(&*kind.to_uppercase())]
        {
            let wanted = Manifest {
                config: Some(descriptor(LAYER, 1)),
                layers: vec![descriptor(LAYER, 2), descriptor(LAYER, 3)],
                ..empty(ManifestKind::Image, header.unwrap_or(kind))
            };
            assert_eq!(parse(&text, header), Ok(wanted), "{header:?}");
        }
    }
}

#[test]
fn an_index_names_its_manifests_and_anything_its_subject() {
    let text = fill(r#"{"schemaVersion":2,"mediaType":"INDEX","manifests":[$1,$2],"subject":$3}"#);
    for kind in [OCI_INDEX, DOCKER_LIST] {
        let wanted = Manifest {
            subject: Some(descriptor(LAYER, 3)),
            manifests: vec![descriptor(LAYER, 1), descriptor(LAYER, 2)],
            ..empty(ManifestKind::Index, kind)
        };
        assert_eq!(parse(&text.replace("INDEX", kind), Some(kind)), Ok(wanted));
    }
}

#[test]
fn documents_of_other_kinds_have_no_references_and_are_no_error() {
    let artifact = "application/vnd.oci.artifact.manifest.v1+json";
    for (text, header) in [
        (r#"{"mediaType":"ARTIFACT","artifactType":"a/b","blobs":[{"digest":"x"}]}"#, None),
        (r#"{"mediaType":"ARTIFACT","blobs":[]}"#, Some("application/json")),
        (r#"{"schemaVersion":3,"anything":[{"deep":{"er":[1,2.5,null,true,"\u00e4"]}}]}"#, Some(artifact)),
    ] {
        let text = text.replace("ARTIFACT", artifact);
        assert_eq!(parse(&text, header), Ok(empty(ManifestKind::Other, artifact)), "{text}");
    }
}

/// An answer of a service in front of the registry, under whatever header it comes.
#[test]
fn k11_json_that_is_no_manifest_is_refused() {
    let headers = [OCI_IMAGE, OCI_INDEX, DOCKER_IMAGE, DOCKER_LIST, SIGNED_SCHEMA_1];
    let headers =
        headers.into_iter().chain(["application/json", "text/plain", "application/vnd.example+json"]);
    for text in [
        "{}",
        r#"{"message": "Unauthorized"}"#,
        r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
        r#"{"errors":[],"schemaVersion":"2"}"#,
        r#"{"mediaType":""}"#,
        r#"{"mediaType":"application/problem+json","status":401}"#,
        r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","message":"Unauthorized"}"#,
        r#"{"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json"}"#,
        r#"{"mediaType":null,"config":null,"layers":null,"manifests":null,"subject":null}"#,
        r#"{"name":"team/app","tags":["1"]}"#,
    ] {
        for header in headers.clone().map(Some).chain([None]) {
            assert_eq!(parse(text, header), Err(ManifestError::NotAManifest), "{text} {header:?}");
        }
    }
    for header in [OCI_IMAGE, OCI_INDEX, SIGNED_SCHEMA_1, "application/json"] {
        assert_eq!(parse(r#"{"schemaVersion":2}"#, Some(header)), Err(ManifestError::NotAManifest));
        assert_eq!(parse(r#"{"schemaVersion":1}"#, Some(header)), Err(ManifestError::NotAManifest));
    }
}

/// Servers of files and proxies send types that say nothing.
#[test]
fn k10_a_manifest_outweighs_the_header_that_it_came_under() {
    let docker =
        fill(r#"{"schemaVersion":2,"config":{"mediaType":"DOCKER","digest":"DIGEST"},"layers":[$2]}"#);
    let docker = docker.replace("DOCKER", DOCKER_CONFIG).replace("DIGEST", &digest(1).to_string());
    let named =
        |kind: &str, rest: &str| fill(&format!(r#"{{"schemaVersion":2,"mediaType":"{kind}",{rest}}}"#));
    let cases = [
        (named(DOCKER_IMAGE, r#""config":$1,"layers":[$2]"#), ManifestKind::Image, DOCKER_IMAGE),
        (named(OCI_IMAGE, r#""config":$1,"layers":[]"#), ManifestKind::Image, OCI_IMAGE),
        (named(OCI_IMAGE, r#""config":$1"#), ManifestKind::Image, OCI_IMAGE),
        (named(OCI_INDEX, r#""manifests":[$1]"#), ManifestKind::Index, OCI_INDEX),
        (named(DOCKER_LIST, r#""manifests":null"#), ManifestKind::Index, DOCKER_LIST),
        (docker, ManifestKind::Image, DOCKER_IMAGE),
        (fill(r#"{"schemaVersion":2,"config":$1,"layers":[$2]}"#), ManifestKind::Image, OCI_IMAGE),
        (fill(r#"{"schemaVersion":2,"mediaType":7,"manifests":[$1]}"#), ManifestKind::Index, OCI_INDEX),
        (r#"{"schemaVersion":1,"fsLayers":[{"blobSum":"x"}]}"#.to_owned(), ManifestKind::Schema1, SCHEMA_1),
        (
            r#"{"schemaVersion":1,"fsLayers":[],"signatures":[{}]}"#.to_owned(),
            ManifestKind::Schema1,
            SIGNED_SCHEMA_1,
        ),
    ];
    let generic =
        ["application/json", "text/plain", "application/octet-stream", "text/html", "binary/octet-stream"];
    for (text, kind, media_type) in &cases {
        for header in generic.map(Some).into_iter().chain([None]) {
            assert_eq!(recognise(text, header), Ok((*kind, (*media_type).to_owned())), "{text} {header:?}");
        }
    }
    // A header that fits is passed on, where the document names none.
    let unnamed = fill(r#"{"config":$1,"layers":[$2]}"#);
    for header in [OCI_IMAGE, DOCKER_IMAGE, "application/vnd.oci.image.manifest.v1+json; charset=utf-8"] {
        assert_eq!(recognise(&unnamed, Some(header)), Ok((ManifestKind::Image, header.to_owned())));
    }
    // One that does not is not.
    for (text, kind, media_type) in &cases {
        let others =
            [OCI_IMAGE, OCI_INDEX, SIGNED_SCHEMA_1].map(|it| (it, recognise(text, Some(it)).unwrap()));
        for (header, (found, under)) in others {
            assert_eq!(found, *kind, "{text} {header}");
            assert!(under == header || under == *media_type, "{text} {header} {under}");
        }
    }
}

/// CVE-2021-41190: what one client takes for an index must not be an image to another.
#[test]
fn a_document_that_is_both_index_and_image_is_refused() {
    let all = &[None, Some(OCI_IMAGE), Some(DOCKER_IMAGE), Some(OCI_INDEX), Some(DOCKER_LIST), Some("a/b")];
    for template in [
        r#"{"manifests":[$1],"layers":[$2]}"#,
        r#"{"manifests":[$1],"config":$2}"#,
        r#"{"manifests":[],"layers":[]}"#,
        r#"{"mediaType":"application/vnd.oci.image.index.v1+json","layers":[$1]}"#,
        r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[$1]}"#,
        r#"{"mediaType":"application/vnd.example+json","manifests":[$1],"config":$2}"#,
    ] {
        for header in all {
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
fn a_header_that_the_parts_contradict_names_nothing() {
    for (parts, header, media_type) in [
        (r#""manifests":[$1]"#, OCI_IMAGE, OCI_INDEX),
        (r#""manifests":[$1]"#, DOCKER_IMAGE, OCI_INDEX),
        (r#""config":$1"#, DOCKER_LIST, OCI_IMAGE),
        (r#""layers":[$1]"#, OCI_INDEX, OCI_IMAGE),
    ] {
        let named = parse(&fill(&format!(r#"{{"schemaVersion":2,{parts}}}"#)), Some(header)).unwrap();
        assert_eq!(named.media_type.as_str(), media_type, "{parts} {header}");
        let unnamed = parse(&fill(&format!("{{{parts}}}")), Some(header));
        assert_eq!(unnamed, Err(ManifestError::NotAManifest), "{parts} {header}");
    }
}

#[test]
fn a_document_that_names_itself_is_served_under_that_name() {
    let text = fill(&format!(r#"{{"mediaType":"{OCI_IMAGE}","config":$1}}"#));
    for header in [DOCKER_IMAGE, OCI_INDEX, "application/json", "application/vnd.example+json"] {
        assert_eq!(parse(&text, Some(header)).unwrap().media_type.as_str(), OCI_IMAGE);
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
        r#"{"mediaType":"\ud800"}"#,
    ] {
        assert!(matches!(parse(text, None), Err(ManifestError::Unreadable(_))), "{text}");
    }
    assert!(matches!(Manifest::parse(b"{\"mediaType\":\"\xff\"}", None), Err(ManifestError::Unreadable(_))));
    let bad_digest = r#"{"layers":[{"mediaType":"a/b","digest":"sha256:../..","size":1}]}"#;
    let error = ManifestError::Descriptor(DescriptorError::Digest(DigestError::Hex));
    assert_eq!(parse(bad_digest, Some(OCI_IMAGE)), Err(error));
}

#[test]
fn k10_parts_that_nobody_needs_may_be_missing_or_odd() {
    let digest = digest(1);
    for layer in [
        format!(r#"{{"digest":"{digest}"}}"#),
        format!(r#"{{"digest":"{digest}","size":"7","mediaType":7,"urls":"x","annotations":[]}}"#),
        format!(r#"{{"digest":"{digest}","size":-1,"mediaType":null,"data":{{}}}}"#),
    ] {
        let subject = r#"{"digest":"nonsense"}"#;
        let text = fill(&format!(
            r#"{{"schemaVersion":2,"config":$1,"layers":[{layer}],"subject":{subject},"annotations":7}}"#
        ));
        let manifest = parse(&text, Some(OCI_IMAGE)).unwrap();
        assert_eq!((manifest.subject, manifest.layers.len()), (None, 1), "{text}");
        assert_eq!((&manifest.layers[0].digest, manifest.layers[0].size), (&digest, None), "{text}");
    }
}

#[test]
fn contents_under_a_digest_that_cannot_be_verified_are_left_out() {
    let blake = r#"{"mediaType":"a/b","digest":"blake3:00","size":1}"#;
    let text = format!(r#"{{"config":{blake},"layers":[{blake},{}]}}"#, json(LAYER, 2));
    let wanted = Manifest { layers: vec![descriptor(LAYER, 2)], ..empty(ManifestKind::Image, OCI_IMAGE) };
    assert_eq!(parse(&text, Some(OCI_IMAGE)), Ok(wanted));
}

#[test]
fn size_depth_and_count_are_bounded() {
    let index = r#"{"manifests":[]"#;
    let padded = |len: usize| format!("{index}{}}}", " ".repeat(len - index.len() - 1));
    assert!(parse(&padded(MANIFEST_BYTES_MAX), Some(OCI_INDEX)).is_ok());
    assert_eq!(parse(&padded(MANIFEST_BYTES_MAX + 1), Some(OCI_INDEX)), Err(ManifestError::TooLarge));

    let nested =
        |depth: usize| format!(r#"{index},"a":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(parse(&nested(DEPTH_MAX), Some(OCI_INDEX)).is_ok());
    assert_eq!(parse(&nested(DEPTH_MAX + 1), Some(OCI_INDEX)), Err(ManifestError::TooDeep));
    assert_eq!(parse(&"[".repeat(MANIFEST_BYTES_MAX), None), Err(ManifestError::TooDeep));
    let brackets_in_text = format!(r#"{index},"a":"{}\"{{\\"}}"#, "[{".repeat(DEPTH_MAX));
    assert!(parse(&brackets_in_text, Some(OCI_INDEX)).is_ok());

    let listed = |count: usize| {
        let all: Vec<String> = (0..count).map(|_| json("a/b", 1)).collect();
        format!(r#"{{"layers":[{}]}}"#, all.join(","))
    };
    let most = parse(&listed(DESCRIPTOR_COUNT_MAX), Some(OCI_IMAGE)).unwrap();
    assert_eq!(most.layers.len(), DESCRIPTOR_COUNT_MAX);
    let more = parse(&listed(DESCRIPTOR_COUNT_MAX + 1), Some(OCI_IMAGE));
    assert_eq!(more, Err(ManifestError::TooManyDescriptors));
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
