//! Signature version 4 for one request: its head fields, its body, no query.

use std::time::SystemTime;

use aws_lc_rs::{digest, hmac};
use time::OffsetDateTime;

use super::access_keys::AccessKeys;
use crate::http::{HttpRequest, host_of};

/// The inputs of a signature.
#[derive(Debug)]
pub(super) struct Signing<'a> {
    pub(super) keys: &'a AccessKeys,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) now: SystemTime,
}

impl Signing<'_> {
    /// Adds the date, the session's token and the signature to a POST.
    pub(super) fn sign(&self, request: HttpRequest) -> HttpRequest {
        let now = OffsetDateTime::from(self.now);
        let day = format!("{:04}{:02}{:02}", now.year(), u8::from(now.month()), now.day());
        let at = format!("{day}T{:02}{:02}{:02}Z", now.hour(), now.minute(), now.second());
        let mut request = request.with("x-amz-date", at.as_str());
        if let Some(token) = &self.keys.session_token {
            request = request.with("x-amz-security-token", token.expose().as_str());
        }
        let mut fields: Vec<(&str, String)> =
            request.fields.iter().map(|(name, value)| (*name, value.expose().trim().to_owned())).collect();
        fields.push(("host", host_of(&request.url)));
        fields.sort();
        let names = fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = fields.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let (path, hash) = (request.url.path(), hex(sha256(request.body.expose()).as_ref()));
        let canonical = format!("POST\n{path}\n\n{lines}\n{names}\n{hash}");
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hash = hex(sha256(canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{hash}");
        let first = format!("AWS4{}", self.keys.secret_access_key.expose());
        let mut key = mac(first.as_bytes(), &day);
        for part in [self.region, self.service, "aws4_request"] {
            key = mac(key.as_ref(), part);
        }
        let signature = hex(mac(key.as_ref(), &text).as_ref());
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.keys.access_key_id
        );
        request.with("authorization", value)
    }
}

fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
