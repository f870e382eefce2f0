use super::*;

const HUB: &str = "docker.io";

/// A configuration with aliases.
fn find(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" | "hub" => Some(HUB),
        "ghcr.io" => Some("ghcr.io"),
        "localhost" => Some("localhost"),
        "localhost:5000" => Some("localhost:5000"),
        "lab.example:5000" | "lab" => Some("lab.example:5000"),
        "[fd00::1]:5000" => Some("[fd00::1]:5000"),
        _ => None,
    }
}

fn located(text: &str) -> Option<(&'static str, String)> {
    let name: ImageName = text.parse().unwrap();
    let found = name.locate(find, |registry| *registry == HUB);
    found.ok().map(|(registry, repository)| (registry, repository.to_string()))
}

#[test]
fn names_are_read_as_people_write_them() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for (text, registry, repository, reference) in [
        ("alpine", HUB, "library/alpine", "latest"),
        ("alpine:3.20", HUB, "library/alpine", "3.20"),
        ("alpine:Edge", HUB, "library/alpine", "Edge"),
        ("library/alpine", HUB, "library/alpine", "latest"),
        ("bitnami/redis", HUB, "bitnami/redis", "latest"),
        ("docker.io/alpine", HUB, "library/alpine", "latest"),
        ("docker.io/library/alpine:3.20", HUB, "library/alpine", "3.20"),
        ("docker.io/library/alpine@DIGEST", HUB, "library/alpine", "DIGEST"),
        ("index.docker.io/alpine:1", HUB, "library/alpine", "1"),
        ("registry-1.docker.io/library/alpine:1", HUB, "library/alpine", "1"),
        ("DOCKER.IO/alpine:1", HUB, "library/alpine", "1"),
        ("alpine:3.20@DIGEST", HUB, "library/alpine", "DIGEST"),
        ("GHCR.io/org/app:v1", "ghcr.io", "org/app", "v1"),
        ("ghcr.io/app", "ghcr.io", "app", "latest"),
        ("ghcr.io/org/app:1@DIGEST", "ghcr.io", "org/app", "DIGEST"),
        ("localhost/app", "localhost", "app", "latest"),
        ("Localhost/app", "localhost", "app", "latest"),
        ("localhost:5000/x", "localhost:5000", "x", "latest"),
        ("localhost:5000/x/y:v1", "localhost:5000", "x/y", "v1"),
        // No slash: a tag and no port.
        ("localhost:5000", HUB, "library/localhost", "5000"),
        ("lab.example:5000/a/b:1", "lab.example:5000", "a/b", "1"),
        ("[fd00::1]:5000/app:1", "[fd00::1]:5000", "app", "1"),
    ] {
        let (text, reference) = (text.replace("DIGEST", &digest), reference.replace("DIGEST", &digest));
        let name: ImageName = text.parse().unwrap();
        assert_eq!(located(&text), Some((registry, repository.to_owned())), "{text}");
        let (alone, repository_alone) = name.as_docker_reads_it().unwrap();
        assert_eq!((alone.as_str(), repository_alone.as_str()), (registry, repository), "{text}");
        assert_eq!((name.reference().to_string(), name.to_string()), (reference, text.clone()));

        // The pattern of the same text names the same image.
        let pattern: ImagePattern = text.parse().unwrap();
        let pattern = pattern.resolved(find).unwrap();
        let held = name.digest().cloned().unwrap_or_else(|| digest.parse().unwrap());
        let tags = name.tag().map(ToString::to_string);
        let is_named = |registry, repository: &str| {
            let image = NamedImage { registry, repository, digest: &held };
            pattern.names(image, tags.as_deref())
        };
        assert!(is_named(registry, repository), "{text}");
        assert!(!is_named(registry, "other/app") && !is_named("quay.io", "other/app"), "{text}");
    }
}

