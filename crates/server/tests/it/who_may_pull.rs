//! Rules of access: challenges, refusals, and the identity of clients.

use std::collections::HashMap;
use std::sync::Arc;

use access::{Access, AccessTable, Logins, Tokens, Users};
use policy::access::{ClientRule, NamePattern, Repositories, Require, Rules, Ways};
use server::TlsSettings;
use testkit::client::{Connection, Response};
use testkit::{Authority, Certificate, Identity, Image, within};

use crate::lab::{HUB, Lab, QUAY, certificates, loopback};

/// Written by `htpasswd -nbB -C 4`; the password of both is "right".
const USERS: &str = "alice:$2y$04$hv89WSqKZ1HPS2ACHu72b.UvT9CbkBq9zaLWvVVBObAx.NobWWzkC\nci-1:$2y$04$pdhbwsytKf.UpvBH9WcWZe5xd0UcW36NCCuQba6xXCRtdD3eyVJ6e\n";

const TOKENS: &str = "deploy:0123456789abcdef0123456789abcdef\n";

/// `alice:right`, `alice:wrong`, `ci-1:right`, and what podman sends without a login.
const ALICE: (&str, &str) = ("authorization", "Basic YWxpY2U6cmlnaHQ=");
const WRONG: (&str, &str) = ("authorization", "Basic YWxpY2U6d3Jvbmc=");
const CI: (&str, &str) = ("authorization", "Basic Y2ktMTpyaWdodA==");
const EMPTY: (&str, &str) = ("authorization", "Basic Og==");
const DEPLOY: (&str, &str) = ("authorization", "Bearer 0123456789abcdef0123456789abcdef");

const MANIFEST: &str = "/v2/org/app/manifests/1";

/// Rules with logins for Quay.
fn logins() -> Rules {
    Rules {
        registry: "quay.io".to_owned(),
        section: "[registry.access] of quay.io".to_owned(),
        ways: Ways { logins: true, ..Ways::default() },
        ..Rules::default()
    }
}

fn table(rules: Rules) -> AccessTable {
    let files = Logins::new(Some(Users::parse(USERS).unwrap()), Some(Tokens::parse(TOKENS).unwrap()));
    let logins = rules.ways.logins.then(|| Arc::new(files));
    let access = Arc::new(Access { rules, logins });
    AccessTable { registries: HashMap::from([("quay.io".to_owned(), access)]), ..AccessTable::default() }
}

/// A lab with an image in three repositories of Quay and in one of Docker Hub.
async fn lab(table: AccessTable) -> Lab {
    let lab = Lab::start_with(|plan| plan.access = Some(Arc::new(table))).await;
    for repository in ["org/app", "org/secret", "team/app"] {
        lab.quay.put_image(repository, "1", &Image::small(repository));
    }
    lab.hub.put_image("org/app", "1", &Image::small("hub"));
    lab
}

fn repositories(allow: Option<&[&str]>, deny: &[&str]) -> Repositories {
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Repositories { allow: allow.map(parse), deny: parse(deny) }
}

fn message(answer: &Response) -> String {
    let document: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    let error = &document["errors"][0];
    format!("{} {}", error["code"].as_str().unwrap(), error["message"].as_str().unwrap())
}

fn asserts_challenge(answer: &Response) {
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"wharf\""));
}

/// Requests of every kind, for Quay.
fn targets() -> Vec<String> {
    let digest = format!("sha256:{}", "a".repeat(64));
    [
        "/v2/",
        "/v2/org/app/manifests/1",
        &format!("/v2/org/app/manifests/{digest}"),
        &format!("/v2/org/app/blobs/{digest}"),
        "/v2/org/app/tags/list",
        &format!("/v2/org/app/referrers/{digest}"),
        "/v2/_catalog",
        // No path tells a client without a login what it would be.
        "/v2/org/app/unknown",
        "/v2/ORG/app/manifests/1",
    ]
    .map(str::to_owned)
    .into()
}

