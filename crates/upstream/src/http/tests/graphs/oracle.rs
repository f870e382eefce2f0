//! Judges every request: may this host see this login or this token, and does any other byte hold one?
//!
//! The rule is written a second time here: credentials go to the registry itself, to `https` hosts of its
//! domain, and to hosts that the operator listed; a token goes only to the origin that asked for it; neither
//! follows a redirect, and none comes back with one.

use std::collections::HashMap;
use std::ops::AddAssign;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use testkit::WorldRequest;
use url::Url;

/// The domain of the registry.
const DOMAIN: &str = "example.com";

/// Scheme, host without a trailing dot, and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

/// A login, as requests carry it.
#[derive(Clone, Debug)]
pub(super) struct Secret {
    /// The value of `Authorization` at a registry or a token service.
    header: Option<String>,
    /// The value in the form of a token request.
    form: Option<String>,
    /// The forms that must not occur anywhere else.
    forms: Vec<String>,
}

#[derive(Clone, Debug)]
struct Challenge {
    by: Origin,
    /// Whether it is the registry's, after another host redirected there.
    is_returned: bool,
}

#[derive(Clone, Debug)]
struct Token {
    /// The one origin that may see it.
    by: Origin,
    /// The login that it was issued for; `None`: for a request without one.
    login: Option<usize>,
    forms: Vec<String>,
}

/// The number of requests by their target: a run in which no credential moves shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    graphs: u64,
    requests: u64,
    at_home: u64,
    at_strangers: u64,
    returned: u64,
    logins_at_home: u64,
    logins_elsewhere: u64,
    tokens_at_home: u64,
    tokens_elsewhere: u64,
    token_requests_without_login: u64,
}

/// A graph as the oracle knows it.
#[derive(Debug)]
pub(super) struct State {
    home: Origin,
    trusted: Vec<(String, u16)>,
    logins: Vec<Secret>,
    proxy_header: String,
    proxy_forms: Vec<String>,
    challenges: Vec<Challenge>,
    /// For each redirect: its origin, and whether a host other than the registry decided where it leads.
    redirects: Vec<(Origin, bool)>,
    tokens: HashMap<String, Token>,
    pub(super) faults: Vec<String>,
    pub(super) counts: Counts,
}

impl Origin {
    pub(super) fn of_url(url: &str) -> Self {
        let url = Url::parse(url).expect("hosts of the world are well formed");
        let host = url.host_str().expect("it has a host").trim_end_matches('.').to_owned();
        let port = url.port_or_known_default().expect("http and https have ports");
        Self { scheme: url.scheme().to_owned(), host, port }
    }

    fn of(request: &WorldRequest) -> Self {
        Self::of_url(&format!("{}://{}/", request.scheme, request.host))
    }

    fn is_host(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

impl Secret {
    pub(super) fn password(user: &str, word: &str) -> Self {
        let header = format!("Basic {}", STANDARD.encode(format!("{user}:{word}")));
        Self { header: Some(header), form: None, forms: forms_of(word) }
    }

    pub(super) fn identity_token(word: &str) -> Self {
        let encoded: String = url::form_urlencoded::byte_serialize(word.as_bytes()).collect();
        Self { header: None, form: Some(format!("refresh_token={encoded}")), forms: forms_of(word) }
    }

    pub(super) fn registry_token(word: &str) -> Self {
        Self { header: Some(format!("Bearer {word}")), form: None, forms: forms_of(word) }
    }
}

/// A secret as it is, percent-encoded, in hexadecimal, and in base64 from each position.
fn forms_of(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    forms.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    forms.push(secret.bytes().map(|byte| format!("{byte:02x}")).collect());
    for skipped in 0..3 {
        // The first and last characters also depend on the bytes before and behind.
        let bytes = [&vec![0; skipped][..], secret.as_bytes()].concat();
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            let start = [0, 2, 3][skipped];
            forms.push(encoded[start..encoded.len() - 2].to_owned());
        }
    }
    forms
}

/// The path and the query of a request.
pub(super) fn path_of(request: &WorldRequest) -> String {
    let target = request.head.split(' ').nth(1).unwrap_or_default();
    let absolute = target.strip_prefix("http://").filter(|_| request.scheme == "http");
    absolute.map_or_else(|| target.to_owned(), |rest| rest[rest.find('/').unwrap_or(rest.len())..].to_owned())
}

pub(super) fn has_authorization(request: &WorldRequest) -> bool {
    field(request, "authorization").is_some()
}

/// A field's value.
fn field<'a>(request: &'a WorldRequest, name: &str) -> Option<&'a str> {
    let fields = request.head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// The number that the generator put into a URL under this name.
fn number_in(request: &WorldRequest, name: &str) -> Option<usize> {
    let path = path_of(request);
    let (_, query) = path.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name)?.1.parse().ok()
}

