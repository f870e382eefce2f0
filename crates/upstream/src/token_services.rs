//! Sends the requests of credential sources to the token services of clouds.
//!
//! The services are the operator's choice, not a registry's, so they may have internal addresses. Requests
//! use the registry's authorities and its proxy, and never its client certificate.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use credentials::{
    ANSWER_BYTES_MAX, Failure, HttpAnswer, HttpClient, HttpMethod, HttpRequest, MACHINE_WAIT_MAX,
    NETWORK_WAIT_MAX, Reach,
};
use reqwest::{Client, Response};
use secret::Secret;
use url::Url;

use crate::clients::ClientPair;
use crate::diagnosis::{self, Reader};
use crate::location::host_of;
use crate::resolver::SystemResolver;
use crate::resolver::race::Race;
use crate::settings::{ProxySettings, Settings, SettingsError};
use crate::tls::{self, Authorities};

/// The client for token services. It is made when the first source needs it: most registries have none.
#[derive(Debug)]
pub(crate) struct TokenServices {
    settings: Settings,
    authorities: Authorities,
    clients: OnceLock<Option<ServiceClients>>,
}

#[derive(Debug)]
struct ServiceClients {
    network: Client,
    machine: Client,
}

impl TokenServices {
    pub(crate) fn new(settings: &Settings, authorities: &Authorities) -> Self {
        Self { settings: settings.clone(), authorities: authorities.clone(), clients: OnceLock::new() }
    }

    fn clients(&self) -> Result<&ServiceClients, Failure> {
        let made = self.clients.get_or_init(|| ServiceClients::new(&self.settings, &self.authorities).ok());
        made.as_ref().ok_or_else(|| Failure::new("could not make its HTTP client"))
    }
}

impl ServiceClients {
    fn new(settings: &Settings, authorities: &Authorities) -> Result<Self, SettingsError> {
        let tls = tls::verified(&authorities.and(&settings.ca)?);
        let resolver = SystemResolver::new(Arc::new(Race::new(settings, &[])));
        let network = ClientPair::new(settings, &tls, |builder| builder.dns_resolver(resolver.clone()))?;
        let machine =
            ClientPair::new(settings, &tls, |builder| builder.no_proxy().dns_resolver(resolver.clone()))?;
        Ok(Self { network: network.unpooled, machine: machine.unpooled })
    }
}

#[async_trait]
impl HttpClient for TokenServices {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, Failure> {
        let clients = self.clients()?;
        let (client, wait_max) = match request.reach {
            Reach::Network => (&clients.network, NETWORK_WAIT_MAX),
            Reach::Machine => (&clients.machine, MACHINE_WAIT_MAX),
        };
        let mut sending = match request.method {
            HttpMethod::Get => client.get(request.url.clone()),
            HttpMethod::Post => client.post(request.url.clone()),
            HttpMethod::Put => client.put(request.url.clone()),
        };
        for (name, value) in &request.fields {
            sending = sending.header(*name, value.expose().as_str());
        }
        let is_proxied = |proxy: &ProxySettings| !proxy.no_proxy.covers(&request.url);
        let has_proxy =
            request.reach == Reach::Network && self.settings.proxy.as_ref().is_some_and(is_proxied);
        let got = async {
            let answer = sending.body(request.body.expose().clone()).send().await;
            read(answer.map_err(|error| failure(error, &request.url, has_proxy))?, &request.url).await
        };
        let late = |_| {
            let (host, seconds) = (host_of(&request.url), wait_max.as_secs());
            Failure::new(format!("got no answer from {host} within {seconds} s"))
        };
        tokio::time::timeout(wait_max, got).await.map_err(late)?
    }
}

async fn read(mut answer: Response, url: &Url) -> Result<HttpAnswer, Failure> {
    let (status, mut body) = (answer.status().as_u16(), Vec::new());
    let broken = |_| Failure::new(format!("got half an answer from {}", host_of(url)));
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Failure::new(format!("got too long an answer from {}", host_of(url))));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpAnswer { status, body: Secret::new(body) })
}

fn failure(error: reqwest::Error, url: &Url, has_proxy: bool) -> Failure {
    let (error, host) = (error.without_url(), host_of(url));
    if error.is_timeout() {
        return Failure::new(format!("got no answer from {host} in time"));
    }
    Failure::new(format!("{host} {}", diagnosis::describe(&error, url, has_proxy, Reader::Operator)))
}
