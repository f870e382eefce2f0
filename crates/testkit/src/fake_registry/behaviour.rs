//! How the registry behaves while no rule of the script says otherwise. Changeable at any time.

use std::time::Duration;

use serde_json::Value;

use crate::authority::Certificate;

/// What all answers have in common. The default is Docker Hub's way: anonymous bearer tokens from another
/// host, and blobs redirected to a CDN.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Who may pull, and how they show it.
    pub auth: Auth,
    /// The realm that challenges name, in place of the token endpoint's URL.
    pub realm: Option<String>,
    /// `expires_in` of the token answer, any JSON at all; `None` leaves it out. Says nothing about the true
    /// life of a token.
    pub expires_in: Option<Value>,
    /// What stands in front of `/v2/`, such as `/repository/hub`. The rest of the host is a portal.
    pub base: String,
    /// What scopes must say.
    pub scopes: ScopeRules,
    /// What a token gets that is not good any more.
    pub dead_token: DeadToken,
    /// The status for repositories where a request shows nothing, without a challenge: private is told as
    /// absent. Only `/v2/` challenges then.
    pub hidden: Option<u16>,
    /// How long a token is good, on the runtime's clock; `None` is until `FakeRegistry::revoke_tokens`.
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
    /// The limit that manifest requests count towards, with its headers; `None` sends none.
    pub rate_limit: Option<RateLimit>,
    /// Whether every manifest and blob request to the registry is answered 429.
    pub throttled: bool,
    /// `Retry-After` of every 429, as it is; it need not make sense.
    pub retry_after: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            auth: Auth::Bearer { credentials: None, anonymous: true },
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
        /// Name and password that the token service accepts; all others are wrong.
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

    /// [`Auth::Bearer`] where only these credentials get a token.
    pub fn bearer(user: &str, password: &str) -> Self {
        Self::Bearer { credentials: Some((user.to_owned(), password.to_owned())), anonymous: false }
    }
}

/// What the scope of a token must say to open a repository, and how one is told that lacks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRules {
    /// The one scope that the registry uses for every repository; `None` uses one for each.
    pub only: Option<String>,
    /// What stands in front of a repository's name in scopes.
    pub prefix: String,
    /// The action that lists take.
    pub list_action: String,
    /// The status for a good token whose scope does not say enough, with `error="insufficient_scope"`; none
    /// is 401 like for any other.
    pub lacking: Option<u16>,
}

impl Default for ScopeRules {
    fn default() -> Self {
        Self { only: None, prefix: String::new(), list_action: "pull".to_owned(), lacking: None }
    }
}

/// What a token gets that is not good any more.
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
    /// 404, as if nothing were there.
    Absent,
}

/// How much of the referrers API there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referrers {
    /// `None` answers 404.
    Off,
    /// Lists all, whatever `artifactType` asks for.
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

/// TLS on all three endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// What the servers show.
    pub certificate: Certificate,
    /// Whether clients must show a certificate of the registry's authority.
    pub client_certificate: bool,
}
