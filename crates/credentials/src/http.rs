//! Requests to token services. `upstream`, which knows the HTTP client, sends them.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use secret::Secret;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::failure::Failure;

/// The longest wait for the whole answer of a service in the network.
pub const NETWORK_WAIT_MAX: Duration = Duration::from_secs(10);

/// The longest wait for the whole answer of the machine's own metadata service. Elsewhere nothing answers at
/// its address, so a long wait would only delay the message that says so.
pub const MACHINE_WAIT_MAX: Duration = Duration::from_secs(3);

/// The largest answer that is read.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Sends requests to token services. It follows no redirect, and sends nothing but what the request holds.
#[async_trait]
pub trait HttpClient: fmt::Debug + Send + Sync + 'static {
    /// Sends a request once and reads the whole answer, within the wait of its reach.
    ///
    /// # Errors
    /// A [`Failure`] if there is no whole answer. It names the host, and nothing of the request.
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, Failure>;
}

/// A request to a token service.
#[derive(Debug)]
pub struct HttpRequest {
    /// Its method.
    pub method: HttpMethod,
    /// Its address.
    pub url: Url,
    /// Fields of its head.
    pub fields: Vec<(&'static str, Secret<String>)>,
    /// Its body.
    pub body: Secret<Vec<u8>>,
    /// The place of the service.
    pub reach: Reach,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpMethod {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
}

/// The place of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// In the network, behind the registry's proxy if there is one.
    Network,
    /// On the machine or next to it. Requests never go through a proxy.
    Machine,
}

/// An answer of a token service.
#[derive(Debug)]
pub struct HttpAnswer {
    /// Its status.
    pub status: u16,
    /// Its whole body.
    pub body: Secret<Vec<u8>>,
}

/// Error codes of token services that a message may show. Any other text of theirs could quote a secret.
const KNOWN_ERRORS: [&str; 17] = [
    "AccessDeniedException",
    "AccessDenied",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "RequestExpired",
    "ExpiredTokenException",
    "ExpiredToken",
    "InvalidIdentityToken",
    "invalid_grant",
    "invalid_client",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "identity_not_found",
];

impl HttpRequest {
    pub(crate) fn get(url: Url, reach: Reach) -> Self {
        let (method, body) = (HttpMethod::Get, Secret::new(Vec::new()));
        Self { method, url, fields: Vec::new(), body, reach }
    }

    pub(crate) fn post(url: Url, content_type: &str, body: Vec<u8>) -> Self {
        let fields = vec![("content-type", Secret::new(content_type.to_owned()))];
        Self { method: HttpMethod::Post, url, fields, body: Secret::new(body), reach: Reach::Network }
    }

    /// A form.
    pub(crate) fn form<'p>(url: Url, pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let form = Serializer::new(String::new()).extend_pairs(pairs).finish();
        Self::post(url, "application/x-www-form-urlencoded", form.into_bytes())
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, Secret::new(value.into())));
        self
    }
}

/// Sends a request that must be answered with 200, and returns the body.
///
/// # Errors
/// Those of [`HttpClient::send`]; a [`Failure`] for another status.
pub(crate) async fn fetch(client: &dyn HttpClient, request: HttpRequest) -> Result<Secret<Vec<u8>>, Failure> {
    let host = host_of(&request.url);
    let answer = client.send(request).await?;
    match answer.status {
        200 => Ok(answer.body),
        status => {
            let text = String::from_utf8_lossy(answer.body.expose()).into_owned();
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let known = words.find(|word| KNOWN_ERRORS.contains(word));
            let code = known.map(|code| format!(" ({code})")).unwrap_or_default();
            Err(Failure::new(format!("got {status}{code} from {host}")))
        }
    }
}

/// Reads an address that the operator gave.
///
/// # Errors
/// A [`Failure`] for anything but an `http` or `https` address.
pub(crate) fn address(text: &str, what: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| Failure::new(format!("has an address in {what} that is no http or https URL")))
}

/// Reads an address that a login goes to, from a file. Only this machine may be spoken to without TLS.
///
/// # Errors
/// A [`Failure`] for an address that is not `https`.
pub(crate) fn secure_address(text: &str, what: &str) -> Result<Url, Failure> {
    let url = address(text, what)?;
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "https" || is_loopback {
        return Ok(url);
    }
    Err(Failure::new(format!("has an address in {what} that is not https, and so gets no secret")))
}

pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
pub(crate) mod fake;