impl State {
    pub(super) fn new(home: Origin, trusted: &[String], logins: Vec<Secret>, proxy_word: &str) -> Self {
        let trusted = trusted.iter().map(|it| it.split_once(':').expect("host and port"));
        let proxy_header = format!("Basic {}", STANDARD.encode(format!("proxy-user:{proxy_word}")));
        Self {
            home,
            trusted: trusted.map(|(host, port)| (host.to_owned(), port.parse().expect("a port"))).collect(),
            logins,
            proxy_header,
            proxy_forms: forms_of(proxy_word),
            challenges: Vec::new(),
            redirects: Vec::new(),
            tokens: HashMap::new(),
            faults: Vec::new(),
            counts: Counts { graphs: 1, ..Counts::default() },
        }
    }

    /// Whether the request may be one of this login's. Where there are two, each is for one repository; the
    /// URL of a redirect or of a token request may name any. (The operation in progress says nothing: on a
    /// busy machine, a request of an earlier one may arrive late.)
    fn may_be_of(&self, login: usize, request: &WorldRequest) -> bool {
        let path = path_of(request);
        let is_chosen_by_others = ["r", "c"].iter().any(|name| number_in(request, name).is_some());
        let other = if login == 0 { "/v2/other/" } else { "/v2/library/" };
        self.logins.len() == 1 || is_chosen_by_others || !path.contains(other)
    }

    /// The login that a request carries, in its field or in its form.
    fn login_in(&self, request: &WorldRequest) -> Option<usize> {
        let (value, content) = (field(request, "authorization"), String::from_utf8_lossy(&request.content));
        self.logins.iter().position(|it| {
            (it.header.is_some() && it.header.as_deref() == value)
                || it.form.as_ref().is_some_and(|form| content.contains(form))
        })
    }

    pub(super) fn note_challenge(&mut self, request: &WorldRequest) -> usize {
        let by = Origin::of(request);
        let is_returned = by == self.home && self.is_tainted(request);
        self.challenges.push(Challenge { by, is_returned });
        self.challenges.len() - 1
    }

    pub(super) fn note_redirect(&mut self, request: &WorldRequest) -> usize {
        let by = Origin::of(request);
        let is_foreign = by != self.home || self.is_tainted(request);
        self.redirects.push((by, is_foreign));
        self.redirects.len() - 1
    }

    /// A token for the host whose challenge this request answers.
    pub(super) fn issue(&mut self, request: &WorldRequest) -> Option<String> {
        let challenge = self.challenges.get(number_in(request, "c")?)?;
        let text = format!("Token{}.{}~+/w.", self.tokens.len(), "abcdefgh");
        let login = self.login_in(request);
        let token = Token { by: challenge.by.clone(), login, forms: forms_of(&text) };
        self.tokens.insert(text.clone(), token);
        Some(text)
    }

    /// Whether another host than the registry decided that this request comes here.
    fn is_tainted(&self, request: &WorldRequest) -> bool {
        number_in(request, "r").and_then(|number| self.redirects.get(number)).is_some_and(|(_, it)| *it)
    }

    /// Whether the operator's login may go there at all.
    fn is_allowed(&self, origin: &Origin) -> bool {
        let is_domain = origin.host == DOMAIN || origin.host.ends_with(&format!(".{DOMAIN}"));
        let is_listed = self.trusted.contains(&(origin.host.clone(), origin.port));
        origin.is_host(&self.home) || is_listed || (origin.scheme == "https" && is_domain)
    }

    /// Whether a request may carry the login: neither a redirect of another host led it to the registry, nor
    /// does a host that may not see the login get a token for it.
    fn may_carry_login(&self, request: &WorldRequest) -> bool {
        let origin = Origin::of(request);
        let returned = origin == self.home && self.is_tainted(request);
        let asked_by = number_in(request, "c").and_then(|number| self.challenges.get(number));
        let may_have_token = asked_by.is_none_or(|it| !it.is_returned && self.is_allowed(&it.by));
        self.is_allowed(&origin) && !returned && may_have_token
    }

    pub(super) fn judge(&mut self, request: &WorldRequest) {
        self.counts.requests += 1;
        let wrongs = self.wrongs(request);
        let WorldRequest { scheme, host, head, .. } = request;
        self.faults.extend(wrongs.into_iter().map(|wrong| format!("{wrong}: {scheme} {host}\n{head}")));
        if request.scheme != "connect" {
            self.count(request);
        }
    }

    /// A text that wharf prints.
    pub(super) fn judge_text(&mut self, text: &str) {
        if self.holds_secret(text) || self.proxy_forms.iter().any(|form| text.contains(form)) {
            self.faults.push(format!("a secret is printed: {text}"));
        }
    }

