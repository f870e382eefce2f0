//! Sends single requests to a service of the operator's choice that is no registry, such as an authority of
//! certificates. The service may have an internal address.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Client;
use url::Url;

use crate::clients::ClientPair;
use crate::diagnosis::{self, Reader};
use crate::location::host_of;
use crate::resolver::SystemResolver;
use crate::resolver::race::Race;
use crate::settings::{Settings, SettingsError};
use crate::tls::{self, Authorities};

/// The longest wait for a whole answer.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The largest answer that is read, in bytes. A chain of certificates has a few KiB.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The client for one service. It follows no redirect, and it verifies the service's certificate.
#[derive(Clone, Debug)]
pub struct ServiceClient(Client);

impl ServiceClient {
    /// A client with the default timeouts and the proxy of the environment. It trusts the authorities of `ca`
    /// (PEM) beside `authorities`.
    ///
    /// # Errors
    /// [`SettingsError::Ca`] if `ca` holds no usable certificate.
    pub fn new(url: &Url, ca: Option<&[u8]>, authorities: &Authorities) -> Result<Self, SettingsError> {
        let mut settings = Settings::new("", url.clone());
        settings.ca.extend(ca.map(<[u8]>::to_vec));
        let tls = tls::verified(&authorities.and(&settings.ca)?);
        let resolver = SystemResolver::new(Arc::new(Race::new(&settings, &[])));
        let pair = ClientPair::new(&settings, &tls, |builder| builder.dns_resolver(resolver.clone()))?;
        Ok(Self(pair.pooled))
    }

    /// Sends a request once and reads the whole answer.
    ///
    /// # Errors
    /// A sentence that names the host, if there is no whole answer.
    pub async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, String> {
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string()).map_err(|error| format!("{}: {error}", head.uri))?;
        let host = host_of(&url);
        let sending = self.0.request(head.method, url.clone()).headers(head.headers).body(body);
        let got = async {
            let answer = sending.send().await.map_err(|error| {
                let error = error.without_url();
                format!("{host} {}", diagnosis::describe(&error, &url, false, Reader::Operator))
            })?;
            read(answer, &host).await
        };
        let late = |_| format!("{host} gave no answer within {} s", WAIT_MAX.as_secs());
        tokio::time::timeout(WAIT_MAX, got).await.map_err(late)?
    }
}

async fn read(mut answer: reqwest::Response, host: &str) -> Result<http::Response<Bytes>, String> {
    let mut response = http::Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| format!("{host} gave half an answer"))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("{host} gave an answer of more than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    *response.body_mut() = body.into();
    Ok(response)
}
