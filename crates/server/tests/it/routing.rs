//! Every form that names a registry, and the refusals of all others.

use testkit::{Fault, Image, Kind, Rule, within};

use crate::lab::{HUB, Lab, QUAY};

/// A lab whose registries have different content under the same name.
async fn two_registries() -> Lab {
    let lab = Lab::start().await;
    lab.hub.put_image("library/busybox", "1", &Image::small("hub"));
    lab.quay.put_image("library/busybox", "1", &Image::small("quay"));
    lab
}

fn hub_digest() -> String {
    Image::small("hub").digest().to_owned()
}

fn quay_digest() -> String {
    Image::small("quay").digest().to_owned()
}

async fn check(lab: &Lab, host: &str, target: &str, digest: &str) {
    let answer = lab.get(host, target).await;
    let said = answer.text();
    assert_eq!(answer.status, 200, "{host} {target}: {said}");
    assert_eq!(answer.header("docker-content-digest"), Some(digest), "{host} {target}");
    assert_eq!(testkit::digest_of(&answer.body), digest, "{host} {target}");
}

#[tokio::test]
async fn every_form_reaches_its_registry() {
    let lab = two_registries().await;
    let path = "/v2/library/busybox/manifests/1";
    let rows: [(&str, &str, String); 17] = [
        (HUB, path, hub_digest()),
        ("docker.io.cache.example", path, hub_digest()),
        ("DOCKER.IO.Cache.Example:80", path, hub_digest()),
        ("docker.io.cache.example.", path, hub_digest()),
        ("docker-io.cache.example", path, hub_digest()),
        (QUAY, path, quay_digest()),
        ("quay-io.cache.example:443", path, quay_digest()),
        (HUB, "/v2/library/busybox/manifests/1?ns=docker.io", hub_digest()),
        (HUB, "/v2/library/busybox/manifests/1?ns=registry-1.docker.io", hub_digest()),
        ("10.0.0.5:5000", "/v2/library/busybox/manifests/1?ns=docker.io", hub_digest()),
        ("cache.example:5000", "/v2/library/busybox/manifests/1?ns=quay.io", quay_digest()),
        ("[::1]:5000", "/v2/library/busybox/manifests/1?ns=index.docker.io", hub_digest()),
        ("cache.example", "/quay.io/v2/library/busybox/manifests/1", quay_digest()),
        ("cache.example", "/v2/docker.io/library/busybox/manifests/1", hub_digest()),
        ("cache.example", "/v2/quay.io/v2/library/busybox/manifests/1", quay_digest()),
        ("cache.example", "/quay.io/library/busybox/manifests/1", quay_digest()),
        ("cache.example", "/v2/docker.io/library/busybox/manifests/1?ns=docker.io", hub_digest()),
    ];
    for (host, target, digest) in &rows {
        check(&lab, host, target, digest).await;
    }
}

#[tokio::test]
async fn official_images_of_docker_hub_need_no_library_prefix() {
    let lab = two_registries().await;
    check(&lab, HUB, "/v2/busybox/manifests/1", &hub_digest()).await;
    check(&lab, "cache.example", "/v2/docker.io/busybox/manifests/1", &hub_digest()).await;
    assert_eq!(lab.get(QUAY, "/v2/busybox/manifests/1").await.status, 404);
    let asked = lab.hub.requests();
    assert!(asked.iter().filter_map(|it| it.repository.as_deref()).all(|name| name == "library/busybox"));
}

#[tokio::test]
async fn without_a_domain_a_host_that_begins_with_the_registry_name_is_routed() {
    let lab = Lab::start_with(|plan| plan.domain = None).await;
    lab.hub.put_image("library/busybox", "1", &Image::small("hub"));
    for host in ["docker.io.10.0.0.5.nip.io:5000", "docker.io.localhost", "docker-io.localhost"] {
        check(&lab, host, "/v2/library/busybox/manifests/1", &hub_digest()).await;
    }
}

#[tokio::test]
async fn a_default_registry_serves_hosts_without_a_name() {
    let lab = Lab::start_with(|plan| plan.default_registry = Some("docker.io")).await;
    lab.hub.put_image("library/busybox", "1", &Image::small("hub"));
    check(&lab, "10.0.0.5:5000", "/v2/library/busybox/manifests/1", &hub_digest()).await;
    check(&lab, "", "/v2/library/busybox/manifests/1", &hub_digest()).await;
}

