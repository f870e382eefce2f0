//! Amazon ECR, private and public: the login is a token that `GetAuthorizationToken` gives for twelve hours.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secret::Secret;
use serde::Deserialize;

use super::keys::KeyChain;
use super::settings::{EcrSettings, suffix_of};
use super::signature::Signing;
use crate::document;
use crate::failure::Failure;
use crate::http::{self, HttpClient, HttpRequest};
use crate::login::Login;
use crate::source::{Grant, Question, Source};

/// The longest lifetime that is believed.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// Amazon ECR as a source.
#[derive(Debug)]
pub(crate) struct Ecr {
    settings: EcrSettings,
    /// The registry's host; `None` for the public registry.
    host: Option<String>,
    keys: KeyChain,
    http: Arc<dyn HttpClient>,
}

/// The place of a private registry.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    account: String,
    region: String,
    /// `amazonaws.com`, `amazonaws.com.cn`.
    suffix: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: Secret<String>,
    expires_at: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrivateAnswer {
    authorization_data: Vec<Authorization>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicAnswer {
    authorization_data: Authorization,
}

impl Ecr {
    /// The private registry at `host`, or the public one.
    pub(crate) fn new(settings: EcrSettings, host: Option<String>, http: Arc<dyn HttpClient>) -> Self {
        let keys = KeyChain::new(&settings, Arc::clone(&http));
        Self { settings, host, keys, http }
    }

    fn region(&self, place: Option<&Place>) -> Result<String, Failure> {
        let variables = &self.settings.variables;
        let named = || ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| variables.get(name));
        let region = match (&self.settings.region, &self.host, place) {
            (Some(region), ..) => Some(region.clone()),
            // The public registry's API is in one region only.
            (None, None, _) => Some("us-east-1".to_owned()),
            (None, Some(_), Some(place)) => Some(place.region.clone()),
            (None, Some(_), None) => named().map(str::to_owned),
        };
        let region = region.filter(|region| is_label(region));
        region.ok_or_else(|| Failure::new("does not know the region; set region"))
    }

    fn request(&self, region: &str, place: Option<&Place>) -> Result<(HttpRequest, &'static str), Failure> {
        let suffix = place.map_or_else(|| suffix_of(region), |place| place.suffix);
        let (service, prefix, target, variable) = match self.host {
            Some(_) => (
                "ecr",
                "api.ecr",
                "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
                "AWS_ENDPOINT_URL_ECR",
            ),
            None => (
                "ecr-public",
                "api.ecr-public",
                "SpencerFrontendService.GetAuthorizationToken",
                "AWS_ENDPOINT_URL_ECR_PUBLIC",
            ),
        };
        let url = match (&self.settings.endpoint, self.settings.variables.get(variable)) {
            (Some(url), _) => url.clone(),
            (None, Some(text)) => http::address(text, variable)?,
            (None, None) => http::address(&format!("https://{prefix}.{region}.{suffix}/"), "region")?,
        };
        let request = HttpRequest::post(url, "application/x-amz-json-1.1", b"{}".to_vec());
        Ok((request.with("x-amz-target", target), service))
    }
}

#[async_trait]
impl Source for Ecr {
    async fn ask(&self, question: Question) -> Result<Grant, Failure> {
        let place = self.host.as_deref().and_then(Place::of);
        let region = self.region(place.as_ref())?;
        let now = SystemTime::now();
        let keys = self.keys.get(&region, question, now).await?;
        let (request, service) = self.request(&region, place.as_ref())?;
        let signing = Signing { keys: &keys, region: &region, service, now };
        let body = http::fetch(&*self.http, signing.sign(request)).await?;
        read(body.expose(), self.host.is_some(), now)
    }
}

impl Place {
    /// Reads `<account>.dkr.ecr.<region>.amazonaws.com` and its kin: `dkr.ecr-fips`, `.cn`, the dual-stack
    /// `dkr-ecr.<region>.on.aws`.
    fn of(host: &str) -> Option<Self> {
        let parts: Vec<&str> = host.split('.').collect();
        let (account, region, suffix) = match parts[..] {
            [account, "dkr", "ecr" | "ecr-fips", region, "amazonaws", "com"] => {
                (account, region, "amazonaws.com")
            }
            [account, "dkr", "ecr", region, "amazonaws", "com", "cn"] => {
                (account, region, "amazonaws.com.cn")
            }
            [account, "dkr-ecr" | "dkr-ecr-fips", region, "on", "aws"] => (account, region, "amazonaws.com"),
            _ => return None,
        };
        Some(Self { account: account.to_owned(), region: region.to_owned(), suffix })
    }
}

/// Whether a text can be one part of a host name.
fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() < 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn read(body: &[u8], is_private: bool, now: SystemTime) -> Result<Grant, Failure> {
    let what = "an answer to GetAuthorizationToken";
    let authorization = if is_private {
        let answer: PrivateAnswer = document::parse(body, what)?;
        answer.authorization_data.into_iter().next()
    } else {
        let answer: PublicAnswer = document::parse(body, what)?;
        Some(answer.authorization_data)
    };
    let authorization = authorization.ok_or_else(|| Failure::new("gave no authorization"))?;
    let pair = STANDARD.decode(authorization.authorization_token.expose()).ok();
    let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    let (user, password) = pair.ok_or_else(|| Failure::new("gave a token of an unknown form"))?;
    let login = Login::password(user, password)?;
    Grant::lasting(login, until(authorization.expires_at, now))
}

/// The time until an end in seconds since 1970; zero if that has passed.
fn until(end: f64, now: SystemTime) -> Duration {
    let end = Duration::try_from_secs_f64(end.max(0.0)).unwrap_or(Duration::MAX);
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    end.saturating_sub(now).min(LIFETIME_MAX)
}

#[cfg(test)]
mod tests;
