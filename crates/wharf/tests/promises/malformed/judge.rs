//! The answers that are allowed on a connection, for any request.

use std::collections::BTreeMap;

use bytes::Bytes;
use testkit::digest_of;

/// The content that the last request on every connection asks for.
pub(super) const CANARY: &[u8] = b"the canary's answer, and nobody else's";

/// A content that only smuggled requests ask for.
pub(super) const SECRET: &[u8] = b"what only a smuggled request asks for";

/// One whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The contents that exist, by digest.
pub(super) struct Known {
    canary: String,
    secret: String,
    contents: BTreeMap<String, Bytes>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| &**value)
    }

    fn digest(&self) -> Option<&str> {
        self.header("docker-content-digest")
    }

    /// The separator between the ranges of an answer.
    fn boundary(&self) -> Option<&str> {
        self.header("content-type")?.strip_prefix("multipart/byteranges; boundary=")
    }
}

impl Known {
    pub(super) fn new(canary: String, secret: String) -> Self {
        let mut known = Self { canary, secret, contents: BTreeMap::new() };
        known.add(Bytes::from_static(CANARY));
        known.add(Bytes::from_static(SECRET));
        known
    }

    pub(super) fn add(&mut self, content: Bytes) {
        self.contents.insert(digest_of(&content), content);
    }

    pub(super) fn digests(&self) -> impl Iterator<Item = &str> {
        self.contents.keys().map(String::as_str)
    }

    pub(super) fn canary(&self) -> &str {
        &self.canary
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// The request that comes last on every connection.
    pub(super) fn canary_request(&self) -> String {
        let digest = &self.canary;
        format!(
            "GET /v2/library/app/blobs/{digest} HTTP/1.1\r\nHost: docker.io.localhost\r\nConnection: close\r\n\r\n"
        )
    }

    /// A request inside another one, which must never be parsed as a request.
    pub(super) fn smuggled_request(&self) -> String {
        self.canary_request().replace(&self.canary, &self.secret).replace("Connection: close\r\n", "")
    }

    pub(super) fn is_canary(&self, answer: &Answer) -> bool {
        answer.status == 200 && answer.digest() == Some(&self.canary)
    }

    /// Every answer is whole and has the content that it names. The canary's answer, if there is one, is the
    /// last.
    ///
    /// # Errors The fault.
    pub(super) fn check(&self, answers: &[Answer]) -> Result<(), String> {
        for (index, answer) in answers.iter().enumerate() {
            if answer.digest() == Some(&self.secret) && answer.status < 300 {
                return Err(format!("a smuggled request was answered: {answer:?}"));
            }
            if self.is_canary(answer) && (index + 1 != answers.len() || answer.body != CANARY) {
                return Err(format!("the canary's answer is not the last one, or not its own: {answers:?}"));
            }
            self.check_content(answer)?;
        }
        Ok(())
    }

    fn check_content(&self, answer: &Answer) -> Result<(), String> {
        let content = answer.digest().and_then(|digest| self.contents.get(digest));
        let is_right = match (answer.status, content) {
            // The body of a HEAD's answer does not come.
            (200, Some(content)) => answer.body.is_empty() || answer.body == *content,
            (206, Some(content)) => match answer.boundary() {
                Some(boundary) => parts(&answer.body, boundary).all(|part| contains(content, part)),
                None => contains(content, &answer.body),
            },
            (304, _) => answer.body.is_empty(),
            (200, None) => answer.digest().is_none(),
            (status, None) => (400..600).contains(&status),
            (416, Some(_)) => true,
            _ => false,
        };
        if is_right { Ok(()) } else { Err(format!("nobody can have asked for {answer:?}")) }
    }
}

/// Reads whole answers, one after another, to the end.
///
/// # Errors Bytes that are no answer, or no whole one.
pub(super) fn read_answers(mut bytes: &[u8]) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let wrong = |what: &str| Err(format!("{what}: {}", bytes.escape_ascii()));
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return wrong("an answer without an end");
        };
        let Ok(head) = std::str::from_utf8(&bytes[..end]) else { return wrong("a head that is no text") };
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| {
            let line = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
            line.get(..3)?.parse::<u16>().ok()
        });
        let headers: Option<Vec<_>> = lines
            .map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        let (Some(status), Some(headers)) = (status, headers) else { return wrong("no status or no header") };
        let mut answer = Answer { status, headers, body: Vec::new() };
        bytes = &bytes[end + 4..];
        let length = answer.header("content-length").map_or(Some(0), |length| length.parse::<usize>().ok());
        let Some(length) = length.filter(|_| status >= 200) else {
            return Err(format!("no final answer: {answer:?}"));
        };
        // A HEAD's answer announces a body that does not follow; no content here starts like an answer.
        if !bytes.is_empty() && !bytes.starts_with(b"HTTP/1.") {
            let Some(body) = bytes.get(..length) else {
                return Err(format!("{answer:?} has a body of only {}", bytes.escape_ascii()));
            };
            answer.body = body.to_vec();
            bytes = &bytes[length..];
        }
        answers.push(answer);
    }
    Ok(answers)
}

/// The bytes of each part of a body, after the empty line of its head.
fn parts<'a>(body: &'a [u8], boundary: &str) -> impl Iterator<Item = &'a [u8]> {
    let line = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(&line.as_bytes()[2..]);
    std::iter::from_fn(move || {
        let part = rest?;
        let head_end = part.windows(4).position(|window| window == b"\r\n\r\n")?;
        let content = &part[head_end + 4..];
        let end = content.windows(line.len()).position(|window| window == line.as_bytes())?;
        rest = Some(&content[end + line.len()..]);
        Some(&content[..end])
    })
}

pub(super) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}
