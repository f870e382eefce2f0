//! Azure Container Registry: an access token of Microsoft Entra ID, which the registry exchanges for a
//! refresh token of its own. That is the login, and lasts about three hours.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secret::Secret;
use serde::Deserialize;
use url::Url;

use crate::document;
use crate::environment::Variables;
use crate::failure::Failure;
use crate::files;
use crate::http::{self, HttpClient, HttpRequest, Reach, host_of};
use crate::login::Login;
use crate::source::{Grant, Question, Source};

/// The user name by which the registry knows a refresh token.
const USER: &str = "00000000-0000-0000-0000-000000000000";
/// The audience of the access token. Registries take it even if tokens for Azure's management are turned
/// off.
const RESOURCE: &str = "https://containerregistry.azure.net";
const AUTHORITY: &str = "https://login.microsoftonline.com/";
const METADATA: &str = "http://169.254.169.254/";
/// The time for which a refresh token that states no end is used.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(3600);
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// A login at Azure Container Registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureSettings {
    /// The directory; `None`: `AZURE_TENANT_ID`.
    pub tenant: Option<String>,
    /// The application or the managed identity; `None`: `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// A file with the application's secret; `None`: `AZURE_CLIENT_SECRET`.
    pub client_secret_file: Option<PathBuf>,
    /// A file with the token of a workload identity; `None`: `AZURE_FEDERATED_TOKEN_FILE`.
    pub token_file: Option<PathBuf>,
    /// The variables of the cloud's own tools.
    pub variables: Variables,
}

/// Azure as a source.
#[derive(Debug)]
pub(crate) struct Azure {
    pub(crate) settings: AzureSettings,
    /// The registry's address.
    pub(crate) upstream: Url,
    pub(crate) http: Arc<dyn HttpClient>,
}

#[derive(Deserialize)]
struct AccessAnswer {
    access_token: Secret<String>,
}

#[derive(Deserialize)]
struct RefreshAnswer {
    refresh_token: Secret<String>,
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
}

#[async_trait]
impl Source for Azure {
    async fn ask(&self, _: Question) -> Result<Grant, Failure> {
        let (tenant, access) = self.access_token().await?;
        let url = self.upstream.join("/oauth2/exchange");
        let url = url.map_err(|_| Failure::new("cannot be used for this upstream"))?;
        let service = host_of(&self.upstream);
        let mut pairs = vec![
            ("grant_type", "access_token"),
            ("service", service.as_str()),
            ("access_token", access.expose().as_str()),
        ];
        pairs.extend(tenant.as_deref().map(|tenant| ("tenant", tenant)));
        let body = http::fetch(&*self.http, HttpRequest::form(url, pairs)).await?;
        let answer: RefreshAnswer = document::parse(body.expose(), "an answer with a refresh token")?;
        let token = answer.refresh_token;
        Grant::lasting(Login::password(USER, token.expose())?, lifetime(token.expose(), SystemTime::now()))
    }
}

impl Azure {
    /// Returns the tenant, if it is known, and an access token.
    async fn access_token(&self) -> Result<(Option<String>, Secret<String>), Failure> {
        let (settings, variables) = (&self.settings, &self.settings.variables);
        let value =
            |own: &Option<String>, name| own.as_deref().or_else(|| variables.get(name)).map(str::to_owned);
        let tenant = value(&settings.tenant, "AZURE_TENANT_ID");
        let client = value(&settings.client_id, "AZURE_CLIENT_ID");
        let token_file = settings.token_file.clone();
        let token_file =
            token_file.or_else(|| variables.get("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from));
        let secret = match &settings.client_secret_file {
            Some(path) => Some(Secret::new(files::read_line(path).await?)),
            None => variables.get("AZURE_CLIENT_SECRET").map(|secret| Secret::new(secret.to_owned())),
        };
        // What the configuration names outweighs what the variables name.
        let token_file = token_file.filter(|_| settings.client_secret_file.is_none());
        let (proof, secret) = match (token_file, secret) {
            (Some(path), secret) if settings.token_file.is_some() || secret.is_none() => {
                (Proof::Assertion, Secret::new(files::read_line(&path).await?))
            }
            (_, Some(secret)) => (Proof::Secret, secret),
            _ => return Ok((tenant, self.ask_metadata(client.as_deref()).await?)),
        };
        let (Some(tenant), Some(client)) = (tenant, client) else {
            return Err(Failure::new("needs tenant and client_id"));
        };
        let token = self.ask_authority(&tenant, &client, proof, &secret).await?;
        Ok((Some(tenant), token))
    }

    async fn ask_authority(
        &self,
        tenant: &str,
        client: &str,
        proof: Proof,
        secret: &Secret<String>,
    ) -> Result<Secret<String>, Failure> {
        let authority = self.settings.variables.get("AZURE_AUTHORITY_HOST").unwrap_or(AUTHORITY);
        let mut url = http::secure_address(authority, "AZURE_AUTHORITY_HOST")?;
        url.path_segments_mut()
            .map_err(|()| Failure::new("has an unusable authority"))?
            .pop_if_empty()
            .extend([tenant, "oauth2", "v2.0", "token"]);
        let scope = format!("{RESOURCE}/.default");
        let mut pairs =
            vec![("grant_type", "client_credentials"), ("client_id", client), ("scope", scope.as_str())];
        match proof {
            Proof::Secret => pairs.push(("client_secret", secret.expose())),
            Proof::Assertion => pairs.extend([
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", secret.expose().as_str()),
            ]),
        }
        let body = http::fetch(&*self.http, HttpRequest::form(url, pairs)).await?;
        let answer: AccessAnswer = document::parse(body.expose(), "an answer with an access token")?;
        Ok(answer.access_token)
    }

    /// Asks the metadata service of a machine for the token of its managed identity.
    async fn ask_metadata(&self, client: Option<&str>) -> Result<Secret<String>, Failure> {
        let name = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
        let base = self.settings.variables.get(name).unwrap_or(METADATA);
        let url = http::address(base, name)?.join("/metadata/identity/oauth2/token");
        let mut url = url.map_err(|_| Failure::new("has an unusable metadata address"))?;
        url.query_pairs_mut()
            .append_pair("api-version", "2018-02-01")
            .append_pair("resource", RESOURCE)
            .extend_pairs(client.map(|client| ("client_id", client)));
        let request = HttpRequest::get(url, Reach::Machine).with("metadata", "true");
        let body = http::fetch(&*self.http, request).await.map_err(|failure| {
            Failure::new(format!(
                "finds no workload identity and no secret, and the metadata service {failure}"
            ))
        })?;
        let answer: AccessAnswer = document::parse(body.expose(), "an answer with an access token")?;
        Ok(answer.access_token)
    }
}

/// The proof of an application's identity.
#[derive(Clone, Copy, Debug)]
enum Proof {
    Secret,
    Assertion,
}

/// The time until a token ends, by its own claim. A wrong claim costs one refused login.
fn lifetime(token: &str, now: SystemTime) -> Duration {
    let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Option<Claims> = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
    let end = claims.and_then(|claims| claims.exp).and_then(|end| Duration::try_from_secs_f64(end).ok());
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    end.map_or(LIFETIME_DEFAULT, |end| end.saturating_sub(now).min(LIFETIME_MAX))
}

#[cfg(test)]
mod tests;
