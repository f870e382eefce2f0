//! The effect of each answer of an upstream: tests of the table in `docs/reference/upstream-answers.md`.

use bytes::Bytes;
use testkit::{
    Auth, Behaviour, Endpoint, FakeRegistry, Fault, Image, Kind, Program, Rule, TempStore, client,
};

use crate::upstream::{WHARF, blob};

/// The request of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Tag,
    Digest,
    Blob,
    Tags,
}

/// The answer of the upstream that the row replaces; all others are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// HEAD and GET.
    Both,
    Head,
    Get,
    /// GET by digest of the manifest that a tag names.
    GetByDigest,
    /// The token service.
    Token,
    /// The target of redirects of blobs.
    Redirected,
}

struct Row {
    asked: Asked,
    place: Where,
    what: &'static str,
    fault: fn() -> Fault,
    /// The answers for content that is not stored, and for stored content.
    expected: [&'static str; 2],
}

fn answer(code: u16, content_type: &str, body: &'static str) -> Fault {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    Fault::StatusWith { code, headers, body: Bytes::from_static(body.as_bytes()) }
}

/// The header that registries send; and proxies, which copy it.
const VERSION: (&str, &str) = ("docker-distribution-api-version", "registry/2.0");

fn answer_with(code: u16, headers: &[(&str, &str)], body: &'static str) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::StatusWith { code, headers, body: Bytes::from_static(body.as_bytes()) }
}

/// A 404 in the registry's form whose body ends too early.
fn cut_off() -> Fault {
    let head =
        "HTTP/1.1 404 Not Found\r\ndocker-distribution-api-version: registry/2.0\r\ncontent-length: 100";
    Fault::Raw(format!("{head}\r\n\r\n{{\"errors\":[{{").into())
}

const PAGE: &str = "<html><body>default backend</body></html>";
const SOMETHING_ELSE: &str = "200, JSON that is something else";
const MESSAGE: &str = r#"{"message": "Unauthorized"}"#;

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for asked in [Asked::Tag, Asked::Digest, Asked::Blob, Asked::Tags] {
        rows.extend(refusals(asked));
    }
    rows.extend(oddities());
    rows.extend(elsewhere());
    rows
}

/// In a registry without a login, content stored under a digest is served without a request to the upstream.
fn refusals(asked: Asked) -> Vec<Row> {
    let is_asked = matches!(asked, Asked::Tag | Asked::Tags);
    let row = |what, fault, expected: [&'static str; 2]| {
        let held = if is_asked { expected[1] } else { "200" };
        Row { asked, place: Where::Both, what, fault, expected: [expected[0], held] }
    };
    let mut rows = vec![
        row("404 with an OCI error body", || Fault::Status(404), ["404", "404"]),
        row("404, `text/plain`", || answer(404, "text/plain", "404 page not found\n"), ["404", "stale"]),
        row("404, a page of HTML", || answer(404, "text/html", PAGE), ["404", "stale"]),
        row("404, JSON of a gateway", || answer(404, "application/json", MESSAGE), ["404", "stale"]),
        row(
            "404, a page of HTML without `Content-Type`",
            || answer_with(404, &[VERSION], PAGE),
            ["404", "stale"],
        ),
        row(
            "404, `text/plain`, with a registry's header",
            || answer_with(404, &[VERSION, ("content-type", "text/plain")], "404 page not found\n"),
            ["404", "stale"],
        ),
        row(
            "404 without a body, with a registry's header",
            || answer_with(404, &[VERSION], ""),
            ["404", "404"],
        ),
        row(
            "404 without a body, with an empty `Docker-Content-Digest` too",
            || answer_with(404, &[VERSION, ("docker-content-digest", "")], ""),
            ["404", "stale"],
        ),
        row("404 whose body breaks off", cut_off, ["404", "stale"]),
        row("410 without a body", || answer(410, "", ""), ["404", "stale"]),
        row("403 with an OCI error body", || Fault::Status(403), ["403", "403"]),
        row("403, a page of HTML", || answer(403, "text/html", PAGE), ["403", "stale"]),
        row("401, a page of HTML", || answer(401, "text/html", PAGE), ["403", "stale"]),
        row("500", || Fault::Status(500), ["502", "stale"]),
        row("503", || Fault::Status(503), ["502", "stale"]),
        row("418", || answer(418, "text/plain", "teapot"), ["502", "stale"]),
        row("the connection ends", || Fault::Close, ["502", "stale"]),
        row(SOMETHING_ELSE, || answer(200, "application/json", MESSAGE), ["502", "stale"]),
        row("200, a page of HTML", || Fault::HtmlPortal, ["502", "stale"]),
    ];
    if asked != Asked::Tags {
        rows.push(row("429", || Fault::Status(429), ["429", "stale"]));
    }
    rows
}

