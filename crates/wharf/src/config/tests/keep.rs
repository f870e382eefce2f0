//! The images that no limit and no rule removes, as people write them.

use oci::{Algorithm, Digest};
use policy::image::NamedImage;

use super::{Config, check_refused, parse};

/// Whether a registry's `keep` names an image with this tag.
fn keeps(config: &Config, registry: usize, repository: &str, tag: &str) -> bool {
    let registry = &config.registries[registry];
    let digest = Digest::of(Algorithm::Sha256, b"an image");
    let image = NamedImage { registry: &registry.names.name, repository, digest: &digest };
    registry.limits.keep.iter().any(|pattern| pattern.names(image, [tag]))
}

#[test]
fn an_image_is_kept_as_docker_would_name_it() {
    for keep in [
        r#"["alpine"]"#,
        r#"["alpine:3.*"]"#,
        r#"["library/alpine"]"#,
        r#"["docker.io/library/alpine:*"]"#,
        r#"["docker.io/alpine"]"#,
        r#"["index.docker.io/alpine"]"#,
        r#"["hub/alpine"]"#,
        r#"["hub.example.org/alpine"]"#,
        r#""redis alpine""#,
        r#"["redis, alpine:3.*"]"#,
    ] {
        let names = "aliases = [\"hub\"]\nhosts = [\"hub.example.org\"]";
        let config = parse(&format!("[[registry]]\nname = \"docker.io\"\n{names}\nkeep = {keep}\n"));
        assert!(keeps(&config, 0, "library/alpine", "3.20"), "{keep}");
        assert!(!keeps(&config, 0, "org/alpine", "3.20"), "{keep}");
        assert!(!keeps(&config, 0, "library/alpines", "3.20"), "{keep}");
    }
}

#[test]
fn the_defaults_keep_images_of_the_registries_that_they_name() {
    let registries = "[[registry]]\nname = \"docker.io\"\n[[registry]]\nname = \"ghcr.io\"\n";
    let keep = r#"keep = ["ghcr.io/org/*", "alpine"]"#;
    let config = parse(&format!("[defaults]\n{keep}\n{registries}"));
    assert!(keeps(&config, 1, "org/app", "1") && !keeps(&config, 0, "org/app", "1"));
    assert!(keeps(&config, 0, "library/alpine", "1") && keeps(&config, 1, "alpine", "1"));
}

#[test]
fn a_pattern_that_can_name_no_image_of_the_registry_is_refused() {
    let example = "write, for example, \"alpine:3.*\" or \"ghcr.io/org/*\"";
    for (keep, remark) in [
        (
            r#"["ghcr.io/org/app"]"#,
            "\"ghcr.io/org/app\" names images of ghcr.io, which this registry does not have; move it to the \
             [[registry]] of ghcr.io, or write \"docker.io/ghcr.io/org/app\" if it is a repository of docker.io"
                .to_owned(),
        ),
        (
            r#"["Library/alpine"]"#,
            format!("\"Library/alpine\": repositories are lower-case; {example}"),
        ),
        (
            r#"["https://docker.io/alpine"]"#,
            format!(
                "\"https://docker.io/alpine\": an image has no scheme; leave out what precedes the name of the \
                 registry; {example}"
            ),
        ),
    ] {
        let text = format!("[[registry]]\nname = \"docker.io\"\nkeep = {keep}\n");
        check_refused(&text, &[&format!("wharf.toml:3: registry[docker.io].keep: {remark}")]);
    }
}
