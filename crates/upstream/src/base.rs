//! Finds the base URL of a registry.
//!
//! A registry may share its host with others: a Harbor project, a Quay organisation and GitLab's dependency
//! proxy are the first part of each repository's name (`/v2/<path>/<name>/...`), while a Nexus repository and
//! others have a root of their own (`/<path>/v2/<name>/...`). An upstream whose path has a part `v2` says
//! which it is. For any other path both roots are requested once.

use http::StatusCode;
use http::header::{HeaderMap, WWW_AUTHENTICATE};
use oci::{Challenge, Repository};
use reqwest::Response;
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};
use url::Url;

use crate::auth::context::RequestContext;
use crate::auth::root;
use crate::error::{Error, ErrorKind};
use crate::location::host_of;
use crate::settings::SettingsError;
use crate::transport::Allowance;

/// The time for which wharf remembers that neither root looks like a registry.
const DOUBT_TTL: Duration = Duration::from_secs(60);

/// The base URL of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// Ends in `/v2/`.
    pub(crate) root: Url,
    /// The prefix of each repository's name; empty, or ends in a slash.
    prefix: String,
}

/// The base URL according to the setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BaseSetting {
    /// The setting is unambiguous.
    HostAnswer(Base),
    /// The path may be a name's prefix or lead to a root of its own.
    Ambiguous {
        /// The base if the path is a prefix of names.
        front: Base,
        /// The base if the path leads to a root of its own.
        below: Base,
    },
}

/// The setting, and the base that was found.
#[derive(Debug)]
pub(crate) struct BaseLocator {
    setting: BaseSetting,
    /// The lock is held during the requests, so that they are sent once.
    found: Mutex<Option<Found>>,
}

#[derive(Debug)]
struct Found {
    is_below: bool,
    /// Whether a registry answered; otherwise the search is repeated.
    is_sure: bool,
    at: Instant,
}

/// The likelihood that a registry gave the answer of a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RootKind {
    /// It shows no sign of a registry.
    Other,
    /// It sends a challenge, or a JSON body.
    Likely,
    /// It names the registry API's version.
    Certain,
}

impl Base {
    /// The URL of `path` behind the root, which has only characters that a path may hold as they are.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.root.clone();
        url.set_path(&format!("{}{}{path}", self.root.path(), self.prefix));
        url
    }

    fn new(upstream: &Url, before: &[&str], behind: &[&str]) -> Self {
        let mut root = upstream.clone();
        let path: String = before.iter().map(|part| format!("/{part}")).collect();
        root.set_path(&format!("{path}/v2/"));
        Self { root, prefix: behind.iter().map(|part| format!("{part}/")).collect() }
    }
}

impl BaseSetting {
    /// Reads the setting.
    ///
    /// # Errors
    /// [`SettingsError::Upstream`], [`SettingsError::UpstreamPath`].
    pub(crate) fn read(upstream: &Url) -> Result<Self, SettingsError> {
        let has_extras = !upstream.username().is_empty()
            || upstream.password().is_some()
            || upstream.query().is_some()
            || upstream.fragment().is_some();
        if !matches!(upstream.scheme(), "http" | "https") || has_extras {
            return Err(SettingsError::Upstream);
        }
        let parts: Vec<&str> = upstream.path().split('/').filter(|part| !part.is_empty()).collect();
        let is_name = |parts: &[&str]| parts.is_empty() || parts.join("/").parse::<Repository>().is_ok();
        if let Some(at) = parts.iter().position(|part| *part == "v2") {
            let (before, behind) = (&parts[..at], &parts[at + 1..]);
            if !is_name(behind) {
                return Err(SettingsError::UpstreamPath);
            }
            return Ok(Self::HostAnswer(Base::new(upstream, before, behind)));
        }
        let below = Base::new(upstream, &parts, &[]);
        if parts.is_empty() || !is_name(&parts) {
            return Ok(Self::HostAnswer(below));
        }
        Ok(Self::Ambiguous { front: Base::new(upstream, &[], &parts), below })
    }

    /// Returns the likely base.
    pub(crate) fn likely(&self) -> &Base {
        match self {
            Self::HostAnswer(base) | Self::Ambiguous { front: base, .. } => base,
        }
    }
}

impl BaseLocator {
    pub(crate) fn new(setting: BaseSetting) -> Self {
        Self { setting, found: Mutex::default() }
    }

    pub(crate) fn likely(&self) -> &Base {
        self.setting.likely()
    }

    /// Returns the base. The first call that does not know it sends requests.
    ///
    /// # Errors
    /// Errors of the requests; the base stays unknown.
    pub(crate) async fn find(
        &self,
        context: RequestContext<'_>,
        allowance: &mut Allowance,
    ) -> Result<&Base, Error> {
        let (front, below) = match &self.setting {
            BaseSetting::HostAnswer(base) => return Ok(base),
            BaseSetting::Ambiguous { front, below } => (front, below),
        };
        let late =
            |_| Error::new(ErrorKind::TimedOut, host_of(&front.root), "did not answer for /v2/ in time");
        let turn = tokio::time::timeout_at(allowance.deadline, self.found.lock());
        let mut found = turn.await.map_err(late)?;
        let is_known = |found: &Found| found.is_sure || found.at.elapsed() < DOUBT_TTL;
        if !found.as_ref().is_some_and(is_known) {
            *found = Some(look(context, front, below, allowance).await?);
        }
        let is_below = found.as_ref().is_some_and(|found| found.is_below);
        Ok(if is_below { below } else { front })
    }

    /// Moves a URL from the likely base to `base`.
    pub(crate) fn moved(&self, url: &Url, base: &Base) -> Url {
        let likely = self.likely();
        if likely == base {
            return url.clone();
        }
        let start = format!("{}{}", likely.root.path(), likely.prefix);
        let mut moved = base.url(url.path().strip_prefix(&*start).unwrap_or_default());
        moved.set_query(url.query());
        moved
    }
}

/// Requests both roots, first the one below the path: a registry there serves this path alone.
async fn look(
    context: RequestContext<'_>,
    front: &Base,
    below: &Base,
    allowance: &mut Allowance,
) -> Result<Found, Error> {
    let found = |is_below, is_sure| Ok(Found { is_below, is_sure, at: Instant::now() });
    let below = root::ask(context, &below.root, None, allowance).await.map(|answer| root_kind_of(&answer));
    if matches!(below, Ok(RootKind::Certain)) {
        return found(true, true);
    }
    let front = root_kind_of(&root::ask(context, &front.root, None, allowance).await?);
    match (below, front) {
        (_, RootKind::Certain) => found(false, true),
        (Err(error), _) => Err(error),
        (Ok(RootKind::Likely), RootKind::Other) => found(true, true),
        (_, RootKind::Likely) => found(false, true),
        (_, RootKind::Other) => found(false, false),
    }
}

/// Returns the likelihood that a registry gave this answer of a root.
pub(crate) fn root_kind_of(answer: &Response) -> RootKind {
    let (status, headers) = (answer.status(), answer.headers());
    if !matches!(status, StatusCode::OK | StatusCode::UNAUTHORIZED) {
        return RootKind::Other;
    }
    if headers.contains_key("docker-distribution-api-version") {
        return RootKind::Certain;
    }
    let is_welcome = status == StatusCode::OK && is_json(headers);
    if is_welcome || has_challenge(headers) { RootKind::Likely } else { RootKind::Other }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}

fn has_challenge(headers: &HeaderMap) -> bool {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(Challenge::parse_all).next().is_some()
}

#[cfg(test)]
mod tests;
