//! The conditions of a check: a form of address, and the state of cache and upstream.

use serde_json::Value;
use testkit::client::{self, Response};
use testkit::{Auth, Behaviour, Door, Endpoint, FakeRegistry, Program, Referrers, TempStore, within};

/// The repository that everything is in, unless a test says otherwise.
pub(crate) const REPOSITORY: &str = "library/app";

/// The only codes that an error of the 400s may have (distribution-spec, "Error Codes").
const ERROR_CODES: [&str; 14] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
];

/// A form of address that names a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `Host: <registry>.<anything>`
    HostLabel,
    /// `Host: <registry>`
    HostName,
    /// `/<registry>/v2/...`
    PrefixBefore,
    /// `/v2/<registry>/...`
    PrefixBehind,
    /// `/v2/<registry>/v2/...`
    PrefixBetween,
    /// `/<registry>/...`
    PrefixAlone,
    /// `?ns=<registry>`
    Namespace,
    /// A target that is a whole URL
    Absolute,
}

/// Each form has its own registry, so that each finds a cold cache.
const FORMS: [(Form, &str); 8] = [
    (Form::HostLabel, "label.test"),
    (Form::HostName, "name.test"),
    (Form::PrefixBefore, "before.test"),
    (Form::PrefixBehind, "behind.test"),
    (Form::PrefixBetween, "between.test"),
    (Form::PrefixAlone, "alone.test"),
    (Form::Namespace, "namespace.test"),
    (Form::Absolute, "absolute.test"),
];

/// The state of cache and upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is stored.
    Cold,
    /// Everything was pulled before.
    Warm,
    /// Everything was pulled before, and the upstream is gone.
    Alone,
}

/// The program and its upstream.
pub(crate) struct Stage {
    pub(crate) upstream: FakeRegistry,
    program: Program,
    _store: TempStore,
}

/// One registry of the program, reached in one form.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    program: &'a Program,
    pub(crate) form: Form,
    pub(crate) registry: &'static str,
    pub(crate) phase: Phase,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let behaviour =
            Behaviour { auth: Auth::Anonymous, referrers: Referrers::Filtered, ..Behaviour::default() };
        let (upstream, store) = (FakeRegistry::start_with(behaviour).await, TempStore::new());
        let registries = FORMS.map(|(_, name)| (name, &upstream));
        let program = Program::start(env!("CARGO_BIN_EXE_wharf"), store.path(), &registries);
        Self { upstream, program, _store: store }
    }

    /// Checks in every form: cold, warm, and with the upstream gone.
    pub(crate) async fn everywhere(&self, check: impl AsyncFn(Place<'_>)) {
        self.in_phase(Phase::Cold, &check).await;
        self.program.settle().await;
        self.in_phase(Phase::Warm, &check).await;
        for endpoint in [Endpoint::Registry, Endpoint::Cdn] {
            self.upstream.set_door(endpoint, Door::Refuse).await;
        }
        self.in_phase(Phase::Alone, &check).await;
    }

    /// Checks in every form a request that only the upstream can answer, twice.
    pub(crate) async fn while_the_upstream_answers(&self, check: impl AsyncFn(Place<'_>)) {
        self.in_phase(Phase::Cold, &check).await;
        self.in_phase(Phase::Warm, &check).await;
    }

    async fn in_phase(&self, phase: Phase, check: &impl AsyncFn(Place<'_>)) {
        for (form, registry) in FORMS {
            check(Place { program: &self.program, form, registry, phase }).await;
        }
    }
}

impl Place<'_> {
    /// One request for `path`, the part after `/v2/`, perhaps with a query.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let (host, target) = self.address(path);
        let asked = client::request(method, self.program.address, &host, &target, headers);
        within("an answer", asked).await.unwrap_or_else(|error| panic!("{self:?} {target}: {error:?}"))
    }

    /// A GET with a whole answer.
    pub(crate) async fn get(&self, path: &str) -> Response {
        let answer = self.ask("GET", path, &[]).await;
        assert!(answer.complete, "{self:?} {path}: the body broke off");
        answer
    }

    pub(crate) async fn get_range(&self, path: &str, range: &str) -> Response {
        self.ask("GET", path, &[("Range", range)]).await
    }

    /// GET and HEAD, which must differ only in the body (RFC 9110, section 9.3.2); the answer to the GET.
    pub(crate) async fn get_and_head(&self, path: &str) -> Response {
        let head = self.ask("HEAD", path, &[]).await;
        let got = self.get(path).await;
        assert!(head.body.is_empty(), "{self:?} {path}");
        assert_eq!(head.status, got.status, "{self:?} {path}");
        // The message of an error has the number of the request, which may have grown by a digit.
        let length = (got.status < 400).then_some("content-length");
        for name in ["content-type", "docker-content-digest"].into_iter().chain(length) {
            assert_eq!(head.header(name), got.header(name), "{self:?} {path}: {name}");
        }
        got
    }

    /// Follows a `Link`, resolved against the URL of the request.
    pub(crate) async fn follow(&self, link: &str) -> Response {
        let (target, rest) = link.trim_start_matches('<').split_once('>').expect("<target>");
        assert_eq!(rest.trim(), "; rel=\"next\"", "RFC 8288");
        assert!(target.starts_with('/'), "{target} stays on this host");
        let (host, _) = self.address("");
        within("a page", client::get(self.program.address, &host, target, &[])).await.expect("an answer")
    }

    /// `Host` and target in this form.
    fn address(&self, path: &str) -> (String, String) {
        let registry = self.registry;
        let plain = "localhost".to_owned();
        match self.form {
            Form::HostLabel => (format!("{registry}.localhost"), format!("/v2/{path}")),
            Form::HostName => (registry.to_owned(), format!("/v2/{path}")),
            Form::PrefixBefore => (plain, format!("/{registry}/v2/{path}")),
            Form::PrefixBehind => (plain, format!("/v2/{registry}/{path}")),
            Form::PrefixBetween => (plain, format!("/v2/{registry}/v2/{path}")),
            Form::PrefixAlone => (plain, format!("/{registry}/{path}")),
            Form::Namespace => {
                let mark = if path.contains('?') { '&' } else { '?' };
                (plain, format!("/v2/{path}{mark}ns={registry}"))
            }
            Form::Absolute => {
                let host = format!("{registry}.localhost");
                (host.clone(), format!("http://{host}/v2/{path}"))
            }
        }
    }
}

impl std::fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.form, self.phase)
    }
}

/// The body as JSON.
pub(crate) fn json(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

/// Checks that an answer is an error with this status and code, in the form that the specification gives
/// ("Error Codes").
pub(crate) fn assert_error(place: &Place<'_>, answer: &Response, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{place:?}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"), "{place:?}");
    let document = json(answer);
    let errors = document["errors"].as_array().expect("errors is a list");
    assert!(!errors.is_empty(), "{document}");
    for error in errors {
        assert_eq!(error["code"], code, "{place:?}");
        assert!(ERROR_CODES.contains(&code), "{code} is none of the specification's");
        assert!(error["message"].is_string(), "{document}");
    }
}
