//! An authority in memory. It follows RFC 8555, and a test may change each of its answers.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData, SignatureAlgorithm};
use serde_json::{Value, json};

use crate::client::Transport;

/// The URL of its directory.
pub(super) const DIRECTORY: &str = "https://ca.example/dir";

/// Changes the answer to a request of this path.
type Tamper = Box<dyn Fn(&str, Response<Bytes>) -> Response<Bytes> + Send + Sync>;

pub(super) struct FakeAuthority {
    tamper: Tamper,
    issued: Issued,
    order: Mutex<Order>,
}

/// The certificates that it issues.
pub(super) struct Issued {
    /// Their names; `None`: those of the order.
    pub(super) names: Option<Vec<String>>,
    /// The time since they began, and the time until they end, in seconds.
    pub(super) age: i64,
    pub(super) left: i64,
    /// The certificates of a chain behind the first.
    pub(super) others: usize,
    /// Whether they are for the key of the order.
    pub(super) is_for_the_key: bool,
}

impl Default for Issued {
    fn default() -> Self {
        Self { names: None, age: 3600, left: 90 * 86_400, others: 1, is_for_the_key: true }
    }
}

#[derive(Default)]
struct Order {
    names: Vec<String>,
    validated: usize,
    request: Option<Vec<u8>>,
}

/// The public key of a signing request.
struct RequestedKey(Vec<u8>);

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl FakeAuthority {
    pub(super) fn new(issued: Issued, tamper: Tamper) -> Self {
        Self { tamper, issued, order: Mutex::default() }
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let payload = payload_of(request.body());
        let path = request.uri().path();
        let (status, location, body): (u16, &str, String) = match path {
            "/dir" => {
                let url = |path: &str| format!("https://ca.example/{path}");
                let urls = json!({
                    "newNonce": url("nonce"),
                    "newAccount": url("account"),
                    "newOrder": url("order"),
                    "renewalInfo": url("renewal"),
                });
                (200, "", urls.to_string())
            }
            "/nonce" => (200, "", String::new()),
            "/account" => (201, "/account/1", json!({"status": "valid"}).to_string()),
            "/order" => {
                let named = payload["identifiers"].as_array().unwrap();
                let names = named.iter().map(|it| it["value"].as_str().unwrap().to_owned()).collect();
                *self.order.lock() = Order { names, ..Order::default() };
                (201, "/order/1", self.shown().to_string())
            }
            "/order/1" => (200, "", self.shown().to_string()),
            "/finalize" => {
                let request = URL_SAFE_NO_PAD.decode(payload["csr"].as_str().unwrap()).unwrap();
                self.order.lock().request = Some(request);
                (200, "", self.shown().to_string())
            }
            "/certificate" => (200, "", self.chain()),
            path if path.starts_with("/authorization/") => (200, "", authorization(self, path)),
            path if path.starts_with("/challenge/") => {
                self.order.lock().validated += 1;
                let url = format!("https://ca.example{path}");
                let body = json!({"type": "http-01", "url": url, "token": "t", "status": "processing"});
                (200, "", body.to_string())
            }
            _ => (404, "", json!({"detail": "nothing is here"}).to_string()),
        };
        let mut answer = Response::builder().status(status).header("replay-nonce", "fresh");
        if !location.is_empty() {
            answer = answer.header("location", format!("https://ca.example{location}"));
        }
        answer.body(body.into()).unwrap()
    }

    /// The order as the authority shows it.
    fn shown(&self) -> Value {
        let order = self.order.lock();
        let status = match &order.request {
            Some(_) => "valid",
            None if order.validated >= order.names.len() => "ready",
            None => "pending",
        };
        let authorizations = 0..order.names.len();
        json!({
            "status": status,
            "authorizations":
                authorizations.map(|it| format!("https://ca.example/authorization/{it}")).collect::<Vec<_>>(),
            "finalize": "https://ca.example/finalize",
            "certificate": order.request.as_ref().map(|_| "https://ca.example/certificate"),
        })
    }

    /// The chain for the request of the order.
    fn chain(&self) -> String {
        let (names, request) = {
            let order = self.order.lock();
            (order.names.clone(), order.request.clone().unwrap())
        };
        let mut params = CertificateParams::new(self.issued.names.clone().unwrap_or(names)).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let at = |seconds: i64| {
            let seconds = now.checked_add_signed(seconds).unwrap();
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
        };
        (params.not_before, params.not_after) = (at(-self.issued.age), at(self.issued.left));
        let key = KeyPair::generate().unwrap();
        let root = CertificateParams::default().self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(CertificateParams::default(), key);
        let own = if self.issued.is_for_the_key {
            params.signed_by(&requested_key(&request), &issuer)
        } else {
            params.signed_by(&KeyPair::generate().unwrap(), &issuer)
        };
        format!("{}{}", own.unwrap().pem(), root.repeat(self.issued.others))
    }
}

#[async_trait]
impl Transport for FakeAuthority {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let answer = (self.tamper)(request.uri().path(), self.answer(&request));
        // The library asks for nonces by HEAD, and real servers send no body then.
        let is_head = request.method() == Method::HEAD;
        Ok(if is_head { answer.map(|_| Bytes::new()) } else { answer })
    }
}

/// The answer of an authorization, by the number in its path.
fn authorization(authority: &FakeAuthority, path: &str) -> String {
    let number: usize = path.rsplit('/').next().unwrap().parse().unwrap();
    let order = authority.order.lock();
    let status = if order.validated > number { "valid" } else { "pending" };
    let url = format!("https://ca.example/challenge/{number}");
    let challenge =
        json!({"type": "http-01", "url": url, "token": format!("token-{number}"), "status": "pending"});
    let identifier = json!({"type": "dns", "value": order.names[number]});
    json!({"identifier": identifier, "status": status, "challenges": [challenge]}).to_string()
}

/// The content of a signed request (RFC 7515, section 7.2.2).
fn payload_of(body: &[u8]) -> Value {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = document["payload"].as_str().unwrap_or_default();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap_or_default()
}

/// The key of a signing request: the bit string of a point (RFC 5480, section 2.2).
fn requested_key(request: &[u8]) -> RequestedKey {
    let begin = request.windows(4).position(|it| it == [0x03, 0x42, 0x00, 0x04]).unwrap() + 3;
    RequestedKey(request[begin..begin + 65].to_vec())
}

/// An answer with this status and text in place of another.
pub(super) fn with(answer: Response<Bytes>, status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = answer.map(|_| body.into());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// An answer whose document a test has changed.
pub(super) fn changed(answer: Response<Bytes>, change: impl FnOnce(&mut Value)) -> Response<Bytes> {
    let mut document: Value = serde_json::from_slice(answer.body()).unwrap();
    change(&mut document);
    answer.map(|_| document.to_string().into())
}
