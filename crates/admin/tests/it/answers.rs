//! The admin listener.

use admin::Settings;
use testkit::client::Response;
use testkit::{FakeRegistry, Image};
use testlab::HUB;

use crate::{AdminLab, settings};

async fn lab_with_admin(token: Option<&str>) -> AdminLab {
    AdminLab::start(settings(token)).await
}

async fn ask(lab: &AdminLab, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
    lab.ask_as("localhost", method, target, headers).await
}

#[tokio::test]
async fn the_metrics_count_served_requests() {
    let lab = lab_with_admin(None).await;
    lab.hub.put_image("library/busybox", "1", &Image::small("one"));
    for _ in 0..2 {
        assert_eq!(lab.get(HUB, "/v2/library/busybox/manifests/1").await.status, 200);
    }
    assert_eq!(lab.get("nonsense.cache.example", "/v2/").await.status, 404);
    assert_eq!(lab.get(HUB, "/livez").await.status, 200);
    let answer = ask(&lab, "GET", "/metrics", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some(telemetry::EXPOSITION_TYPE));
    let text = answer.text();
    let lines = [
        "wharf_requests_total{registry=\"docker.io\",kind=\"manifest\",outcome=\"miss\",status=\"200\"} 1",
        "wharf_requests_total{registry=\"docker.io\",kind=\"manifest\",outcome=\"revalidated\",status=\"200\"} 1",
        "wharf_unrouted_requests_total{reason=\"unknown_host\",status=\"404\"} 1",
        "wharf_unrouted_requests_total{reason=\"health\",status=\"200\"} 1",
        "wharf_first_byte_seconds_count{registry=\"docker.io\",kind=\"manifest\"} 2",
    ];
    for line in lines {
        assert!(text.lines().any(|it| it == line), "{line} is not in {text}");
    }
    let served = 2 * Image::small("one").manifest.size();
    assert!(
        text.contains(&format!("wharf_served_bytes_total{{registry=\"docker.io\"}} {served}\n")),
        "{text}"
    );
}

#[tokio::test]
async fn the_registries_are_listed() {
    let lab = lab_with_admin(None).await;
    let answer = ask(&lab, "GET", "/api/registries", &[]).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    let listed = |name: &str, fake: &FakeRegistry| {
        let address = serde_json::json!({ "url": fake.url(), "state": "up", "failure": null });
        serde_json::json!({
            "name": name,
            "state": "serving",
            "offline": false,
            "addresses": [address],
            "logins": [],
        })
    };
    let registries = [listed("docker.io", &lab.hub), listed("quay.io", &lab.quay)];
    let expected = serde_json::json!({ "registries": registries });
    assert_eq!(document, expected);
}

#[tokio::test]
async fn a_token_is_asked_for_where_one_is_set() {
    let lab = lab_with_admin(Some("s3cret")).await;
    for target in ["/metrics", "/api/registries", "/nonsense"] {
        let refused = ask(&lab, "GET", target, &[]).await;
        assert_eq!(refused.status, 401, "{target}");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer "));
        assert_eq!(ask(&lab, "GET", target, &[("authorization", "Bearer s3cre")]).await.status, 401);
        assert_eq!(ask(&lab, "GET", target, &[("authorization", "Basic s3cret")]).await.status, 401);
        let with_token = ask(&lab, "GET", target, &[("authorization", "Bearer s3cret")]).await;
        assert_eq!(with_token.status, if target == "/nonsense" { 404 } else { 200 });
    }
    for target in ["/livez", "/readyz"] {
        assert_eq!(ask(&lab, "GET", target, &[]).await.status, 200, "{target}");
    }
}

