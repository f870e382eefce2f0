//! Connections that other servers have interpreted in two ways, each with its required end.

use super::judge::{Answer, Known};

/// Bytes, and the required result.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    end: End,
}

enum End {
    /// One answer with this status; the bytes after the request are not read.
    Refused(u16),
    /// The connection ends without an answer.
    Silent,
    /// Answers with these statuses, and then the canary's own.
    Served(&'static [u16]),
    /// One answer with this status; the client's version, or the framing of its request, allows no further
    /// request.
    Last(u16),
}

impl Case {
    pub(super) fn check(&self, known: &Known, answers: &[Answer]) {
        let name = self.name;
        known.check(answers).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        let is_canary_last = answers.last().is_some_and(|answer| known.is_canary(answer));
        match self.end {
            End::Refused(status) | End::Last(status) => assert_eq!(statuses, [status], "{name}"),
            End::Silent => assert!(statuses.is_empty(), "{name}: {statuses:?}"),
            End::Served(wanted) => {
                assert!(is_canary_last, "{name}: {statuses:?}");
                assert_eq!(statuses[..statuses.len() - 1], *wanted, "{name}");
            }
        }
    }
}

const HOST: &str = "Host: docker.io.localhost\r\n";

/// Every case; a `{s}` stands for a request that is smuggled.
pub(super) fn cases(known: &Known) -> Vec<Case> {
    let smuggled = known.smuggled_request();
    let case = |(name, text, end): (&'static str, String, End)| Case {
        name,
        bytes: text.replace("{s}", &smuggled).into_bytes(),
        end,
    };
    let mut cases: Vec<Case> =
        bodies().chain(offers()).chain(fields()).chain(targets()).chain(protocols()).map(case).collect();
    let flood = |name, fields: String, status| (name, head(&fields), End::Refused(status));
    cases.extend(
        [
            flood("65 fields", "X: y\r\n".repeat(65), 431),
            flood("a field of 64 KiB", format!("X: {}\r\n", "y".repeat(64 << 10)), 431),
            flood("a name of 64 KiB", format!("{}: y\r\n", "x".repeat(64 << 10)), 431),
            flood("a thousand hosts", HOST.repeat(1000), 431),
            ("a target of 9 KiB", target(&format!("/v2/{}", "x".repeat(9 << 10))), End::Refused(414)),
            ("a method of 64 KiB", "G".repeat(64 << 10), End::Refused(431)),
        ]
        .map(case),
    );
    cases.extend([
        Case { name: "a TLS hello", bytes: tls_hello(), end: End::Refused(400) },
        Case {
            name: "bytes that are no text",
            bytes: b"\xff\xfe\xfd\r\n\r\n".to_vec(),
            end: End::Refused(400),
        },
        Case { name: "zeros", bytes: vec![0; 100], end: End::Refused(400) },
    ]);
    cases
}

/// A version check with these fields.
fn head(fields: &str) -> String {
    format!("GET /v2/ HTTP/1.1\r\n{HOST}{fields}\r\n")
}

fn target(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n{HOST}\r\n")
}

type Row = (&'static str, String, End);

/// A body that one side reads and the other does not.
fn bodies() -> impl Iterator<Item = Row> {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let rows = [
        ("a length", "Content-Length: 5\r\n", "hello{s}"),
        ("a length that covers a request", "Content-Length: 144\r\n", "{s}"),
        ("lengths that differ", "Content-Length: 0\r\nContent-Length: 144\r\n", "{s}"),
        ("a list of lengths", "Content-Length: 0, 144\r\n", "{s}"),
        ("a length with a plus", "Content-Length: +0\r\n", "{s}"),
        ("a negative length", "Content-Length: -1\r\n", "{s}"),
        ("a length in hexadecimal", "Content-Length: 0x0\r\n", "{s}"),
        ("a length beyond 64 bits", "Content-Length: 18446744073709551616\r\n", "{s}"),
        ("an empty length", "Content-Length:\r\n", "{s}"),
        ("a blank before the colon of a length", "Content-Length : 144\r\n", "{s}"),
        ("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "90\r\n{s}\r\n0\r\n\r\n"),
        ("chunks", chunked, "5\r\nhello\r\n0\r\n\r\n{s}"),
        ("a chunk with a bare line feed", chunked, "0\n\n{s}"),
        ("a chunk beyond 64 bits", chunked, "10000000000000000\r\n{s}"),
        ("trailers", chunked, "0\r\nHost: x\r\n\r\n{s}"),
        ("an unknown coding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n{s}"),
        ("identity", "Transfer-Encoding: identity\r\n", "{s}"),
        ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n{s}"),
        ("a blank before the colon of a coding", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n{s}"),
        ("a vertical tab in a coding", "Transfer-Encoding:\u{b}chunked\r\n", "0\r\n\r\n{s}"),
        ("a folded coding", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n{s}"),
        ("an expectation", "Expect: 100-continue\r\nContent-Length: 144\r\n", "{s}"),
        ("an upgrade and a length", "Upgrade: h2c\r\nContent-Length: 144\r\n", "{s}"),
    ];
    let refused =
        rows.into_iter().map(|(name, fields, behind)| (name, head(fields) + behind, End::Refused(400)));
    // Malformed chunks make no body, and the bytes after them make no request.
    let empty = [
        ("no chunks", chunked, "0\r\n\r\n{s}"),
        ("no chunks, in other letters", "tRANSFER-eNCODING: cHuNkEd\r\n", "0\r\n\r\n{s}"),
        ("no chunks, with an extension", chunked, "0;a=\"\r\n\r\n{s}\"\r\n\r\n"),
        ("CL.TE", "Content-Length: 144\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n{s}"),
    ];
    refused.chain(empty.map(|(name, fields, behind)| (name, head(fields) + behind, End::Last(200))))
}

/// Offers of the client that wharf may ignore. The connection continues.
fn offers() -> impl Iterator<Item = Row> {
    let rows = [
        ("an expectation without a body", "Expect: 100-continue\r\n"),
        ("an upgrade", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"),
        ("an upgrade to a web socket", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        ("an upgrade to TLS", "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n"),
    ];
    rows.into_iter().map(|(name, fields)| (name, head(fields), End::Served(&[200])))
}

/// Fields that end where another parser continues them.
fn fields() -> impl Iterator<Item = Row> {
    let rows = [
        ("a folded field", "X: a\r\n {s}"),
        ("a field that begins with a blank", " X: a\r\n"),
        ("a field without a colon", "X\r\n"),
        ("an empty name", ": a\r\n"),
        ("a name with a blank", "X Y: a\r\n"),
        ("a NUL in a name", "X\0: a\r\n"),
        ("a NUL in a value", "X: a\0b\r\n"),
        ("a bare carriage return in a value", "X: a\rTransfer-Encoding: chunked\r\n"),
        ("a second host", "Host: docker.io.localhost\r\n"),
        ("a second host of another name", "Host: ghcr.io.localhost\r\n"),
        ("a second host that is empty", "Host:\r\n"),
    ];
    let refused = rows.into_iter().map(|(name, fields)| (name, head(fields), End::Refused(400)));
    let served = [
        ("an empty line in front", format!("\r\n\r\n{}", head("")), End::Served(&[200])),
        ("bare line feeds", head("").replace("\r\n", "\n"), End::Served(&[200])),
        ("a length of nothing", head("Content-Length: 0\r\n"), End::Served(&[200])),
        ("an error in front", target("/v2/a/manifests/.."), End::Served(&[400])),
        ("a push in front", format!("PUT /v2/a/manifests/1 HTTP/1.1\r\n{HOST}\r\n"), End::Refused(405)),
        ("sixty-three fields", head(&"X: y\r\n".repeat(63)), End::Served(&[200])),
    ];
    refused.chain(served)
}

/// Targets and hosts in every form.
fn targets() -> impl Iterator<Item = Row> {
    let hosts =
        ["a b", "u@docker.io.localhost", "[::1", "a:b", "a..b", "docker.io.localhost/", "a,b", "a\\b"];
    let hosts = hosts.into_iter().map(|host| {
        ("a host that is none", format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n"), End::Served(&[400]))
    });
    let rows = [
        ("no host", "GET /v2/ HTTP/1.1\r\n\r\n{s}".to_owned(), End::Refused(400)),
        ("an absolute target of another host", target("http://ghcr.io.localhost/v2/"), End::Refused(400)),
        (
            "an absolute target of another protocol",
            target("ftp://docker.io.localhost/v2/"),
            End::Refused(400),
        ),
        ("an absolute target that agrees", target("http://docker.io.localhost/v2/"), End::Served(&[200])),
        ("the authority form", target("docker.io.localhost:80"), End::Refused(400)),
        ("CONNECT", format!("CONNECT ghcr.io:443 HTTP/1.1\r\n{HOST}\r\n"), End::Refused(405)),
        ("the asterisk", target("*"), End::Served(&[404])),
        ("OPTIONS of everything", format!("OPTIONS * HTTP/1.1\r\n{HOST}\r\n"), End::Refused(405)),
        ("a path without a slash", target("v2/"), End::Refused(400)),
        ("two blanks", target(" /v2/"), End::Refused(400)),
        ("a blank in the target", target("/v2/ /v2/"), End::Refused(400)),
        ("a NUL in the target", target("/v2/\0"), End::Refused(400)),
        ("dots", target("/v2/../../etc/passwd"), End::Served(&[400])),
        ("escaped dots", target("/v2/%2e%2e/manifests/1"), End::Served(&[400])),
    ];
    hosts.chain(rows)
}

/// Other versions and other protocols.
fn protocols() -> impl Iterator<Item = Row> {
    let version = |version: &str| format!("GET /v2/ {version}\r\n{HOST}\r\n");
    [
        ("HTTP/0.9", "GET /v2/\r\n".to_owned(), End::Refused(400)),
        ("HTTP/1.0", version("HTTP/1.0"), End::Last(200)),
        ("HTTP/1.0 without a host", "GET /v2/ HTTP/1.0\r\n\r\n{s}".to_owned(), End::Last(200)),
        ("HTTP/1.2", version("HTTP/1.2"), End::Refused(400)),
        ("HTTP/2.0", version("HTTP/2.0"), End::Refused(400)),
        ("HTTP/3.0", version("HTTP/3.0"), End::Refused(400)),
        ("http in small letters", version("http/1.1"), End::Refused(400)),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), End::Silent),
        ("SSH", "SSH-2.0-OpenSSH_9.2\r\n".to_owned(), End::Refused(400)),
        ("SMTP", "EHLO example.com\r\n".to_owned(), End::Refused(400)),
    ]
    .into_iter()
}

/// The record and handshake headers of a hello, and other bytes in place of the rest.
fn tls_hello() -> Vec<u8> {
    let mut hello = vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    hello.extend((0_u16..507).map(|n| (n * 31 % 251) as u8));
    hello
}
