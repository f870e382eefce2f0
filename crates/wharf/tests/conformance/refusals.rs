//! Push and content management, which a pull-only registry does not have ("Error Codes", code-13).

use testkit::digest_of;

use crate::place::{REPOSITORY, Stage, assert_error};

/// end-4a to end-7b, end-9, end-10, end-11, end-13 and end-14: 405 and `UNSUPPORTED`, with the allowed
/// methods (RFC 9110, section 15.5.6), and nothing reaches the upstream.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_pushed_and_nothing_is_deleted() {
    let stage = Stage::new().await;
    let digest = digest_of(b"pushed");
    let uploads = format!("{REPOSITORY}/blobs/uploads/");
    let session = format!("{uploads}0f9e5a2c");
    let requests = [
        ("POST", uploads.clone()),
        ("POST", format!("{uploads}?digest={digest}")),
        ("POST", format!("{uploads}?digest-algorithm=sha512")),
        ("POST", format!("{uploads}?mount={digest}&from=library/other")),
        ("PATCH", session.clone()),
        ("PUT", format!("{session}?digest={digest}")),
        ("PUT", format!("{REPOSITORY}/manifests/1")),
        ("PUT", format!("{REPOSITORY}/manifests/{digest}?tag=1&tag=2")),
        ("DELETE", format!("{REPOSITORY}/manifests/1")),
        ("DELETE", format!("{REPOSITORY}/manifests/{digest}")),
        ("DELETE", format!("{REPOSITORY}/blobs/{digest}")),
        ("DELETE", session.clone()),
    ];
    stage
        .everywhere(async |place| {
            for (method, path) in &requests {
                let answer = place.ask(method, path, &[("Content-Length", "0")]).await;
                assert_error(&place, &answer, 405, "UNSUPPORTED");
                assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{place:?} {method} {path}");
            }
            let status = place.get(&session).await.status;
            assert!([400, 404].contains(&status), "{place:?}: an upload has no state here: {status}");
        })
        .await;
    assert!(stage.upstream.requests().is_empty(), "{:#?}", stage.upstream.requests());
}
