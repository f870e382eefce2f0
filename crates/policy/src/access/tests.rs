use super::*;

#[test]
fn whoever_proves_nothing_may_read_everything() {
    let paths = [
        "/v2/",
        "/v2/library/busybox/manifests/1",
        "/v2/library/busybox/blobs/sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "/v2/library/busybox/tags/list",
        "/v2/library/busybox/referrers/sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "/v2/_catalog",
    ];
    for address in ["127.0.0.1", "192.0.2.7", "2001:db8::1"] {
        let identity = Identity::Anonymous { address: address.parse().unwrap() };
        for path in paths {
            let asked = Request::parse(path, None).unwrap();
            for registry in [None, Some("docker.io"), Some("quay.io")] {
                let decision = decide(&identity, registry, &asked);
                assert_eq!(decision, Decision::Allow, "{address} {registry:?} {path}");
            }
        }
    }
}
