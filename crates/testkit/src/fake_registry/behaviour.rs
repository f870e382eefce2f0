//! The registry's behaviour when no rule of the script applies. It can be changed at any time.

use std::time::Duration;

use serde_json::Value;

use crate::authority::Certificate;

/// The behaviour of all responses. The default is that of Docker Hub: anonymous bearer tokens from another
/// host, and blobs redirected to a CDN.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Which clients may pull, and their kind of credential.
    pub auth: Auth,
    /// Further accounts. The repositories that they name are private.
    pub accounts: Vec<Account>,
    /// The realm in challenges, instead of the token endpoint's URL.
    pub realm: Option<String>,
    /// `expires_in` of the token response, any JSON; `None` omits it. It does not affect the real lifetime of
    /// a token.
    pub expires_in: Option<Value>,
    /// The path before `/v2/`, such as `/repository/hub`. The rest of the host is a portal.
    pub base: String,
    /// The required scopes.
    pub scopes: ScopeRules,
    /// The response to an invalid token.
    pub dead_token: DeadToken,
    /// The status for requests to repositories without a credential, without a challenge: private
    /// repositories seem absent. Then only `/v2/` sends a challenge.
    pub hidden: Option<u16>,
    /// How long a token is valid, on the runtime's clock; `None`: until `FakeRegistry::revoke_tokens`.
    pub token_lifetime: Option<Duration>,
    /// Whether blobs are answered 307 to the CDN; otherwise the registry serves them itself.
    pub redirects: bool,
    /// Whether HEAD on blobs is allowed; otherwise 405.
    pub head_blob: bool,
    /// Whether manifests carry `Docker-Content-Digest`.
    pub content_digest: bool,
    /// The referrers API (distribution-spec, "Listing Referrers").
    pub referrers: Referrers,
    /// The most tags or referrers on one page.
    pub page_max: usize,
    /// The rate limit of manifest requests, with its headers; `None`: no limit and no headers.
    pub rate_limit: Option<RateLimit>,
    /// Whether every manifest and blob request to the registry is answered 429.
    pub throttled: bool,
    /// `Retry-After` of every 429, sent literally, even if malformed.
    pub retry_after: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            auth: Auth::Bearer { credentials: None, anonymous: true },
            accounts: Vec::new(),
            realm: None,
            expires_in: Some(Value::from(300)),
            base: String::new(),
            scopes: ScopeRules::default(),
            dead_token: DeadToken::Challenged,
            hidden: None,
            token_lifetime: None,
            redirects: true,
            head_blob: true,
            content_digest: true,
            referrers: Referrers::Off,
            page_max: 1000,
            rate_limit: None,
            throttled: false,
            retry_after: None,
        }
    }
}

/// Who may pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Every client, without a challenge.
    Anonymous,
    /// Clients that send these with each request (RFC 7617).
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// Clients with a token of the token service.
    Bearer {
        /// The only name and password that the token service accepts.
        credentials: Option<(String, String)>,
        /// Whether a token request without credentials gets a token.
        anonymous: bool,
    },
}

impl Auth {
    /// [`Auth::Basic`].
    pub fn basic(user: &str, password: &str) -> Self {
        Self::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    /// [`Auth::Bearer`] that issues tokens only for these credentials.
    pub fn bearer(user: &str, password: &str) -> Self {
        Self::Bearer { credentials: Some((user.to_owned(), password.to_owned())), anonymous: false }
    }
}

/// An account, and the private repositories that it may pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
    /// Only accounts that name a repository here may pull it.
    pub repositories: Vec<String>,
}

impl Account {
    /// An account with these private repositories.
    pub fn new(user: &str, password: &str, repositories: &[&str]) -> Self {
        let repositories = repositories.iter().map(|&name| name.to_owned()).collect();
        Self { user: user.to_owned(), password: password.to_owned(), repositories }
    }
}

impl Behaviour {
    pub(crate) fn account(&self, user: &str, password: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| (&*account.user, &*account.password) == (user, password))
    }

    /// Whether the account, or a client without one, may pull the repository.
    pub(crate) fn may_pull(&self, account: Option<&Account>, repository: &str) -> bool {
        let names = |account: &&Account| account.repositories.iter().any(|name| name == repository);
        self.accounts.iter().find(names).is_none() || account.as_ref().is_some_and(names)
    }
}

/// The scope that a token needs for a repository, and the response to a token without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRules {
    /// The one scope that the registry uses for every repository; `None` uses one for each.
    pub only: Option<String>,
    /// The prefix of a repository's name in scopes.
    pub prefix: String,
    /// The action that lists need.
    pub list_action: String,
    /// The status for a valid token with an insufficient scope, with `error="insufficient_scope"`; `None`:
    /// 401 as for an invalid token.
    pub lacking: Option<u16>,
}

impl Default for ScopeRules {
    fn default() -> Self {
        Self { only: None, prefix: String::new(), list_action: "pull".to_owned(), lacking: None }
    }
}

/// The response to an invalid token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadToken {
    /// 401 and the challenge.
    Challenged,
    /// 401 without a challenge.
    Unchallenged,
    /// 401 and a challenge of another kind.
    Basic,
    /// 403 without a challenge.
    Forbidden,
    /// 404, as if the repository did not exist.
    Absent,
}

/// The support of the referrers API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referrers {
    /// `None` answers 404.
    Off,
    /// Lists all, and ignores `artifactType`.
    Unfiltered,
    /// Filters, and says so with `OCI-Filters-Applied`.
    Filtered,
}

/// Docker Hub's limit on manifest GETs. HEADs carry the headers and are not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// GETs allowed in a window.
    pub limit: u64,
    /// GETs left; counted down, and 429 from zero on.
    pub remaining: u64,
    /// The window that the headers name; nothing is refilled when it ends.
    pub window: Duration,
}

/// The TLS settings of all three endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The servers' certificate.
    pub certificate: Certificate,
    /// Whether clients must present a certificate of the registry's authority.
    pub client_certificate: bool,
}
