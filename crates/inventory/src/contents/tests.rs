use oci::{Algorithm, Manifest};

use super::*;

fn digest(name: &str) -> Digest {
    Digest::of(Algorithm::Sha256, name.as_bytes())
}

fn blobs(names: &[(&str, Option<u64>)]) -> Vec<NamedBlob> {
    let mut blobs: Vec<_> =
        names.iter().map(|(name, size)| NamedBlob { digest: digest(name), size: *size }).collect();
    blobs.sort();
    blobs
}

/// Replaces `@name` by a digest.
fn document(text: &str) -> String {
    ["config", "layer", "other", "amd64", "arm64", "subject"]
        .iter()
        .fold(text.to_owned(), |text, name| text.replace(&format!("@{name}"), &digest(name).to_string()))
}

/// A document, and what it names: manifests, blobs with their sizes, a subject.
type Case<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, Option<u64>)], Option<&'a str>);

#[test]
fn every_kind_of_manifest_names_its_contents() {
    let table: &[Case<'_>] = &[
        (
            r#"{"schemaVersion":2,"config":{"digest":"@config","size":7},"layers":[{"digest":"@layer","size":9}]}"#,
            &[],
            &[("config", Some(7)), ("layer", Some(9))],
            None,
        ),
        // A layer may be named twice.
        (
            r#"{"layers":[{"digest":"@layer","size":9},{"digest":"@layer","size":9},{"digest":"@other"}]}"#,
            &[],
            &[("layer", Some(9)), ("other", None)],
            None,
        ),
        (
            r#"{"schemaVersion":2,"manifests":[{"digest":"@amd64","size":3},{"digest":"@arm64"},{"digest":"@amd64"}]}"#,
            &["amd64", "arm64"],
            &[],
            None,
        ),
        (
            r#"{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[{"digest":"@layer","size":1}],
               "subject":{"digest":"@subject"}}"#,
            &[],
            &[("layer", Some(1))],
            Some("subject"),
        ),
        // Properties that are of another kind of manifest, or given twice, hide nothing.
        (
            r#"{"layers":[{"digest":"@layer","size":9}],"blobs":{"a":1},"fsLayers":7,"subject":{"digest":5}}"#,
            &[],
            &[("layer", Some(9))],
            None,
        ),
        (
            r#"{"blobs":["x",[],{"digest":"@other"}],"config":{"digest":"@config","size":{"a":1}},
                "fsLayers":[{"blobSum":5}],"blobs":null,"fsLayers":[{"blobSum":"@layer"}]}"#,
            &[],
            &[("config", None), ("layer", None), ("other", None)],
            None,
        ),
        (
            r#"{"schemaVersion":1,"fsLayers":[{"blobSum":"@layer"},{"blobSum":"@other"}]}"#,
            &[],
            &[("layer", None), ("other", None)],
            None,
        ),
        // Unusual values of what is not needed.
        (
            r#"{"config":{"digest":"@config","size":-1},
               "layers":[{"digest":"@layer","size":"9"},{"digest":"x"},{"size":1},{"digest":"md5:00"}],
               "manifests":null,"annotations":[1]}"#,
            &[],
            &[("config", None), ("layer", None)],
            None,
        ),
    ];
    for (text, children, named, subject) in table {
        let mut children: Vec<_> = children.iter().map(|name| digest(name)).collect();
        children.sort();
        let expected =
            Contents { children, blobs: blobs(named), subject: subject.map(digest), manifest_bytes: 0 };
        let found = Contents { manifest_bytes: 0, ..Contents::of(document(text).as_bytes()) };
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_document_that_is_no_manifest_names_nothing() {
    let of = |bytes: &[u8]| {
        let found = Contents::of(bytes);
        assert_eq!(found.manifest_bytes, bytes.len() as u64);
        Contents { manifest_bytes: 0, ..found }
    };
    for text in
        ["", "[]", "null", "7", "{", r#"{"layers":7}"#, r#"{"layers":["@layer"]}"#, "\u{feff}{}", "{}"]
    {
        assert_eq!(of(document(text).as_bytes()), Contents::default(), "{text}");
    }
    assert_eq!(of(&vec![b' '; MANIFEST_BYTES_MAX + 1]), Contents::default());
    let deep = format!("{}{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    assert_eq!(of(deep.as_bytes()), Contents::default());
}

#[test]
fn a_manifest_that_is_accepted_names_all_that_it_is_accepted_with() {
    let odd = ["7", "{}", "[7]", "[[{}]]", r#"{"digest":5}"#, r#"[{"blobSum":5}]"#];
    for value in odd {
        for name in ["blobs", "fsLayers", "annotations", "artifactType", "signatures", "Subject ", "history"]
        {
            for (twice, size) in [("", "1"), (&*format!(",\"{name}\":{value}"), value)] {
                let text = document(&format!(
                    r#"{{"schemaVersion":2,"{name}":{value},"config":{{"digest":"@config","size":{size}}},
                         "layers":[{{"digest":"@layer","size":1,"x":{value}}}],"subject":{{"digest":"@subject"}}{twice}}}"#
                ));
                let Ok(manifest) = Manifest::parse(text.as_bytes(), None) else { continue };
                let contents = Contents::of(text.as_bytes());
                let named = manifest.layers.iter().chain(&manifest.config);
                assert_eq!(named.clone().count(), 2);
                for descriptor in named {
                    let is_named = contents.blobs.iter().any(|blob| blob.digest == descriptor.digest);
                    assert!(is_named, "{text}");
                }
                assert_eq!(contents.subject, manifest.subject.map(|subject| subject.digest), "{text}");
            }
        }
    }
}