#[tokio::test]
async fn every_path_of_a_registry_with_logins_challenges_and_asks_no_upstream() {
    let lab = lab(table(logins())).await;
    for target in targets() {
        let own = target.replacen("/v2/", "/quay.io/v2/", 1);
        let by_query = format!("{target}?ns=quay.io");
        for (host, target) in [(QUAY, &target), ("cache.example", &own), ("cache.example", &by_query)] {
            for headers in [&[][..], &[EMPTY], &[WRONG], &[ALICE, ALICE], &[ALICE, WRONG]] {
                for method in ["GET", "HEAD"] {
                    let answer = lab.ask(method, host, target, headers).await;
                    asserts_challenge(&answer);
                    if method == "GET" {
                        assert!(message(&answer).starts_with("UNAUTHORIZED "), "{}", message(&answer));
                    }
                }
            }
        }
    }
    assert_eq!(lab.upstream_requests(), 0);
    let metrics = lab.metrics.encode();
    assert!(metrics.contains("wharf_access_refused_total{reason=\"no_login\"}"), "{metrics}");
    // Another registry stays open.
    assert_eq!(lab.get(HUB, MANIFEST).await.status, 200);
}

#[tokio::test]
async fn a_right_login_reads_and_its_secret_goes_nowhere() {
    let lab = lab(table(logins())).await;
    for login in [ALICE, DEPLOY, CI] {
        for (host, target) in [(QUAY, MANIFEST), ("cache.example", "/v2/quay.io/org/app/manifests/1")] {
            assert_eq!(lab.ask("GET", host, target, &[login]).await.status, 200, "{login:?} {target}");
        }
        assert_eq!(lab.ask("GET", QUAY, "/v2/", &[login]).await.status, 200);
        assert_eq!(lab.ask("GET", QUAY, "/v2/org/app/unknown", &[login]).await.status, 404);
    }
    for request in lab.quay.requests() {
        let sent = format!("{request:?}");
        for (_, secret) in [ALICE, DEPLOY, CI] {
            assert!(!sent.contains(secret.split_once(' ').unwrap().1), "{sent}");
        }
    }
}

#[tokio::test]
async fn the_version_of_no_registry_challenges_if_any_registry_does_and_takes_any_right_login() {
    let lab = lab(table(logins())).await;
    for headers in [&[][..], &[WRONG], &[EMPTY]] {
        asserts_challenge(&lab.ask("GET", "cache.example", "/v2/", headers).await);
    }
    assert_eq!(lab.ask("GET", "cache.example", "/v2/", &[ALICE]).await.status, 200);
    // Health checks and the page for people need no login.
    for target in ["/livez", "/readyz", "/"] {
        assert_eq!(lab.get("cache.example", target).await.status, 200, "{target}");
    }
}

#[tokio::test]
async fn a_denial_is_a_403_that_names_the_rule_for_every_kind_of_request() {
    let own = repositories(Some(&["org/*"]), &["org/secret"]);
    let lab = lab(table(Rules { repositories: own, ..logins() })).await;
    let image = Image::small("org/secret");
    let blob = image.blobs().next().unwrap().hex().to_owned();
    for (repository, rule) in [
        ("org/secret", "deny = \"org/secret\" of [registry.access] of quay.io"),
        ("team/app", "allow of [registry.access] of quay.io"),
    ] {
        for rest in [
            "manifests/1".to_owned(),
            format!("manifests/{}", image.digest()),
            format!("blobs/sha256:{blob}"),
            "tags/list".to_owned(),
            format!("referrers/{}", image.digest()),
        ] {
            let answer = lab.ask("GET", QUAY, &format!("/v2/{repository}/{rest}"), &[ALICE]).await;
            assert_eq!(answer.status, 403, "{repository} {rest}");
            assert_eq!(answer.header("www-authenticate"), None);
            let message = message(&answer);
            assert!(message.starts_with("DENIED "), "{message}");
            assert!(message.contains(rule) && message.contains(repository), "{message}");
        }
    }
    assert_eq!(lab.upstream_requests(), 0);
    assert_eq!(lab.ask("GET", QUAY, MANIFEST, &[ALICE]).await.status, 200);
}

