//! The endpoints about stored images, before a server without stores.

use crate::{AdminLab, settings};

#[tokio::test]
async fn a_wrong_request_about_images_gets_an_error_in_json() {
    let lab = AdminLab::start(settings(None)).await;
    for (method, target, status, code, text) in [
        ("GET", "/api/images?registry=nowhere", 404, "unknown_registry", "\"nowhere\""),
        ("GET", "/api/stats?registry=nowhere", 404, "unknown_registry", "\"nowhere\""),
        ("GET", "/api/images?pattern=a:", 400, "invalid_parameter", "pattern: "),
        ("GET", "/api/images?registry=%zz", 400, "invalid_parameter", "registry: "),
        ("DELETE", "/api/images", 400, "invalid_parameter", "registry: "),
        ("DELETE", "/api/images?dry_run=maybe", 400, "invalid_parameter", "dry_run: "),
        ("DELETE", "/api/images?registry=nowhere&repository=a&tag=1", 404, "unknown_registry", "nowhere"),
        ("DELETE", "/api/images?pattern=a:", 400, "invalid_parameter", "pattern: "),
        ("DELETE", "/api/images?unused_for=30d", 400, "invalid_parameter", "unused_for: "),
        ("DELETE", "/api/images?pattern=*&registry=nowhere", 404, "unknown_registry", "nowhere"),
        ("GET", "/api/image", 400, "invalid_parameter", "registry: "),
        ("GET", "/api/image?registry=nowhere&repository=a&tag=1", 404, "unknown_registry", "nowhere"),
        ("POST", "/api/refresh?registry=nowhere&repository=a&tag=1", 404, "unknown_registry", "nowhere"),
        ("POST", "/api/refresh", 400, "invalid_parameter", "registry: "),
        ("POST", "/api/prune?registry=nowhere", 404, "unknown_registry", "nowhere"),
        ("PUT", "/api/pins", 400, "invalid_parameter", "registry: "),
        ("DELETE", "/api/pins?registry=nowhere", 404, "unknown_registry", "nowhere"),
        ("DELETE", "/api/images?dryrun=true", 400, "invalid_parameter", "unused_for, dry_run"),
        ("DELETE", "/api/images?dry_run", 400, "invalid_parameter", "write dry_run=..."),
        ("DELETE", "/api/pins?dry_run=true", 400, "invalid_parameter", "no such parameter"),
        ("GET", "/metrics?registry=docker.io", 400, "invalid_parameter", "the parameters are: none"),
    ] {
        let answer = lab.ask_as("localhost", method, target, &[]).await;
        let error: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(error["error"]["code"], code, "{method} {target}");
        assert!(error["error"]["message"].as_str().unwrap().contains(text), "{error}");
    }
}

#[tokio::test]
async fn no_web_page_removes_or_pins_an_image() {
    let lab = AdminLab::start(settings(Some("s3cret"))).await;
    let token = ("authorization", "Bearer s3cret");
    for (method, target) in [
        ("DELETE", "/api/images"),
        ("DELETE", "/api/images?pattern=a:"),
        ("POST", "/api/prune?dry_run=maybe"),
        ("POST", "/api/refresh"),
        ("PUT", "/api/pins"),
        ("DELETE", "/api/pins"),
    ] {
        let page = lab.ask_as("localhost", method, target, &[token, ("origin", "http://localhost")]).await;
        assert_eq!(page.status, 403, "{method} {target}");
        assert_eq!(lab.ask_as("localhost", method, target, &[]).await.status, 401, "{method} {target}");
        assert_eq!(lab.ask_as("localhost", method, target, &[token]).await.status, 400, "{method} {target}");
    }
}
