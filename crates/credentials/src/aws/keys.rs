//! The places of access keys: variables, a shared file, a web identity, or the metadata service of a
//! container, a pod or an instance.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use secret::Secret;
use serde::Deserialize;
use url::{Host, Url};

use super::access_keys::AccessKeys;
use super::profile;
use super::settings::{EcrSettings, suffix_of};
use crate::command::until;
use crate::document;
use crate::environment::Variables;
use crate::failure::Failure;
use crate::files;
use crate::http::{self, HttpClient, HttpMethod, HttpRequest, Reach};
use crate::source::Question;

/// Keys are replaced this long before they end.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// The place of the keys.
#[derive(Debug)]
enum Place {
    Variables(AccessKeys),
    Shared { path: PathBuf, profile: String },
    WebIdentity { role: String, token_file: PathBuf },
    Container(String),
    Instance,
}

/// The places where keys may be, in the order of Amazon's own tools.
#[derive(Debug)]
pub(super) struct KeyChain {
    settings: EcrSettings,
    http: Arc<dyn HttpClient>,
    /// Keys of a service, which are good for hours.
    kept: Mutex<Option<AccessKeys>>,
}

/// An answer of a metadata service.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetadataAnswer {
    access_key_id: String,
    secret_access_key: Secret<String>,
    token: Option<Secret<String>>,
    expiration: Option<String>,
}

impl KeyChain {
    pub(super) fn new(settings: &EcrSettings, http: Arc<dyn HttpClient>) -> Self {
        Self { settings: settings.clone(), http, kept: Mutex::default() }
    }

    /// Returns keys that are good at `now`.
    ///
    /// # Errors
    /// A [`Failure`] of the first place that the settings or the variables name, or of the last one.
    pub(super) async fn get(
        &self,
        region: &str,
        question: Question,
        now: SystemTime,
    ) -> Result<AccessKeys, Failure> {
        let kept = self.kept.lock().clone();
        let is_good = |keys: &AccessKeys| keys.expires_at.is_some_and(|end| now + MARGIN < end);
        if let Some(keys) = kept.filter(|keys| question == Question::Due && is_good(keys)) {
            return Ok(keys);
        }
        let keys = match self.place().await? {
            Place::Variables(keys) => keys,
            Place::Shared { path, profile } => {
                let text = String::from_utf8(files::read(&path).await?);
                profile::read(&text.map_err(|_| Failure::new("has no text in the shared file"))?, &profile)?
            }
            Place::WebIdentity { role, token_file } => {
                self.assume_role(&role, &token_file, region, now).await?
            }
            Place::Container(address) => self.ask_container(&address, now).await?,
            Place::Instance => self.ask_instance(now).await?,
        };
        *self.kept.lock() = Some(keys.clone());
        Ok(keys)
    }

    fn variables(&self) -> &Variables {
        &self.settings.variables
    }

    async fn place(&self) -> Result<Place, Failure> {
        let (settings, variables) = (&self.settings, self.variables());
        let role = settings.role.as_deref().or_else(|| variables.get("AWS_ROLE_ARN"));
        let token_file = settings.token_file.clone();
        let token_file =
            token_file.or_else(|| variables.get("AWS_WEB_IDENTITY_TOKEN_FILE").map(PathBuf::from));
        let identity = role.zip(token_file);
        let identity =
            identity.map(|(role, token_file)| Place::WebIdentity { role: role.to_owned(), token_file });
        if settings.role.is_some() || settings.token_file.is_some() {
            return identity.ok_or_else(|| Failure::new("needs both role and token_file for a web identity"));
        }
        let shared = || {
            let named = settings.file.clone();
            let named = named.or_else(|| variables.get("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from));
            let home = || variables.get("HOME").map(|home| PathBuf::from(home).join(".aws/credentials"));
            let profile = settings.profile.as_deref().or_else(|| variables.get("AWS_PROFILE"));
            let profile = profile.unwrap_or("default").to_owned();
            named.or_else(home).map(|path| Place::Shared { path, profile })
        };
        if settings.file.is_some() || settings.profile.is_some() {
            return shared()
                .ok_or_else(|| Failure::new("does not know the shared credentials file; set file"));
        }
        let id = variables.get("AWS_ACCESS_KEY_ID").zip(variables.get("AWS_SECRET_ACCESS_KEY"));
        if let Some((id, secret)) = id {
            let token = variables.get("AWS_SESSION_TOKEN").map(|token| Secret::new(token.to_owned()));
            return Ok(Place::Variables(AccessKeys {
                access_key_id: id.to_owned(),
                secret_access_key: Secret::new(secret.to_owned()),
                session_token: token,
                expires_at: None,
            }));
        }
        if let Some(identity) = identity {
            return Ok(identity);
        }
        if let Some(Place::Shared { path, profile }) = shared() {
            let is_named = variables.get("AWS_SHARED_CREDENTIALS_FILE").is_some();
            let looked_for = path.clone();
            let exists = tokio::task::spawn_blocking(move || looked_for.is_file()).await.unwrap_or(false);
            if is_named || exists {
                return Ok(Place::Shared { path, profile });
            }
        }
        if let Some(path) = variables.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            return Ok(Place::Container(format!("http://169.254.170.2{path}")));
        }
        if let Some(address) = variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            return Ok(Place::Container(address.to_owned()));
        }
        Ok(Place::Instance)
    }