#[tokio::test]
async fn a_catalog_names_no_repository_that_its_reader_may_not_read() {
    let client = ClientRule {
        users: vec![NamePattern::parse("ci-*").unwrap()],
        repositories: repositories(Some(&["team/*"]), &[]),
        ..ClientRule::default()
    };
    let lab = lab(table(Rules { clients: vec![client], ..logins() })).await;
    let pull = async |repository: &str| {
        let target = format!("/v2/{repository}/manifests/1");
        assert_eq!(lab.ask("GET", QUAY, &target, &[ALICE]).await.status, 200);
    };
    for repository in ["org/app", "org/secret", "team/app"] {
        pull(repository).await;
    }
    for n in ["", "?n=1", "?n=2"] {
        let target = format!("/v2/_catalog{n}");
        let all = lab.ask("GET", QUAY, &target, &[ALICE]).await;
        assert!(all.text().contains("org/app"), "{}", all.text());
        let own = lab.ask("GET", QUAY, &target, &[CI]).await;
        assert_eq!(own.text(), "{\"repositories\":[\"team/app\"]}");
        assert!(!own.header("link").unwrap_or_default().contains("org"), "{:?}", own.header("link"));
    }
    // However many names are hidden, a page is no longer than the client asked for.
    lab.quay.put_image("team/web", "1", &Image::small("web"));
    pull("team/web").await;
    for (query, expected) in [("n=1", "team/app"), ("n=1&last=team/app", "team/web")] {
        let own = lab.ask("GET", QUAY, &format!("/v2/_catalog?{query}"), &[CI]).await;
        assert_eq!(own.text(), format!("{{\"repositories\":[\"{expected}\"]}}"), "{query}");
        let link = "</v2/_catalog?n=1&last=team/app>; rel=\"next\"";
        assert_eq!(own.header("link"), (expected == "team/app").then_some(link));
    }
    assert_eq!(lab.ask("GET", QUAY, "/v2/_catalog?n=0", &[CI]).await.text(), "{\"repositories\":[]}");
}

#[tokio::test]
async fn a_client_that_came_in_by_its_address_is_told_what_is_wrong_with_its_login() {
    let client = ClientRule {
        users: vec![NamePattern::parse("ci-*").unwrap()],
        repositories: repositories(Some(&["org/*"]), &[]),
        ..ClientRule::default()
    };
    let ways =
        Ways { addresses: Some(vec!["127.0.0.0/8".parse().unwrap()]), logins: true, ..Ways::default() };
    let own = repositories(Some(&["team/*"]), &["org/secret"]);
    let lab = lab(table(Rules { ways, repositories: own, clients: vec![client], ..logins() })).await;
    let secret = "/v2/org/secret/manifests/1";
    for (target, header, expected) in [
        ("/v2/team/app/manifests/1", WRONG, 200),
        // podman sends this without a login.
        (MANIFEST, EMPTY, 401),
        (MANIFEST, CI, 200),
        (MANIFEST, WRONG, 401),
        (MANIFEST, ALICE, 403),
        // No login opens these.
        ("/v2/other/app/manifests/1", WRONG, 403),
        (secret, WRONG, 403),
        (secret, CI, 403),
    ] {
        let answer = lab.ask("GET", QUAY, target, &[header]).await;
        assert_eq!(answer.status, expected, "{target} {header:?} {}", answer.text());
        assert_eq!(answer.header("www-authenticate").is_some(), expected == 401);
    }
}

#[tokio::test]
async fn addresses_are_those_that_trusted_proxies_tell() {
    let ways = |require| Ways {
        addresses: Some(vec!["198.51.100.0/24".parse().unwrap()]),
        logins: true,
        require,
        ..Ways::default()
    };
    let from = |address| ("x-forwarded-for", address);
    let (near, far) = ("10.1.1.1, 198.51.100.7", "198.51.100.7, 203.0.113.1");
    for (require, headers, expected) in [
        (Require::Any, vec![from(near)], 200),
        (Require::Any, vec![from(near), WRONG], 200),
        (Require::Any, vec![from(far)], 401),
        (Require::Any, vec![from(far), ALICE], 200),
        (Require::Any, vec![], 401),
        (Require::Any, vec![from(far), from(near), ("forwarded", "for=203.0.113.1")], 401),
        (Require::All, vec![from(near)], 401),
        (Require::All, vec![from(near), ALICE], 200),
        (Require::All, vec![from(far), ALICE], 403),
        (Require::All, vec![ALICE], 403),
    ] {
        let rules = Rules { ways: ways(require), ..logins() };
        let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        let lab = lab(AccessTable { trusted_proxies, ..table(rules) }).await;
        let answer = lab.ask("GET", QUAY, MANIFEST, &headers).await;
        assert_eq!(answer.status, expected, "{require:?} {headers:?} {}", answer.text());
    }
    // Without a trusted proxy the header is a client's claim.
    let lab = lab(table(Rules { ways: ways(Require::Any), ..logins() })).await;
    assert_eq!(lab.ask("GET", QUAY, MANIFEST, &[from(near)]).await.status, 401);
}