    fn wrongs(&self, request: &WorldRequest) -> Vec<&'static str> {
        let mut wrongs = Vec::new();
        let is_outside = request.scheme != "https";
        let mut rest: String = request.head.clone();
        match field(request, "proxy-authorization") {
            Some(value) if is_outside && value == self.proxy_header => rest = rest.replace(value, ""),
            Some(_) => wrongs.push("the proxy's login in the wrong place"),
            None => {}
        }
        if field(request, "cookie").is_some() || field(request, "referer").is_some() {
            wrongs.push("a field that tells where a request comes from");
        }
        if request.scheme == "http" && self.home.scheme == "https" {
            wrongs.push("a request in the clear for a registry with TLS");
        }
        if request.scheme == "connect" {
            if has_authorization(request) {
                wrongs.push("an authorization for a tunnel");
            }
        } else if let Some(value) = field(request, "authorization") {
            rest = rest.replace(value, "");
            wrongs.extend(self.wrong_authorization(request, value));
        }
        let mut content = String::from_utf8_lossy(&request.content).into_owned();
        if let Some(form) = self.login_in(request).and_then(|login| self.logins[login].form.as_ref())
            && content.contains(form)
        {
            if !self.may_carry_login(request) || number_in(request, "c").is_none() {
                wrongs.push("the identity token at the wrong host");
            }
            content = content.replace(form, "");
        }
        rest.push_str(&content);
        if self.holds_secret(&rest) {
            wrongs.push("a secret outside its field");
        }
        if self.proxy_forms.iter().any(|form| rest.contains(form)) {
            wrongs.push("the proxy's login outside its field");
        }
        wrongs
    }

    fn wrong_authorization(&self, request: &WorldRequest, value: &str) -> Option<&'static str> {
        let origin = Origin::of(request);
        if origin == self.home && self.is_tainted(request) {
            return Some("an authorization comes back with a redirect");
        }
        let token = value.strip_prefix("Bearer ").and_then(|text| self.tokens.get(text));
        if let Some(Token { by, login, .. }) = token {
            if *by != origin {
                return Some("the token of another host");
            }
            let is_wrong = login.is_some_and(|login| !self.may_be_of(login, request));
            return is_wrong.then_some("the token of another login");
        }
        let is_own = self.login_in(request).is_some_and(|login| self.may_be_of(login, request));
        match () {
            () if !is_own => Some("the login of another account, or no known one"),
            () if !self.may_carry_login(request) => Some("the login at the wrong host"),
            () => None,
        }
    }

    fn holds_secret(&self, text: &str) -> bool {
        let logins = self.logins.iter().flat_map(|it| &it.forms);
        logins.chain(self.tokens.values().flat_map(|it| &it.forms)).any(|form| text.contains(form))
    }

    fn count(&mut self, request: &WorldRequest) {
        let origin = Origin::of(request);
        let (is_home, is_stranger) = (origin == self.home, !self.is_allowed(&origin));
        let (is_tainted, value) = (self.is_tainted(request), field(request, "authorization"));
        let has_token = value.is_some_and(|it| it.starts_with("Bearer Token"));
        let has_login = (value.is_some() && !has_token) || !request.content.is_empty();
        let asks_token = number_in(request, "c").is_some();
        let counts = &mut self.counts;
        for (counter, is_counted) in [
            (&mut counts.at_home, is_home),
            (&mut counts.at_strangers, is_stranger),
            (&mut counts.returned, is_home && is_tainted),
            (&mut counts.logins_at_home, is_home && has_login),
            (&mut counts.logins_elsewhere, !is_home && has_login),
            (&mut counts.tokens_at_home, is_home && has_token),
            (&mut counts.tokens_elsewhere, !is_home && has_token),
            (&mut counts.token_requests_without_login, asks_token && !has_login),
        ] {
            *counter += u64::from(is_counted);
        }
    }
}

impl Counts {
    /// Whether every kind of request came about.
    pub(super) fn is_worth_something(&self) -> bool {
        let Self {
            graphs,
            requests,
            at_home,
            at_strangers,
            returned,
            logins_at_home,
            logins_elsewhere,
            tokens_at_home,
            tokens_elsewhere,
            token_requests_without_login,
        } = *self;
        let credentials = [logins_at_home, logins_elsewhere, tokens_at_home, tokens_elsewhere];
        let places = [at_home, at_strangers, returned, token_requests_without_login];
        requests > graphs && credentials.iter().chain(&places).all(|count| *count > 0)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.graphs += other.graphs;
        self.requests += other.requests;
        self.at_home += other.at_home;
        self.at_strangers += other.at_strangers;
        self.returned += other.returned;
        self.logins_at_home += other.logins_at_home;
        self.logins_elsewhere += other.logins_elsewhere;
        self.tokens_at_home += other.tokens_at_home;
        self.tokens_elsewhere += other.tokens_elsewhere;
        self.token_requests_without_login += other.token_requests_without_login;
    }
}