    /// Takes a role with the token of a web identity (`AssumeRoleWithWebIdentity` of STS).
    async fn assume_role(
        &self,
        role: &str,
        token_file: &std::path::Path,
        region: &str,
        now: SystemTime,
    ) -> Result<AccessKeys, Failure> {
        let token = Secret::new(files::read_line(token_file).await?);
        let url = match self.variables().get("AWS_ENDPOINT_URL_STS") {
            Some(text) => http::address(text, "AWS_ENDPOINT_URL_STS")?,
            None => http::address(&format!("https://sts.{region}.{}/", suffix_of(region)), "region")?,
        };
        let session = self.variables().get("AWS_ROLE_SESSION_NAME").unwrap_or("wharf");
        let pairs = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", session),
            ("WebIdentityToken", token.expose()),
        ];
        let body = http::fetch(&*self.http, HttpRequest::form(url, pairs)).await?;
        let text = String::from_utf8_lossy(body.expose()).into_owned();
        let field = |name| element(&text, name).ok_or_else(|| Failure::new("got no keys from STS"));
        Ok(AccessKeys {
            access_key_id: field("AccessKeyId")?,
            secret_access_key: Secret::new(field("SecretAccessKey")?),
            session_token: Some(Secret::new(field("SessionToken")?)),
            expires_at: Some(now + until(&field("Expiration")?, now)?),
        })
    }

    /// Asks the service of an ECS task or an EKS pod.
    async fn ask_container(&self, address: &str, now: SystemTime) -> Result<AccessKeys, Failure> {
        let url = http::address(address, "AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
        if url.scheme() != "https" && !is_near(&url) {
            return Err(Failure::new("does not ask a container service elsewhere without TLS"));
        }
        let variables = self.variables();
        let token = match variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(path) => Some(files::read_line(path.as_ref()).await?),
            None => variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
        };
        let mut request = HttpRequest::get(url, Reach::Machine);
        if let Some(token) = token {
            request = request.with("authorization", token);
        }
        keys_of(http::fetch(&*self.http, request).await?.expose(), now)
    }

    /// Asks the metadata service of an instance, version 2: a session's token first.
    async fn ask_instance(&self, now: SystemTime) -> Result<AccessKeys, Failure> {
        let variables = self.variables();
        if variables.get("AWS_EC2_METADATA_DISABLED").is_some_and(|flag| flag.eq_ignore_ascii_case("true")) {
            return Err(Failure::new("finds no access keys, and AWS_EC2_METADATA_DISABLED is set"));
        }
        let base = variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or("http://169.254.169.254");
        let base = http::address(base, "AWS_EC2_METADATA_SERVICE_ENDPOINT")?;
        let at = |path: &str| base.join(path).map_err(|_| Failure::new("has an unusable metadata address"));
        let asking = HttpRequest {
            method: HttpMethod::Put,
            ..HttpRequest::get(at("/latest/api/token")?, Reach::Machine)
        };
        let asking = asking.with("x-aws-ec2-metadata-token-ttl-seconds", "300");
        let token = http::fetch(&*self.http, asking).await.map_err(|failure| {
            Failure::new(format!(
                "finds no access keys in variables, files or a container, and the metadata service {failure}"
            ))
        })?;
        let token = String::from_utf8_lossy(token.expose()).trim().to_owned();
        let get =
            |url| HttpRequest::get(url, Reach::Machine).with("x-aws-ec2-metadata-token", token.as_str());
        let roles = "/latest/meta-data/iam/security-credentials/";
        let named = http::fetch(&*self.http, get(at(roles)?)).await?;
        let named = String::from_utf8_lossy(named.expose()).into_owned();
        let role = named.lines().next().unwrap_or_default().trim();
        let is_role = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        if role.is_empty() || !role.bytes().all(is_role) {
            return Err(Failure::new("finds that this instance has no role"));
        }
        keys_of(http::fetch(&*self.http, get(at(&format!("{roles}{role}"))?)).await?.expose(), now)
    }
}

/// Whether the address is one that only this machine can answer: loopback, or those of ECS and EKS.
fn is_near(url: &Url) -> bool {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        _ => return url.host_str() == Some("localhost"),
    };
    let known = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
    address.is_loopback() || known.iter().any(|text| text.parse() == Ok(address))
}

fn keys_of(body: &[u8], now: SystemTime) -> Result<AccessKeys, Failure> {
    let answer: MetadataAnswer = document::parse(body, "an answer with access keys")?;
    let end = answer.expiration.as_deref().map(|end| until(end, now)).transpose()?;
    Ok(AccessKeys {
        access_key_id: answer.access_key_id,
        secret_access_key: answer.secret_access_key,
        session_token: answer.token,
        expires_at: end.map(|end| now + end),
    })
}

/// The text of an XML element that holds text alone. Keys and tokens of STS need no escapes.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    let value = value.trim();
    (!value.is_empty() && !value.contains(['<', '&'])).then(|| value.to_owned())
}