#[tokio::test]
async fn s27_guesses_are_paced_with_a_time_to_wait_while_a_known_login_goes_on() {
    let lab = lab(table(logins())).await;
    assert_eq!(lab.ask("GET", QUAY, MANIFEST, &[ALICE]).await.status, 200);
    let mut statuses = Vec::new();
    for guess in 0..policy::access::BURST_COUNT + 5 {
        // Each of them decodes as another user.
        let header = format!(
            "Basic {}OmFh",
            ["YWFh", "YWFi", "YWFj", "YWFk"]
                .concat()
                .chars()
                .cycle()
                .skip(guess as usize % 4 * 4)
                .take(4 + guess as usize / 4 * 4)
                .collect::<String>()
        );
        let answer = lab.ask("GET", QUAY, MANIFEST, &[("authorization", &header)]).await;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(answer.header("www-authenticate"), None);
        }
        statuses.push(answer.status);
    }
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(lab.ask("GET", QUAY, MANIFEST, &[ALICE]).await.status, 200);
}

/// The status of a pull over TLS, with this certificate and this header; `None` if the handshake fails.
async fn status_over_tls(
    lab: &Lab,
    authority: &Authority,
    identity: Option<&Identity>,
    header: Option<(&str, &str)>,
) -> Option<u16> {
    let (address, pem) = (lab.tls.unwrap(), authority.pem());
    let pull = async {
        let mut connection = match identity {
            Some(identity) => Connection::open_mutual_tls(address, "localhost", &pem, identity).await.ok()?,
            None => Connection::open_tls(address, "localhost", &pem).await.ok()?,
        };
        let headers: Vec<_> = header.into_iter().collect();
        connection.request("GET", "localhost", &format!("/quay.io{MANIFEST}"), &headers).await.ok()?;
        connection.read_response("GET").await.ok().map(|answer| answer.status)
    };
    within("an answer", pull).await
}

#[tokio::test]
async fn the_names_in_a_clients_certificate_open_what_the_rules_say() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let own = authority.client_identity();
    let foreign = stranger.client_identity();
    let patterns = |name: &str| Some(vec![NamePattern::parse(name).unwrap()]);
    let denied = ClientRule {
        certificates: patterns("testkit").unwrap(),
        repositories: repositories(None, &["org/*"]),
        ..ClientRule::default()
    };
    let ways =
        |name, logins, require| Ways { certificates: patterns(name), logins, require, ..Ways::default() };
    for (ways, clients, expected) in [
        // With the certificate; without it; with a login alone; with both.
        (ways("testkit", false, Require::Any), vec![], [200, 403, 403, 200]),
        (ways("local*", false, Require::Any), vec![], [200, 403, 403, 200]),
        (ways("other", false, Require::Any), vec![], [403, 403, 403, 403]),
        (ways("testkit", true, Require::Any), vec![], [200, 401, 200, 200]),
        (ways("testkit", true, Require::All), vec![], [401, 403, 403, 200]),
        (ways("*", false, Require::Any), vec![denied], [403, 403, 403, 403]),
    ] {
        let rules = Rules { ways, clients, ..logins() };
        let shown = authority.server_identity(Certificate::Valid);
        let mut tls = TlsSettings::new(vec![loopback()], certificates(&[shown]));
        tls.client_verifier = Some(::certificates::client::verifier(authority.pem().as_bytes()).unwrap());
        let lab = Lab::start_with(|plan| {
            plan.access = Some(Arc::new(table(rules.clone())));
            plan.settings.tls = Some(tls);
        })
        .await;
        lab.quay.put_image("org/app", "1", &Image::small("app"));
        let mut found = Vec::new();
        for (identity, header) in
            [(Some(&own), None), (None, None), (None, Some(ALICE)), (Some(&own), Some(ALICE))]
        {
            found.push(status_over_tls(&lab, &authority, identity, header).await.unwrap());
        }
        assert_eq!(found, expected, "{rules:?}");
        let refused = status_over_tls(&lab, &authority, Some(&foreign), Some(ALICE)).await;
        assert_eq!(refused, None, "a certificate of another authority ends the handshake");
    }
}
