//! Google's registries: the login is an access token, which lasts an hour.
//!
//! It comes from the metadata server of a machine or pod, from a service account's key, from a workload
//! identity of another cloud, or from a user's own login (`gcloud auth application-default login`).

mod assertion;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use secret::Secret;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::command::until;
use crate::document;
use crate::environment::Variables;
use crate::failure::Failure;
use crate::files;
use crate::http::{self, HttpClient, HttpRequest, Reach};
use crate::login::Login;
use crate::source::{Grant, Question, Source};

/// The user name by which Google's registries know an access token.
const USER: &str = "oauth2accesstoken";
/// Reading from Artifact Registry needs the scope of the whole platform; the account's permissions limit it.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const LIFETIME_MAX: Duration = Duration::from_secs(12 * 3600);

/// A login at Google's registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoogleSettings {
    /// A key file; `None`: that of `GOOGLE_APPLICATION_CREDENTIALS`, or the metadata server.
    pub file: Option<PathBuf>,
    /// The account at the metadata server; `None`: the default one.
    pub account: Option<String>,
    /// The variables of the cloud's own tools.
    pub variables: Variables,
}

/// Google as a source.
#[derive(Debug)]
pub(crate) struct Google {
    pub(crate) settings: GoogleSettings,
    pub(crate) http: Arc<dyn HttpClient>,
}

/// A file with credentials, as Google's tools write it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum KeyFile {
    ServiceAccount {
        client_email: String,
        private_key: Secret<String>,
        private_key_id: Option<String>,
        token_uri: Option<String>,
    },
    ExternalAccount {
        audience: String,
        subject_token_type: String,
        token_url: String,
        service_account_impersonation_url: Option<String>,
        credential_source: CredentialSource,
    },
    AuthorizedUser {
        client_id: String,
        client_secret: Secret<String>,
        refresh_token: Secret<String>,
        token_uri: Option<String>,
    },
}

/// The place of another identity provider's token.
#[derive(Deserialize)]
struct CredentialSource {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Secret<String>,
    expires_in: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImpersonatedAnswer {
    access_token: Secret<String>,
    expire_time: String,
}

#[async_trait]
impl Source for Google {
    async fn ask(&self, _: Question) -> Result<Grant, Failure> {
        let named = self.settings.variables.get("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
        let body = match self.settings.file.clone().or(named) {
            None => self.ask_metadata().await?,
            Some(path) => {
                let file = files::read(&path).await?;
                match document::parse(&file, "a service account key, an external account or a user's login")?
                {
                    KeyFile::ServiceAccount { client_email, private_key, private_key_id, token_uri } => {
                        let url = token_uri.as_deref().unwrap_or(TOKEN_URL);
                        let key = assertion::Key { id: private_key_id, pem: private_key };
                        self.ask_as_service_account(url, &client_email, &key).await?
                    }
                    KeyFile::AuthorizedUser { client_id, client_secret, refresh_token, token_uri } => {
                        let pairs = [
                            ("grant_type", "refresh_token"),
                            ("client_id", &client_id),
                            ("client_secret", client_secret.expose()),
                            ("refresh_token", refresh_token.expose()),
                        ];
                        let url = token_uri.as_deref().unwrap_or(TOKEN_URL);
                        let url = http::secure_address(url, "token_uri")?;
                        http::fetch(&*self.http, HttpRequest::form(url, pairs)).await?
                    }
                    external @ KeyFile::ExternalAccount { .. } => {
                        return self.ask_as_external(external).await;
                    }
                }
            }
        };
        let answer: TokenAnswer = document::parse(body.expose(), "an answer with an access token")?;
        grant(&answer.access_token, seconds(answer.expires_in))
    }
}

impl Google {
    async fn ask_metadata(&self) -> Result<Secret<Vec<u8>>, Failure> {
        let host = self.settings.variables.get("GCE_METADATA_HOST").unwrap_or("metadata.google.internal");
        let account = self.settings.account.as_deref().unwrap_or("default");
        let text = format!("http://{host}/computeMetadata/v1/instance/service-accounts/");
        let mut url = http::address(&text, "GCE_METADATA_HOST")?;
        url.path_segments_mut()
            .map_err(|()| Failure::new("has an unusable metadata address"))?
            .pop_if_empty()
            .extend([account, "token"]);
        let request = HttpRequest::get(url, Reach::Machine).with("metadata-flavor", "Google");
        http::fetch(&*self.http, request).await
    }