#[tokio::test]
async fn the_two_listeners_do_not_serve_each_other_s_pages() {
    let lab = lab_with_admin(None).await;
    for target in ["/metrics", "/api/registries"] {
        assert_eq!(lab.get(HUB, target).await.status, 404, "{target}");
        assert_eq!(lab.get("cache.example", target).await.status, 404, "{target}");
    }
    assert_eq!(ask(&lab, "GET", "/v2/", &[]).await.status, 404);
    assert_eq!(ask(&lab, "POST", "/metrics", &[]).await.status, 405);
    assert_eq!(ask(&lab, "GET", "/metrics", &[("transfer-encoding", "chunked")]).await.status, 400);
    let head = ask(&lab, "HEAD", "/metrics", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(head.header("content-length").unwrap().parse::<u64>().unwrap() > 0);
}

async fn ask_as(lab: &AdminLab, host: &str, headers: &[(&str, &str)]) -> u16 {
    lab.ask_as(host, "GET", "/metrics", headers).await.status
}

#[tokio::test]
async fn t15_the_numbers_are_told_at_addresses_and_listed_names_only() {
    let hosts = vec!["wharf.internal".to_owned()];
    let lab = AdminLab::start(Settings { hosts, ..settings(None) }).await;
    for host in ["127.0.0.1:5001", "localhost", "[::1]:5001", "WHARF.internal:5001"] {
        assert_eq!(ask_as(&lab, host, &[]).await, 200, "{host}");
    }
    for host in ["attacker.example:5001", "wharf", "localhost.attacker.example"] {
        assert_eq!(ask_as(&lab, host, &[]).await, 403, "{host}");
        assert_eq!(lab.ask_as(host, "GET", "/livez", &[]).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn t15_the_token_replaces_a_listed_name() {
    let lab = lab_with_admin(Some("s3cret")).await;
    assert_eq!(ask_as(&lab, "wharf.tools.svc", &[("authorization", "Bearer s3cret")]).await, 200);
    assert_eq!(ask_as(&lab, "wharf.tools.svc", &[("authorization", "Bearer wrong")]).await, 403);
    assert_eq!(ask_as(&lab, "wharf.tools.svc", &[]).await, 403);
}

#[tokio::test]
async fn t15_people_may_look_with_a_browser_and_other_pages_may_not() {
    let lab = lab_with_admin(None).await;
    let typed = [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(ask_as(&lab, "localhost", &typed).await, 200);
    assert_eq!(ask_as(&lab, "localhost", &[("sec-fetch-site", "same-origin")]).await, 200);
    for field in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://attacker.example"),
        ("origin", "null"),
    ] {
        assert_eq!(ask_as(&lab, "localhost", &[field]).await, 403, "{field:?}");
    }
    let two = [("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")];
    assert_eq!(ask_as(&lab, "localhost", &two).await, 403);
}

#[tokio::test]
async fn newcomer_9_the_root_lists_what_there_is() {
    let lab = lab_with_admin(None).await;
    let root = ask(&lab, "GET", "/", &[]).await;
    assert_eq!(root.status, 200);
    assert!(root.text().starts_with("This is the admin listener of wharf "), "{}", root.text());
    let missing = ask(&lab, "GET", "/metric", &[]).await;
    assert_eq!(missing.status, 404);
    assert!(missing.text().starts_with("there is nothing at `/metric`"), "{}", missing.text());
    for text in [root.text(), missing.text()] {
        let paths: Vec<&str> = text.lines().filter(|line| line.starts_with('/')).collect();
        assert_eq!(paths.len(), 12, "{text}");
        for line in paths {
            let path = line.split(' ').next().unwrap();
            // These have to be told which images.
            let status = if ["/api/image", "/api/export"].contains(&path) { 400 } else { 200 };
            assert_eq!(ask(&lab, "GET", path, &[]).await.status, status, "{path}");
        }
    }
}

#[tokio::test]
async fn a_405_lists_the_methods_of_the_path() {
    let lab = lab_with_admin(None).await;
    for (method, target, allow) in [
        ("POST", "/metrics", "GET,HEAD"),
        ("DELETE", "/api/registries", "GET,HEAD"),
        ("POST", "/livez", "GET,HEAD"),
        ("OPTIONS", "/", "GET,HEAD"),
        ("GET", "/api/reload", "POST"),
    ] {
        let answer = ask(&lab, method, target, &[]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {target}");
        assert!(!answer.text().is_empty() && answer.text().ends_with('\n'), "{method} {target}");
    }
    assert_eq!(ask(&lab, "POST", "/nothing", &[]).await.status, 404);
}

#[tokio::test]
async fn t15_no_answer_gives_a_page_leave_to_read_it() {
    let lab = lab_with_admin(None).await;
    let page = ("origin", "http://attacker.example");
    let preflight = ("access-control-request-method", "POST");
    for (method, target, headers) in [
        ("GET", "/livez", &[page][..]),
        ("GET", "/metrics", &[page]),
        ("OPTIONS", "/api/reload", &[page, preflight]),
        ("POST", "/api/reload", &[page]),
        ("GET", "/metrics", &[]),
    ] {
        let answer = ask(&lab, method, target, headers).await;
        for name in ["access-control-allow-origin", "access-control-allow-credentials", "set-cookie"] {
            assert_eq!(answer.header(name), None, "{method} {target}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {target}");
        let is_read = target == "/livez" || headers.is_empty();
        assert_eq!(answer.status, if is_read { 200 } else { 403 }, "{method} {target}");
    }
}

#[tokio::test]
async fn the_description_of_the_api_has_every_endpoint_of_the_list() {
    let lab = lab_with_admin(None).await;
    let answer = ask(&lab, "GET", "/api/openapi.json", &[]).await;
    let document: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    let root = ask(&lab, "GET", "/", &[]).await.text();
    let described: usize =
        document["paths"].as_object().unwrap().values().map(|it| it.as_object().unwrap().len()).sum();
    let is_endpoint = |line: &&str| line.contains("  ") && line.contains('/');
    let mut count = 0;
    for line in root.lines().filter(is_endpoint) {
        let name = line.split("  ").next().unwrap();
        let (method, path) = name.split_once(' ').unwrap_or(("GET", name));
        let operation = &document["paths"][path][method.to_ascii_lowercase()];
        assert!(operation["summary"].is_string(), "{line}");
        count += 1;
    }
    assert_eq!((count, described), (26, 26));
}