fn oddities() -> Vec<Row> {
    let row = |asked, place, what, fault| Row { asked, place, what, fault, expected: ["200", "200"] };
    let manifest = |place, what, fault| row(Asked::Tag, place, what, fault);
    vec![
        manifest(Where::Head, "404 to HEAD, 200 to GET", || Fault::Status(404)),
        manifest(Where::Head, "403 to HEAD, 200 to GET", || answer(403, "text/html", PAGE)),
        manifest(Where::Head, "405 to HEAD, 200 to GET", || Fault::Status(405)),
        manifest(Where::Head, "500 to HEAD, 200 to GET", || Fault::Status(500)),
        manifest(Where::Head, "HEAD with `Content-Length: 0`", || {
            Fault::Header("content-length", "0".to_owned())
        }),
        manifest(Where::Head, "HEAD without a length", || Fault::WithoutHeader("content-length")),
        manifest(Where::Head, "HEAD without a digest", || Fault::WithoutHeader("docker-content-digest")),
        manifest(Where::GetByDigest, "404 to the digest that the tag names", || Fault::Status(404)),
        manifest(Where::Both, "`Content-Type: text/plain`", || {
            Fault::Header("content-type", "text/plain".to_owned())
        }),
        manifest(Where::Both, "no `Content-Type`", || Fault::WithoutHeader("content-type")),
        manifest(Where::Both, "right bytes that are called `Content-Encoding: gzip`", || {
            Fault::Header("content-encoding", "gzip".to_owned())
        }),
        row(Asked::Blob, Where::Head, "404 to HEAD, 200 to GET", || Fault::Status(404)),
        row(Asked::Blob, Where::Head, "HEAD with `Content-Length: 0`", || {
            Fault::Header("content-length", "0".to_owned())
        }),
        row(Asked::Blob, Where::Get, "no length, in chunks", || Fault::Chunked),
        row(Asked::Blob, Where::Both, "right bytes that are called `Content-Encoding: gzip`", || {
            Fault::Header("content-encoding", "gzip".to_owned())
        }),
    ]
}