    /// Exchanges a signed assertion for a token (RFC 7523).
    async fn ask_as_service_account(
        &self,
        token_url: &str,
        email: &str,
        key: &assertion::Key,
    ) -> Result<Secret<Vec<u8>>, Failure> {
        let url = http::secure_address(token_url, "token_uri")?;
        let assertion = assertion::signed(key, email, SCOPE, token_url, SystemTime::now())?;
        let pairs = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.expose().as_str()),
        ];
        http::fetch(&*self.http, HttpRequest::form(url, pairs)).await
    }

    /// Exchanges the token of another identity provider (RFC 8693), and takes a service account's place if
    /// the file says so.
    async fn ask_as_external(&self, file: KeyFile) -> Result<Grant, Failure> {
        let KeyFile::ExternalAccount {
            audience,
            subject_token_type,
            token_url,
            service_account_impersonation_url,
            credential_source,
        } = file
        else {
            unreachable!("only called for this kind");
        };
        let subject = self.subject_token(&credential_source).await?;
        let url = http::secure_address(&token_url, "token_url")?;
        let pairs = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", audience.as_str()),
            ("scope", SCOPE),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", subject_token_type.as_str()),
            ("subject_token", subject.expose().as_str()),
        ];
        let body = http::fetch(&*self.http, HttpRequest::form(url, pairs)).await?;
        let answer: TokenAnswer = document::parse(body.expose(), "an answer with an access token")?;
        let Some(impersonation) = service_account_impersonation_url else {
            return grant(&answer.access_token, seconds(answer.expires_in));
        };
        let url = http::secure_address(&impersonation, "service_account_impersonation_url")?;
        let wish = json!({ "scope": [SCOPE], "lifetime": "3600s" }).to_string();
        let request = HttpRequest::post(url, "application/json", wish.into_bytes())
            .with("authorization", format!("Bearer {}", answer.access_token.expose()));
        let body = http::fetch(&*self.http, request).await?;
        let answer: ImpersonatedAnswer = document::parse(body.expose(), "an answer with an access token")?;
        grant(&answer.access_token, until(&answer.expire_time, SystemTime::now())?)
    }

    async fn subject_token(&self, source: &CredentialSource) -> Result<Secret<String>, Failure> {
        let bytes = match (&source.file, &source.url) {
            (Some(path), _) => Secret::new(files::read(path).await?),
            (None, Some(text)) => {
                let url: Url = http::address(text, "credential_source")?;
                let mut request = HttpRequest::get(url, Reach::Machine);
                for (name, value) in &source.headers {
                    let known = ["metadata", "metadata-flavor", "authorization", "accept"];
                    let name = known.into_iter().find(|known| name.eq_ignore_ascii_case(known));
                    let name =
                        name.ok_or_else(|| Failure::new("has an unknown head field in credential_source"))?;
                    request = request.with(name, value.as_str());
                }
                http::fetch(&*self.http, request).await?
            }
            (None, None) => {
                return Err(Failure::new(
                    "has a credential_source without file and url; other kinds are not supported",
                ));
            }
        };
        let text = String::from_utf8(bytes.expose().clone()).ok();
        let text = text.ok_or_else(|| Failure::new("has a subject token that is no text"))?;
        let field = source.format.as_ref().filter(|format| format.kind == "json");
        let token = match field {
            None => Some(text.trim().to_owned()),
            Some(format) => {
                let name = format.subject_token_field_name.as_deref().unwrap_or("access_token");
                let fields: Value = document::parse(text.as_bytes(), "a document with a subject token")?;
                fields.get(name).and_then(Value::as_str).map(str::to_owned)
            }
        };
        let token = token.filter(|token| !token.is_empty());
        token.map(Secret::new).ok_or_else(|| Failure::new("finds no subject token"))
    }
}

fn grant(token: &Secret<String>, lifetime: Duration) -> Result<Grant, Failure> {
    Grant::lasting(Login::password(USER, token.expose())?, lifetime)
}

fn seconds(expires_in: f64) -> Duration {
    Duration::try_from_secs_f64(expires_in.max(0.0)).unwrap_or(LIFETIME_MAX).min(LIFETIME_MAX)
}

#[cfg(test)]
mod tests;
