use super::{ACCEPTED_MANIFESTS, MediaType};

#[test]
fn the_essence_is_without_parameters() {
    for (text, wanted) in [
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/json ;charset=utf-8", "application/json"),
        ("text/plain;a=b;c=d", "text/plain"),
    ] {
        let media_type: MediaType = text.parse().unwrap();
        assert_eq!(media_type.essence(), wanted);
        assert_eq!(media_type.as_str(), text);
        assert_eq!(format!("{media_type} {media_type:?}"), format!("{text} {text}"));
    }
}

#[test]
fn every_kind_of_manifest_is_asked_for_and_anything_else_too() {
    let asked: Vec<&str> = ACCEPTED_MANIFESTS.split(", ").collect();
    for kind in &asked {
        assert_eq!(kind.parse::<MediaType>().unwrap().essence(), *kind);
    }
    for kind in [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "*/*",
    ] {
        assert!(asked.contains(&kind), "{kind}");
    }
}
