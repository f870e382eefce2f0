//! Profiles of well-known registries: their publicly known behaviour, as far as the fake registry can imitate
//! it. No request goes to them; `docs/reference/upstreams.md` describes each profile.

use std::time::Duration;

use crate::{
    Artifact, Auth, Behaviour, Endpoint, FakeRegistry, Fault, Image, Kind, RateLimit, Referrers, Rule,
    ScopeRules,
};

/// The login that profiles with a login accept.
const LOGIN: (&str, &str) = ("robot", "canary-word");

/// The behaviour of one registry.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The registry's name, which is also its name in wharf's configuration.
    pub name: &'static str,
    /// Whether a login is required.
    pub has_login: bool,
    /// Whether all requests are redirected to another registry.
    is_front: bool,
    behaviour: fn(&mut Behaviour),
    oddities: fn(&FakeRegistry),
}

/// A profile that answers on loopback.
#[derive(Debug)]
pub struct Played {
    /// The profile.
    pub profile: Profile,
    /// The registry that gets the requests.
    pub front: FakeRegistry,
    /// The registry to which it redirects all requests, if it does.
    behind: Option<FakeRegistry>,
}

const fn profile(name: &'static str, behaviour: fn(&mut Behaviour)) -> Profile {
    Profile { name, has_login: false, is_front: false, behaviour, oddities: |_| {} }
}

impl Profile {
    const fn with_login(mut self) -> Self {
        self.has_login = true;
        self
    }

    const fn redirects_all(mut self) -> Self {
        self.is_front = true;
        self
    }

    const fn oddly(mut self, oddities: fn(&FakeRegistry)) -> Self {
        self.oddities = oddities;
        self
    }
}

/// All profiles.
pub const PROFILES: [Profile; 23] = [
    profile("docker.io", |it| {
        let window = Duration::from_secs(21_600);
        it.rate_limit = Some(RateLimit { limit: 100, remaining: 100, window });
        it.referrers = Referrers::Unfiltered;
    }),
    profile("dhi.io", |it| it.auth = bearer_login()).with_login(),
    profile("ghcr.io", |_| {}),
    profile("quay.io", |it| {
        it.page_max = 50;
        it.referrers = Referrers::Filtered;
    }),
    profile("gcr.io", |it| it.expires_in = None),
    profile("us-docker.pkg.dev", |it| it.referrers = Referrers::Filtered),
    profile("registry.k8s.io", |it| it.auth = Auth::Anonymous).redirects_all(),
    profile("mcr.microsoft.com", |it| it.auth = Auth::Anonymous),
    profile("public.ecr.aws", |it| it.scopes = only("aws")),
    profile("123456789012.dkr.ecr.eu-west-1.amazonaws.com", |it| it.auth = Auth::basic(LOGIN.0, LOGIN.1))
        .with_login(),
    profile("team.azurecr.io", |it| {
        it.auth = bearer_login();
        it.scopes = ScopeRules { list_action: "metadata_read".to_owned(), ..ScopeRules::default() };
    })
    .with_login(),
    profile("nvcr.io", |it| it.expires_in = Some("900".into())),
    profile("registry.gitlab.com", |it| {
        it.auth = bearer_login();
        it.content_digest = false;
    })
    .with_login(),
    profile("harbor.corp.example", |it| {
        it.auth = bearer_login();
        it.redirects = false;
    })
    .with_login()
    .oddly(refuse_heads),
    profile("nexus.corp.example", |it| {
        it.auth = Auth::basic(LOGIN.0, LOGIN.1);
        it.redirects = false;
    })
    .with_login()
    .oddly(type_as_octets),
    profile("artifactory.corp.example", |it| {
        it.auth = bearer_login();
        it.scopes = ScopeRules { lacking: Some(403), ..ScopeRules::default() };
        it.redirects = false;
    })
    .with_login(),
    profile("gitea.corp.example", |it| {
        it.auth = bearer_login();
        it.scopes = only("*");
        it.redirects = false;
        it.head_blob = false;
    })
    .with_login(),
    profile("lscr.io", |_| {}).redirects_all(),
    profile("registry.redhat.io", |it| it.auth = bearer_login()).with_login(),
    profile("registry.access.redhat.com", |it| it.auth = Auth::Anonymous),
    profile("registry.istio.io", |_| {}).redirects_all(),
    profile("codeberg.org", |it| {
        it.auth = Auth::Bearer { credentials: None, anonymous: true };
        it.scopes = only("*");
        it.redirects = false;
    }),
    profile("static.corp.example", |it| {
        it.auth = Auth::Anonymous;
        it.redirects = false;
        it.content_digest = false;
    })
    .oddly(serve_files),
];