#[tokio::test]
async fn what_disagrees_or_names_nothing_is_refused_without_asking_anyone() {
    let lab = two_registries().await;
    let rows = [
        ("nonsense.cache.example", "/v2/library/busybox/manifests/1"),
        ("nonsense.cache.example", "/v2/"),
        ("cache.example", "/v2/library/busybox/manifests/1"),
        ("cache.example", "/v2/library/busybox/manifests/1?ns=ghcr.io"),
        (HUB, "/v2/library/busybox/manifests/1?ns=quay.io"),
        (HUB, "/quay.io/v2/library/busybox/manifests/1"),
        ("cache.example", "/quay.io/v2/library/busybox/manifests/1?ns=docker.io"),
        ("cache.example", "/favicon.ico"),
        ("cache.example", "/metrics/"),
        ("cache.example", "/v1/"),
    ];
    for (host, target) in rows {
        let answer = lab.get(host, target).await;
        assert_eq!(answer.status, 404, "{host} {target}");
        assert!(answer.text().contains("NAME_UNKNOWN"), "{host} {target}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert_eq!(lab.upstream_requests(), 0);
}

#[tokio::test]
async fn k19_a_repository_may_begin_with_the_name_of_another_registry() {
    let lab = two_registries().await;
    let image = Image::small("a project that caches");
    lab.quay.put_image("docker.io/library/nginx", "latest", &image);
    let target = "/v2/docker.io/library/nginx/manifests/latest";
    let rows = [
        (QUAY, target.to_owned()),
        ("quay.io", target.to_owned()),
        ("cache.example", format!("{target}?ns=quay.io")),
        ("cache.example", target.replace("/v2/", "/v2/quay.io/")),
    ];
    for (host, target) in &rows {
        check(&lab, host, target, image.digest()).await;
    }
    assert_eq!(lab.hub.requests().len(), 0);
}

#[tokio::test]
async fn t15_unknown_host_names_are_refused_if_a_domain_is_set() {
    let lab = two_registries().await;
    for host in ["attacker.example", "attacker.example:5000", "docker.io.10.0.0.5.nip.io"] {
        for target in [
            "/v2/",
            "/v2/_catalog",
            "/v2/docker.io/library/busybox/manifests/1",
            "/v2/library/busybox/manifests/1?ns=docker.io",
        ] {
            let answer = lab.get(host, target).await;
            assert_eq!(answer.status, 404, "{host} {target}");
            assert!(answer.text().contains(&format!("`{host}`")), "{}", answer.text());
        }
        assert_eq!(lab.get(host, "/livez").await.status, 200, "{host}");
    }
    assert_eq!(lab.upstream_requests(), 0);
}

#[tokio::test]
async fn t15_requests_of_web_pages_are_refused() {
    let lab = two_registries().await;
    let target = "/v2/library/busybox/manifests/1";
    for field in [
        ("origin", "http://attacker.example"),
        ("origin", "null"),
        ("sec-fetch-site", "none"),
        ("Sec-Fetch-Site", "same-origin"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-dest", "image"),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = lab.ask(method, HUB, target, &[field]).await;
            assert_eq!(answer.status, 403, "{method} {field:?}");
        }
        let answer = lab.ask("GET", HUB, target, &[field]).await;
        assert!(answer.text().contains("browser"), "{}", answer.text());
        assert_eq!(lab.ask("GET", HUB, "/livez", &[field]).await.status, 200, "{field:?}");
    }
    assert_eq!(lab.upstream_requests(), 0);
    let text = lab.metrics.encode();
    assert!(text.contains("wharf_unrouted_requests_total{reason=\"browser\",status=\"403\"} 18"), "{text}");
}

#[tokio::test]
async fn client_f6_a_head_that_is_denied_says_why_in_a_warning() {
    let lab = Lab::start().await;
    for kind in [Kind::HeadManifest, Kind::GetManifest] {
        lab.hub.script(Rule::new(kind, Fault::Status(401)));
    }
    let answer = lab.ask("HEAD", HUB, "/v2/team/new/manifests/1", &[]).await;
    assert_eq!(answer.status, 403);
    let warning = answer.header("warning").unwrap();
    assert!(warning.starts_with("299 - \"docker.io/team/new:1: "), "{warning}");
    assert!(warning.contains("no login for docker.io") && warning.contains("pull-only"), "{warning}");
    let unknown = lab.ask("HEAD", "cache.example", "/v2/a/manifests/1?ns=nvcr.io", &[]).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.header("warning").unwrap().contains("`nvcr.io`"), "{unknown:?}");
}

#[tokio::test]
async fn a_refusal_of_the_default_registry_has_a_hint() {
    let lab = Lab::start_with(|plan| plan.default_registry = Some("docker.io")).await;
    let missed = lab.get("10.0.0.5", "/v2/nvcr.io/nvidia/cuda/manifests/1").await;
    assert_eq!(missed.status, 404);
    assert!(missed.text().contains("add [[registry]] name = 'nvcr.io'"), "{}", missed.text());
    let named = lab.get(HUB, "/v2/nvcr.io/nvidia/cuda/manifests/1").await;
    assert!(!named.text().contains("[[registry]]"), "{}", named.text());
}

#[tokio::test]
async fn the_version_check_sends_no_upstream_request() {
    let lab = Lab::start().await;
    let rows = [
        (HUB, "/v2/"),
        (HUB, "/v2"),
        ("cache.example:5000", "/v2/"),
        ("127.0.0.1", "/v2/"),
        ("localhost:5000", "/v2/"),
        ("cache.example", "/quay.io/v2/"),
        ("cache.example", "/v2/?ns=quay.io"),
    ];
    for (host, target) in rows {
        for method in ["GET", "HEAD"] {
            let answer = lab.ask(method, host, target, &[]).await;
            assert_eq!(answer.status, 200, "{method} {host} {target}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("content-length"), Some("2"));
            assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
            assert_eq!(answer.text(), if method == "GET" { "{}" } else { "" });
        }
    }
    assert_eq!(lab.upstream_requests(), 0);
}

#[tokio::test]
async fn an_http_1_0_client_without_a_host_can_name_the_registry_in_the_target() {
    let lab = two_registries().await;
    for target in ["/v2/library/busybox/manifests/1?ns=quay.io", "/quay.io/v2/library/busybox/manifests/1"] {
        let request = format!("GET {target} HTTP/1.0\r\n\r\n");
        let answer = lab.send_raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        assert!(answer.contains(&quay_digest()), "{answer}");
    }
}

#[tokio::test]
async fn an_absolute_target_that_agrees_with_the_host_is_served() {
    let lab = two_registries().await;
    let mut connection = lab.connect().await;
    let target = format!("http://{QUAY}/v2/library/busybox/manifests/1");
    connection.request("GET", QUAY, &target, &[]).await.unwrap();
    let answer = within("the answer", connection.read_response("GET")).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("docker-content-digest"), Some(quay_digest().as_str()));
}

#[tokio::test]
async fn newcomer_9_the_root_and_the_metrics_path_say_where_things_are() {
    for default in [None, Some("docker.io")] {
        let lab = Lab::start_with(|plan| (plan.domain, plan.default_registry) = (None, default)).await;
        for host in ["127.0.0.1:5000", "docker.io.localhost", "other.example", "nvcr.io.10.0.0.5.nip.io"] {
            for browser in [&[][..], &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")]] {
                let root = lab.ask("GET", host, "/", browser).await;
                assert_eq!(root.status, 200, "{host}: {}", root.text());
                assert_eq!(root.header("content-type"), Some("text/plain; charset=utf-8"));
                for word in [
                    "wharf",
                    "pull-through cache",
                    "/v2/",
                    "admin listener",
                    "`admin on` in wharf's first log lines",
                ] {
                    assert!(root.text().contains(word), "{word}: {}", root.text());
                }
                // A 404, so that no scraper takes it for metrics.
                let metrics = lab.ask("GET", host, "/metrics", browser).await;
                assert_eq!(metrics.status, 404, "{host}");
                assert_eq!(metrics.header("content-type"), Some("text/plain; charset=utf-8"));
                let admin = "admin listener: see `admin on` in wharf's first log lines";
                assert!(metrics.text().contains(admin), "{}", metrics.text());
                for (target, expected) in [
                    ("/health", "/livez"),
                    ("/healthz", "/readyz"),
                    ("/v1/search?q=alpine", "wharf cannot search"),
                ] {
                    let answer = lab.ask("GET", host, target, browser).await;
                    assert_eq!((answer.status, answer.text().contains(expected)), (404, true), "{target}");
                }
            }
        }
        let head = lab.ask("HEAD", "127.0.0.1", "/", &[]).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(lab.ask("POST", "127.0.0.1", "/", &[]).await.status, 405);
        // All other paths belong to registries and are closed to web pages.
        assert_eq!(lab.ask("GET", "127.0.0.1", "/v2/", &[("sec-fetch-site", "none")]).await.status, 403);
        assert_eq!(lab.upstream_requests(), 0);
    }
}