#[test]
fn an_alias_of_a_configured_registry_need_not_look_like_one() {
    assert_eq!(located("hub/alpine:1"), Some((HUB, "library/alpine".to_owned())));
    assert_eq!(located("lab/a"), Some(("lab.example:5000", "a".to_owned())));
    assert_eq!(located("quay.io/a"), None);
    // Another program does not know the alias.
    let name: ImageName = "lab/a".parse().unwrap();
    assert_eq!(name.as_docker_reads_it().unwrap().1.as_str(), "lab/a");
}

#[test]
fn a_name_within_a_registry_begins_with_the_repository() {
    let read = |registry, text| {
        let name = ImageName::within(registry, text).unwrap();
        let (registry, repository) = name.as_docker_reads_it().unwrap();
        format!("{registry} {repository} {}", name.tag().map_or("-", |tag| tag.as_str()))
    };
    assert_eq!(read("lab", "org/app:v1"), "lab org/app v1");
    assert_eq!(read("ghcr.io", "my.team/app"), "ghcr.io my.team/app -");
    assert_eq!(read(HUB, "alpine:3"), "docker.io library/alpine 3");
    assert!(ImageName::within("a b", "app").is_err() && ImageName::within("ghcr.io", "App").is_err());
}

#[test]
fn a_text_that_names_no_image_is_refused_with_the_reason() {
    let long = format!("{}.example/a", "h".repeat(300));
    let digest = format!("sha256:{}", "a".repeat(64));
    for (text, reason) in [
        // Copied from a list, without its repository.
        (digest.as_str(), "write its repository in front"),
        (&format!("@{digest}"), "write its repository in front"),
        ("alpine*", "a pattern is not taken here"),
        ("alpine:*", "a pattern is not taken here"),
        ("ghcr.io/*", "a pattern is not taken here"),
        ("*", "a pattern is not taken here"),
        ("app:v?", "a pattern is not taken here"),
        ("", "1 to 255 bytes"),
        ("app:", "a tag has"),
        (":1", "1 to 255 bytes"),
        ("a:b:c", "a tag has"),
        ("a b", "components"),
        ("UPPER", "lower-case"),
        ("Upper/Case", "lower-case"),
        ("ghcr.io/Org/app", "lower-case"),
        ("ghcr.io/", "1 to 255 bytes"),
        ("ghcr.io//app", "components"),
        ("ghcr.io/../etc", "components"),
        ("a@sha256:1", "after @"),
        ("https://ghcr.io/app", "scheme"),
        ("docker://alpine", "scheme"),
        (":5000/app", "a registry has"),
        ("a b.example/app", "a registry has"),
        ("a:b.example/app", "a registry has"),
        ("fd00::1/app", "a registry has"),
        (&long, "a registry has"),
    ] {
        let error = text.parse::<ImageName>().unwrap_err();
        assert!(error.to_string().contains(reason), "{text:?}: {error}");
    }
    let longest = "a".repeat(255);
    let name: ImageName = longest.parse().unwrap();
    assert!(name.as_docker_reads_it().is_err() && name.locate(find, |_| true).is_err());
}

#[test]
fn an_argument_with_a_wildcard_or_a_digest_alone_is_a_pattern() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for text in ["library/*", "alpine:3.?", "ghcr.io/*", &format!("@{digest}"), &digest] {
        assert!(matches!(text.parse(), Ok(ImageSelector::Pattern(_))), "{text}");
    }
    let pattern: ImagePattern = digest.parse().unwrap();
    assert_eq!(pattern, format!("@{digest}").parse().unwrap());
    for text in ["alpine", "ghcr.io/org/app:1", &format!("alpine@{digest}")] {
        assert!(matches!(text.parse(), Ok(ImageSelector::One(_))), "{text}");
    }
    for text in ["a b", "a*:", "@sha256:1", "UPPER/*"] {
        assert!(text.parse::<ImageSelector>().is_err(), "{text}");
    }
}
