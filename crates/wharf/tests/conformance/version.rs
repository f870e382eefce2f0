//! Whether the API exists ("Determining Support", end-1).

use crate::place::{Stage, json};

/// end-1: `GET /v2/` answers 200, so the specification is implemented; no upstream is needed for that.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_supported() {
    let stage = Stage::new().await;
    stage
        .everywhere(async |place| {
            let answer = place.get_and_head("").await;
            assert_eq!(answer.status, 200, "{place:?}");
            assert_eq!(json(&answer), serde_json::json!({}));
            assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
            assert_eq!(answer.header("www-authenticate"), None);
        })
        .await;
    assert!(stage.upstream.requests().is_empty(), "{:#?}", stage.upstream.requests());
}