fn elsewhere() -> Vec<Row> {
    let row = |asked, place, what, fault, expected| Row { asked, place, what, fault, expected };
    vec![
        row(Asked::Tag, Where::Token, "403 with an OCI error body", || Fault::Status(403), ["403", "403"]),
        row(
            Asked::Tag,
            Where::Token,
            "403, a page of HTML",
            || answer(403, "text/html", PAGE),
            ["403", "stale"],
        ),
        row(
            Asked::Tag,
            Where::Token,
            "400 with JSON of its own",
            || answer(400, "application/json", r#"{"details":"invalid scope"}"#),
            ["403", "403"],
        ),
        row(
            Asked::Tag,
            Where::Token,
            "400, a page of HTML",
            || answer(400, "text/html", PAGE),
            ["403", "stale"],
        ),
        row(
            Asked::Tag,
            Where::Token,
            "403, a page of HTML without `Content-Type`",
            || answer_with(403, &[], PAGE),
            ["403", "stale"],
        ),
        row(Asked::Tag, Where::Token, "500", || Fault::Status(500), ["502", "stale"]),
        row(
            Asked::Blob,
            Where::Redirected,
            "404 of an object store",
            || answer(404, "application/xml", "<Error/>"),
            ["404", "200"],
        ),
        row(
            Asked::Blob,
            Where::Redirected,
            "403 of an object store",
            || answer(403, "application/xml", "<Error/>"),
            ["502", "200"],
        ),
    ]
}

impl Row {
    /// Replaces the right answers by the row's.
    fn spoil(&self, registry: &FakeRegistry, repository: &str, image: &Image) -> Vec<testkit::Scripted> {
        let (head, get) = match self.asked {
            Asked::Tag | Asked::Digest => (Kind::HeadManifest, Kind::GetManifest),
            Asked::Blob => (Kind::HeadBlob, Kind::GetBlob),
            Asked::Tags => (Kind::Tags, Kind::Tags),
        };
        let rule = |kind| Rule::new(kind, (self.fault)()).repository(repository);
        let rules = match self.place {
            Where::Both => vec![rule(head), rule(get)],
            Where::Head => vec![rule(head)],
            Where::Get => vec![rule(get)],
            Where::GetByDigest => vec![rule(get).reference(image.digest())],
            Where::Token => vec![Rule::new(Kind::Token, (self.fault)())],
            Where::Redirected => vec![rule(head).at(Endpoint::Cdn), rule(get).at(Endpoint::Cdn)],
        };
        rules.into_iter().map(|rule| registry.script(rule)).collect()
    }

    /// Whether such answers concern the registry, and not only the requested content.
    fn reaches_others(&self) -> bool {
        self.what == "429" || self.what.starts_with('5') || self.what.starts_with("the connection")
    }

    fn document(&self) -> String {
        let asked = match (self.asked, self.place) {
            (_, Where::Token) => "token",
            (_, Where::Redirected) => "blob, redirected",
            (Asked::Tag, _) => "manifest by tag",
            (Asked::Digest, _) => "manifest by digest",
            (Asked::Blob, _) => "blob",
            (Asked::Tags, _) => "tags",
        };
        let [not_held, held] = self.expected;
        format!("| {asked} | {} | {not_held} | {held} | `{TEST}` |", self.what)
    }
}

const TEST: &str = "k12_every_answer_of_an_upstream_is_taken_for_what_it_proves";

struct Bench {
    program: Program,
    plain: FakeRegistry,
    hub: FakeRegistry,
    _store: TempStore,
}

impl Bench {
    async fn start() -> Self {
        let plain = Behaviour { auth: Auth::Anonymous, redirects: false, ..Behaviour::default() };
        let (plain, hub) = (FakeRegistry::start_with(plain).await, FakeRegistry::start().await);
        let store = TempStore::new();
        let defaults = format!(
            "trusted_hosts = [\"{}\", \"{}\"]",
            hub.host_of(Endpoint::Token),
            hub.host_of(Endpoint::Cdn)
        );
        let registries = [("plain.test", &plain), ("hub.test", &hub)];
        let program = Program::start_with(WHARF, store.path(), &registries, &defaults);
        Self { program, plain, hub, _store: store }
    }

    async fn ask(&self, method: &str, name: &str, target: &str) -> client::Response {
        let host = format!("{name}.localhost");
        let asked = client::request(method, self.program.address, &host, target, &[]).await;
        asked.unwrap_or_else(|broken| panic!("{method} {target}: {broken:?}"))
    }

    /// The answer to a client, in the form of the table.
    async fn play(&self, number: usize, row: &Row, is_held: bool) -> String {
        let is_plain = !matches!(row.place, Where::Token | Where::Redirected);
        let (name, registry) = if is_plain { ("plain.test", &self.plain) } else { ("hub.test", &self.hub) };
        let repository = format!("row/{number}-{is_held}");
        let image = Image::small(&repository);
        registry.put_image(&repository, "1", &image);
        let config = image.blobs().next().expect("an image has a config").digest.clone();
        let target = match row.asked {
            Asked::Tag => format!("/v2/{repository}/manifests/1"),
            Asked::Digest => format!("/v2/{repository}/manifests/{}", image.digest()),
            Asked::Blob => blob(&config).replace("library/app", &repository),
            Asked::Tags => format!("/v2/{repository}/tags/list"),
        };
        if is_held {
            assert_eq!(self.ask("GET", name, &target).await.status, 200);
            self.program.settle().await;
        }
        if row.place == Where::Token {
            registry.revoke_tokens();
        }
        let rules = row.spoil(registry, &repository, &image);
        let [head, get] = ["HEAD", "GET"].map(|method| self.ask(method, name, &target));
        let (head, get) = (head.await, get.await);
        rules.into_iter().for_each(testkit::Scripted::remove);
        if get.status == 200 {
            assert!(get.complete, "{target}");
            let length = get.body.len().to_string();
            assert_eq!(head.header("content-length"), Some(&*length), "{target}: HEAD tells a true length");
        }
        // Only bytes show that an answer is not the blob, and a HEAD has none.
        if (row.asked, row.what) != (Asked::Blob, SOMETHING_ELSE) {
            assert_eq!(head.status, get.status, "{} {target}: HEAD and GET are answered alike", row.what);
        }
        let is_stale = get.header("cache-status").is_some_and(|value| value.contains("stale"));
        if is_stale { "stale".to_owned() } else { get.status.to_string() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k12_every_answer_of_an_upstream_is_taken_for_what_it_proves() {
    let bench = Bench::start().await;
    let mut wrong = Vec::new();
    for (number, row) in rows().iter().enumerate() {
        for (is_held, expected) in [(false, row.expected[0]), (true, row.expected[1])] {
            let got = if row.reaches_others() {
                Bench::start().await.play(number, row, is_held).await
            } else {
                bench.play(number, row, is_held).await
            };
            if got != expected {
                let Row { asked, place, what, .. } = row;
                wrong.push(format!("{asked:?} {place:?} {what}, held: {is_held}: {got}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_documented_answers_are_those_that_are_played() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/upstream-answers.md");
    let page = std::fs::read_to_string(page).expect("the page is read");
    let documented: Vec<&str> = page.lines().filter(|line| line.ends_with(&format!("`{TEST}` |"))).collect();
    let played: Vec<String> = rows().iter().map(Row::document).collect();
    assert!(documented == played, "the table of the page must be\n{}", played.join("\n"));
}
