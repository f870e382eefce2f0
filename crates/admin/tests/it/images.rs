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
        ("PUT", "/api/offline", 400, "invalid_parameter", "state: "),
        ("PUT", "/api/offline?state=maybe", 400, "invalid_parameter", "write on or off"),
        ("PUT", "/api/offline?state=on&registry=nowhere", 404, "unknown_registry", "nowhere"),
        ("DELETE", "/api/offline?registry=nowhere", 404, "unknown_registry", "nowhere"),
        ("DELETE", "/api/pins?registry=nowhere", 404, "unknown_registry", "nowhere"),
        ("DELETE", "/api/images?dryrun=true", 400, "invalid_parameter", "unused_for, dry_run"),
        ("DELETE", "/api/images?dry_run", 400, "invalid_parameter", "write dry_run=..."),
        ("DELETE", "/api/images?pattern=*&dry_run=false&dry_run=true", 400, "invalid_parameter", "twice"),
        ("DELETE", "/api/images?pattern=*&repository=a&tag=v1", 400, "invalid_parameter", "give either"),
        ("DELETE", "/api/images?unused_for=0&tag=v1", 400, "invalid_parameter", "give either"),
        ("GET", "/api/export?all=true&images=app", 400, "invalid_parameter", "not both"),
        ("POST", "/api/prune?registry=", 400, "invalid_parameter", "write registry=..."),
        ("PUT", "/api/offline?state=on&state=off", 400, "invalid_parameter", "twice"),
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

#[tokio::test]
async fn registries_are_taken_offline_and_back_one_by_one_or_all() {
    let lab = AdminLab::start(settings(None)).await;
    // Each step, and what `docker.io` and `quay.io` are afterwards.
    let steps = [
        ("GET", "", [(false, "configuration"), (false, "configuration")]),
        ("PUT", "?state=on&registry=quay.io", [(false, "configuration"), (true, "switch")]),
        ("PUT", "?state=on", [(true, "switch_for_all"), (true, "switch_for_all")]),
        ("PUT", "?state=off&registry=docker.io", [(false, "switch"), (true, "switch_for_all")]),
        ("DELETE", "?registry=docker.io", [(true, "switch_for_all"), (true, "switch_for_all")]),
        ("PUT", "?state=off", [(false, "switch"), (false, "switch")]),
        ("DELETE", "", [(false, "configuration"), (false, "configuration")]),
    ];
    for (method, query, expected) in steps {
        let answer = lab.ask_as("localhost", method, &format!("/api/offline{query}"), &[]).await;
        let document: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
        let all = lab.ask_as("localhost", "GET", "/api/offline", &[]).await.text();
        let all: serde_json::Value = serde_json::from_str(&all).unwrap();
        let state = |(name, (is_offline, source)): (&str, (bool, &str))| -> serde_json::Value {
            serde_json::json!({ "registry": name, "offline": is_offline, "source": source })
        };
        let expected: Vec<_> = ["docker.io", "quay.io"].into_iter().zip(expected).map(state).collect();
        assert_eq!(all["registries"], serde_json::json!(expected), "{method} {query}");
        let told = document["registries"].as_array().unwrap();
        assert!(answer.status == 200 && told.iter().all(|it| expected.contains(it)), "{document}");
        assert_eq!(told.len(), if query.contains("registry=") { 1 } else { 2 });
    }
}