fn bearer_login() -> Auth {
    Auth::bearer(LOGIN.0, LOGIN.1)
}

fn only(scope: &str) -> ScopeRules {
    ScopeRules { only: Some(scope.to_owned()), ..ScopeRules::default() }
}

/// A proxy project answers 404 to a HEAD of content that it has not fetched yet, and serves it to a GET.
fn refuse_heads(registry: &FakeRegistry) {
    registry.script(Rule::new(Kind::HeadManifest, Fault::Status(404)));
}

fn type_as_octets(registry: &FakeRegistry) {
    let octets = || Fault::Header("content-type", "application/octet-stream".to_owned());
    registry.script(Rule::new(Kind::HeadBlob, octets()));
    registry.script(Rule::new(Kind::GetBlob, octets()));
}

/// Plain files on a web server, which guesses a media type and has its own 404 page.
fn serve_files(registry: &FakeRegistry) {
    let page = || Fault::StatusWith {
        code: 404,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: "<html><body><h1>404 Not Found</h1></body></html>".into(),
    };
    for kind in [Kind::HeadManifest, Kind::GetManifest] {
        registry.script(Rule::new(kind, Fault::Header("content-type", "text/plain".to_owned())));
        registry.script(Rule::new(kind, page()).reference("absent"));
    }
    for kind in [Kind::Tags, Kind::Referrers] {
        registry.script(Rule::new(kind, page()));
    }
}

impl Profile {
    /// Starts the registry with `image` as `repository:tag`, and an artifact that refers to it.
    ///
    /// # Panics
    /// When no loopback port is free.
    pub async fn play(self, repository: &str, tag: &str, image: &Image) -> Played {
        let mut behaviour = Behaviour::default();
        (self.behaviour)(&mut behaviour);
        let holder = FakeRegistry::start_with(behaviour).await;
        holder.put_image(repository, tag, image);
        holder.put_artifact(
            repository,
            &Artifact::about(&image.manifest, "application/vnd.example.sbom", b"{}"),
        );
        (self.oddities)(&holder);
        if !self.is_front {
            return Played { profile: self, front: holder, behind: None };
        }
        let front = FakeRegistry::start_anonymous().await;
        for kind in [
            Kind::HeadManifest,
            Kind::GetManifest,
            Kind::HeadBlob,
            Kind::GetBlob,
            Kind::Tags,
            Kind::Referrers,
        ] {
            front.script(Rule::new(kind, Fault::RedirectBelow(holder.url())).at(Endpoint::Registry));
        }
        Played { profile: self, front, behind: Some(holder) }
    }
}

impl Played {
    /// The registry with the image.
    pub fn holder(&self) -> &FakeRegistry {
        self.behind.as_ref().unwrap_or(&self.front)
    }

    /// All servers of the registry.
    pub fn all(&self) -> impl Iterator<Item = &FakeRegistry> {
        [&self.front].into_iter().chain(&self.behind)
    }

    /// Its block in wharf's configuration.
    pub fn block(&self) -> String {
        let hosts = self.all().flat_map(|registry| {
            [Endpoint::Registry, Endpoint::Token, Endpoint::Cdn].map(|endpoint| registry.host_of(endpoint))
        });
        let hosts: Vec<_> = hosts.map(|host| format!("\"{host}\"")).collect();
        let (name, url) = (self.profile.name, self.front.url());
        let mut block = format!("[[registry]]\nname = \"{name}\"\nupstream = \"{url}\"\n");
        block += &format!("trusted_hosts = [{}]\n", hosts.join(", "));
        if self.profile.has_login {
            block += &format!("username = \"{}\"\npassword = \"{}\"\n", LOGIN.0, LOGIN.1);
            // They give nothing to anyone without a login.
            block += "serve_private = true\n";
        }
        block
    }
}
