use super::ImageName;

#[test]
fn names_are_read_as_docker_reads_them() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let with_digest = format!("ghcr.io/org/app:v1@{digest}");
    for (text, expected) in [
        ("alpine", "docker.io library/alpine -"),
        ("alpine:3.20", "docker.io library/alpine 3.20"),
        ("docker.io/library/alpine:3.20", "docker.io library/alpine 3.20"),
        ("org/app:v1", "docker.io org/app v1"),
        ("ghcr.io/org/app:v1", "ghcr.io org/app v1"),
        ("localhost/app", "localhost app -"),
        ("localhost:5000/app:v1", "localhost:5000 app v1"),
        (with_digest.as_str(), "ghcr.io org/app v1"),
    ] {
        let name = ImageName::parse(text).unwrap();
        let tag = name.tag.as_ref().map_or("-", |tag| tag.as_str());
        assert_eq!(format!("{} {} {tag}", name.host, name.repository), expected, "{text}");
    }
    for text in ["", "Upper/Case", "ghcr.io/", "ghcr.io/../etc", "app:", "ghcr.io//app", "a b"] {
        assert_eq!(ImageName::parse(text), None, "{text}");
    }
}
