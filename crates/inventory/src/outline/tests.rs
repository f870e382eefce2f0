use oci::Algorithm;

use super::*;

fn digest_of(name: &str) -> Digest {
    Digest::of(Algorithm::Sha256, name.as_bytes())
}

#[test]
fn an_index_describes_platforms_and_attestations() {
    let child = |name: &str, rest: &str| format!(r#"{{"digest":"{}",{rest}}}"#, digest_of(name));
    let children = [
        child("amd64", r#""platform":{"os":"linux","architecture":"amd64"}"#),
        child("arm64", r#""platform":{"os":"linux","architecture":"arm64","variant":"v8"}"#),
        child("windows", r#""platform":{"os":"windows","architecture":"amd64","os.version":"10.0.1"}"#),
        child("sbom", r#""platform":{"os":"unknown","architecture":"unknown"}"#),
        child("provenance", r#""annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#),
        child("wrong", r#""platform":"linux/amd64","annotations":7"#),
        child("bell", r#""platform":{"os":"linux\u001b[2J","architecture":"ä"}"#),
        child("amd64", r#""platform":{"os":"plan9","architecture":"amd64"}"#),
    ];
    let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, children.join(","));
    let outline = Outline::of(text.as_bytes());
    let read: Vec<_> = outline
        .children
        .iter()
        .map(|it| (it.digest.clone(), it.platform.as_deref(), it.is_attestation))
        .collect();
    assert_eq!(
        read,
        [
            (digest_of("amd64"), Some("linux/amd64"), false),
            (digest_of("arm64"), Some("linux/arm64/v8"), false),
            (digest_of("windows"), Some("windows(10.0.1)/amd64"), false),
            (digest_of("sbom"), None, true),
            (digest_of("provenance"), None, true),
            (digest_of("wrong"), None, false),
            (digest_of("bell"), Some("linux?[2J/?"), false),
        ]
    );
}

#[test]
fn every_outline_names_what_counts() {
    let (a, b) = (digest_of("a"), digest_of("b"));
    let of_schema_1 =
        format!(r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"{a}"}},{{"blobSum":"{b}"}}]}}"#);
    let image = format!(
        r#"{{"config":{{"digest":"{a}","mediaType":"c","size":3}},"layers":[{{"digest":"{b}","size":"x"}},{{"digest":"{b}"}}]}}"#
    );
    let odd =
        format!(r#"{{"layers":[{{"digest":"{a}","mediaType":["x"],"annotations":[]}}],"artifactType":4}}"#);
    let twice = format!(r#"{{"layers":[{{"digest":"{a}","platform":{{}},"platform":{{}}}}]}}"#);
    for text in [&of_schema_1, &image, &odd, &twice, "{}", "[]", "no JSON"] {
        let (contents, outline) = (Contents::of(text.as_bytes()), Outline::of(text.as_bytes()));
        let mut blobs: Vec<_> = outline.blobs.iter().map(|blob| blob.digest.clone()).collect();
        blobs.sort_unstable();
        assert_eq!(
            blobs,
            contents.blobs.iter().map(|blob| blob.digest.clone()).collect::<Vec<_>>(),
            "{text}"
        );
    }
    let outline = Outline::of(image.as_bytes());
    let media_type = Some("c".to_owned());
    let config = Described { digest: a, role: Role::Config, media_type, size: Some(3), is_elsewhere: false };
    assert_eq!(outline.blobs[0], config);
    assert_eq!((&outline.blobs[1].digest, outline.blobs[1].size), (&b, None));
}

#[test]
fn a_configuration_names_its_platform() {
    for (config, expected) in [
        (r#"{"os":"linux","architecture":"arm","variant":"v7","rootfs":{}}"#, Some("linux/arm/v7")),
        (r#"{"os":"unknown","architecture":"unknown"}"#, None),
        (r#"{"os":"linux"}"#, None),
        (r#"{"os":["linux"],"architecture":"arm"}"#, None),
        ("{", None),
    ] {
        assert_eq!(platform_of_config(config.as_bytes()).as_deref(), expected, "{config}");
    }
}

#[test]
fn a_foreign_layer_is_served_elsewhere() {
    let layer = |name: &str, media_type: &str| {
        format!(r#"{{"digest":"{}","mediaType":"{media_type}","size":1}}"#, digest_of(name))
    };
    let layers = [
        layer("own", "application/vnd.oci.image.layer.v1.tar+gzip"),
        layer("docker", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        layer("oci", "application/vnd.oci.image.layer.nondistributable.v1.tar"),
    ];
    let outline = Outline::of(format!(r#"{{"layers":[{}]}}"#, layers.join(",")).as_bytes());
    let elsewhere: Vec<_> = outline.blobs.iter().map(|blob| blob.is_elsewhere).collect();
    assert_eq!(elsewhere, [false, true, true]);
}

#[test]
fn a_document_of_another_form_is_not_read() {
    for text in ["", "[]", "7", "{"] {
        assert_eq!(Outline::read(text.as_bytes()), None, "{text}");
    }
    for text in ["{}", r#"{"layers":7}"#, r#"{"manifests":[{"digest":7}]}"#] {
        assert_eq!(Outline::read(text.as_bytes()), Some(Outline::default()), "{text}");
    }
}
