//! Decides how the hosts of a graph answer.

use fastrand::Rng;
use testkit::{WorldAnswer, WorldRequest};
use url::Url;

use super::TRUSTED;
use super::oracle::{State, has_authorization, path_of};

/// The blob of all operations.
pub(super) const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Hosts that realms and redirects name; the first is the registry itself. They differ from it by port,
/// spelling, domain, or look.
pub(super) const HOSTS: [&str; 16] = [
    "registry.example.com",
    "registry.example.com:8443",
    "registry.example.com:80",
    "REGISTRY.Example.com",
    "registry.example.com.",
    "auth.example.com",
    "auth.example.com:444",
    TRUSTED,
    "login.example.org",
    "cdn.example.net",
    "registry.example.com.evil.example.org",
    "evilexample.com",
    // Latin letters with accents; the second is of another domain.
    "reg\u{ed}stry.example.com",
    "registry.ex\u{e1}mple.com",
    "93.184.216.34",
    "[2606:4700::1111]:8443",
];

/// Further spellings of those hosts, which only clients that repair text accept.
const SPELLINGS: [&str; 4] =
    ["0x5db8d822", "1572395042", "registry%2Eexample.com", "registry.example.com\u{3002}evil.example.org"];

/// The hosts as URLs have them.
pub(super) fn names() -> Vec<String> {
    let urls = HOSTS.iter().chain(&SPELLINGS).map(|host| Url::parse(&format!("http://{host}/")));
    urls.map(|url| url.expect("a host").host_str().expect("a host").to_owned()).collect()
}

/// The names for a certificate that makes every host genuine.
pub(super) fn certified_names() -> Vec<String> {
    let name = |host: String| host.trim_end_matches('.').trim_matches(['[', ']']).to_owned();
    let mut names: Vec<String> = names().into_iter().map(name).collect();
    names.sort();
    names.dedup();
    names
}

/// The answer of a host.
pub(super) fn answer(rng: &mut Rng, state: &mut State, request: &WorldRequest) -> WorldAnswer {
    if request.scheme == "connect" {
        return plain(200, "");
    }
    let (path, roll) = (path_of(request), rng.u8(..100));
    if path.starts_with("/token") {
        return match roll {
            0..72 => token(rng, state, request),
            72..80 => challenge(rng, state, request, 401),
            80..90 => redirect(rng, state, request),
            90..95 => plain(200, "<html>not a token</html>"),
            _ => plain(403, "{}"),
        };
    }
    match (has_authorization(request), roll) {
        (true, 0..45) | (false, 0..10) => content(&path),
        (true, 45..70) | (false, 10..42) => redirect(rng, state, request),
        (true, 70..88) | (false, 42..92) => challenge(rng, state, request, 401),
        (true, 88..94) => challenge(rng, state, request, 403),
        _ => plain(if rng.bool() { 404 } else { 403 }, ""),
    }
}

fn plain(status: u16, content: &str) -> WorldAnswer {
    WorldAnswer { status, fields: Vec::new(), content: content.as_bytes().to_vec() }
}

fn content(path: &str) -> WorldAnswer {
    let (kind, text) = if path.contains("/manifests/") {
        ("application/vnd.oci.image.manifest.v1+json", "{\"schemaVersion\":2}")
    } else {
        ("application/octet-stream", "hello")
    };
    WorldAnswer { fields: vec![("content-type", kind.to_owned())], ..plain(200, text) }
}

fn token(rng: &mut Rng, state: &mut State, request: &WorldRequest) -> WorldAnswer {
    let Some(text) = state.issue(request) else { return plain(200, "{}") };
    let lifetimes = ["300", "0", "-1", "1e12", "\"60\"", "null"];
    let key = if rng.bool() { "token" } else { "access_token" };
    let text = format!("{{\"{key}\":\"{text}\",\"expires_in\":{}}}", rng.choice(lifetimes).unwrap());
    WorldAnswer { fields: vec![("content-type", "application/json".to_owned())], ..plain(200, &text) }
}

/// One to three challenges, in one field or in several.
fn challenge(rng: &mut Rng, state: &mut State, request: &WorldRequest, status: u16) -> WorldAnswer {
    let challenges: Vec<String> = (0..rng.usize(1..=3)).map(|_| one_challenge(rng, state, request)).collect();
    let fields = if rng.bool() {
        vec![("www-authenticate", challenges.join(", "))]
    } else {
        challenges.into_iter().map(|it| ("www-authenticate", it)).collect()
    };
    WorldAnswer { fields, ..plain(status, "") }
}

fn one_challenge(rng: &mut Rng, state: &mut State, request: &WorldRequest) -> String {
    match rng.u8(..10) {
        0 | 1 => "Basic realm=\"the registry\"".to_owned(),
        2 => (rng
            .choice(["Bearer", "Basic", "Negotiate abc==", "Bearer realm=\"http://", "=,,=", "bearer realm"])
            .unwrap())
        .to_owned(),
        _ => {
            let number = state.note_challenge(request);
            let realm = url(rng, &format!("/token?c={number}"));
            let service = rng.choice(["", ",service=\"registry\"", ",service=registry"]).unwrap();
            let scope = rng
                .choice([
                    "",
                    ",scope=\"repository:library/alpine:pull\"",
                    ",scope=\"repository:other/app:pull,push registry:catalog:*\"",
                ])
                .unwrap();
            let error =
                rng.choice(["", ",error=\"insufficient_scope\"", ",error=\"invalid_token\""]).unwrap();
            format!("Bearer realm=\"{realm}\"{service}{scope}{error}")
        }
    }
}

fn redirect(rng: &mut Rng, state: &mut State, request: &WorldRequest) -> WorldAnswer {
    let number = state.note_redirect(request);
    let path = match rng.u8(..6) {
        0 => format!("/x?r={number}"),
        1 => format!("/token?r={number}"),
        2 => format!("/v2/?r={number}"),
        3 => format!("/v2/other/app/blobs/{DIGEST}?r={number}"),
        _ => format!("/v2/library/alpine/blobs/{DIGEST}?r={number}"),
    };
    let status = rng.choice([301, 302, 303, 307, 307, 308, 300, 305]).unwrap();
    WorldAnswer { fields: vec![("location", url(rng, &path))], ..plain(status, "") }
}

/// A URL with this path: mostly absolute, in some forms that only a lenient reader takes for one.
fn url(rng: &mut Rng, path: &str) -> String {
    // The registry and the hosts of its domain more often than others.
    let host = match rng.u8(..10) {
        0..3 => HOSTS[0],
        3 => rng.choice(SPELLINGS).unwrap(),
        _ => rng.choice(HOSTS).unwrap(),
    };
    match rng.u8(..20) {
        0 => path.to_owned(),
        1 => format!("//{host}{path}"),
        2 => format!("https://robot:word@{host}{path}"),
        3 => format!("https:\\\\{host}{path}"),
        4 => format!("HTTPS://{host}{path}#fragment"),
        5 => format!("https://{host}@cdn.example.net{path}"),
        6 => format!("ftp://{host}{path}"),
        7..11 => format!("http://{host}{path}"),
        _ => format!("https://{host}{path}"),
    }
}
