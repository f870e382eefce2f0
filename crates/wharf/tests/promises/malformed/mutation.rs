//! Real requests, mutated by a seed.

use super::judge::Known;

/// Fields of real clients' requests, besides the host.
const FIELDS: [&str; 6] = [
    "User-Agent: containerd/1.6.20~ds1\r\nAccept: application/vnd.oci.image.index.v1+json, */*\r\nAccept-Encoding: gzip\r\n",
    "User-Agent: skopeo/1.9.3\r\nAccept: application/vnd.oci.image.manifest.v1+json\r\nAccept: application/vnd.docker.distribution.manifest.v2+json\r\nDocker-Distribution-Api-Version: registry/2.0\r\nAccept-Encoding: gzip\r\n",
    "User-Agent: docker/20.10.24+dfsg1 go/go1.19.8\r\nRange: bytes=0-\r\nAccept-Encoding: identity\r\nConnection: keep-alive\r\n",
    "User-Agent: go-containerregistry/v0.21\r\nX-Canary: canary\r\nCookie: canary=1\r\nAuthorization: Basic Y2FuYXJ5OmNhbmFyeQ==\r\n",
    "Range: bytes=5-20\r\nIf-None-Match: \"x\"\r\n",
    "",
];

/// Lines that other servers have parsed wrongly.
const NASTY: [&str; 26] = [
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length : 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding:\u{b}chunked\r\n",
    "transfer-encoding: identity, chunked\r\n",
    "X: y\r\n Transfer-Encoding: chunked\r\n",
    "X: y\nTransfer-Encoding: chunked\r\n",
    "X: y\rTransfer-Encoding: chunked\r\n",
    "Host: ghcr.io.localhost\r\n",
    "Host:\r\n",
    " Host: x\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "Connection: upgrade\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, host\r\n",
    "Range: bytes=1-2,3-4\r\n",
    "X-Forwarded-Host: ghcr.io\r\n",
    "0\r\n\r\n",
    "5;x=\"\r\n\"\r\n",
    "\r\n",
];

/// Bytes that mean something to some parser.
const BYTES: &[u8] = b"\r\n\0 \t:;,=%/\\\"'#?@[]*\x0b\x0c\x7f\x80\xc3\xff0AZ";

/// A generator of numbers: the same seed gives the same ones (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("it is below a usize")
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// The pieces in which connection `number` of a seed is written.
pub(super) fn pieces(seed: u64, number: u64, known: &Known) -> Vec<Vec<u8>> {
    let mut numbers = Numbers(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
    let mut bytes = Vec::new();
    for _ in 0..=numbers.below(3) {
        bytes.extend(request(&mut numbers, known).into_bytes());
    }
    for _ in 0..=numbers.below(4) {
        mutate(&mut bytes, &mut numbers);
    }
    let mut pieces = Vec::new();
    while numbers.below(3) == 0 && bytes.len() > 1 {
        let rest = bytes.split_off(1 + numbers.below(bytes.len() - 1));
        pieces.push(std::mem::replace(&mut bytes, rest));
    }
    pieces.push(bytes);
    pieces
}

/// A request as real clients send it.
fn request(numbers: &mut Numbers, known: &Known) -> String {
    let digests: Vec<&str> =
        known.digests().filter(|it| ![known.canary(), known.secret()].contains(it)).collect();
    let digest = numbers.pick(&digests);
    let ns = numbers.pick(&["", "", "?ns=docker.io", "?ns=ghcr.io", "?n=5&last=0"]);
    let target = match numbers.below(7) {
        0 => "/v2/".to_owned(),
        1 => format!("/v2/library/app/manifests/1{ns}"),
        2 => format!("/v2/library/app/tags/list{ns}"),
        3 => format!("http://docker.io.localhost/v2/app/manifests/1{ns}"),
        4 => format!("/docker.io/v2/library/app/blobs/{digest}{ns}"),
        5 => "/livez".to_owned(),
        _ => format!("/v2/library/app/blobs/{digest}{ns}"),
    };
    let method = numbers.pick(&["GET", "GET", "GET", "HEAD", "HEAD", "POST"]);
    let host = numbers.pick(&["docker.io.localhost", "docker.io.localhost:5000", "127.0.0.1", "cache.test"]);
    let version = numbers.pick(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    let fields = numbers.pick(&FIELDS);
    format!("{method} {target} {version}\r\nHost: {host}\r\n{fields}\r\n")
}

fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let at = numbers.below(bytes.len());
    let end = (at + 1 + numbers.below(24)).min(bytes.len());
    match numbers.below(8) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << numbers.below(8),
        1 => bytes.insert(at, BYTES[numbers.below(BYTES.len())]),
        2 if !bytes.is_empty() => bytes[at] = BYTES[numbers.below(BYTES.len())],
        3 => drop(bytes.drain(at..end)),
        4 => {
            let copy = bytes[at..end].to_vec();
            let to = numbers.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        5 => {
            // After a line end, where a field or a chunk would stand.
            let lines: Vec<usize> = (1..bytes.len()).filter(|at| bytes[at - 1] == b'\n').collect();
            let to = lines.get(numbers.below(lines.len())).copied().unwrap_or_default();
            let line = NASTY[numbers.below(NASTY.len())].bytes();
            bytes.splice(to..to, line);
        }
        6 => bytes.truncate(end),
        _ => {
            let flood = [BYTES[numbers.below(BYTES.len())]].repeat(1 + numbers.below(2000));
            bytes.splice(at..at, flood);
        }
    }
}
