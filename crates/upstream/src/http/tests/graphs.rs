//! Generated worlds of challenges and redirects, after the login of a registry and its tokens. Every host
//! answers as a seed decides, and an oracle that shares no code with wharf judges each request that arrives
//! anywhere. A failure names its seed; `WHARF_GRAPH` replays one, and `WHARF_GRAPHS` sets their number.

mod generator;
mod oracle;

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};

use credentials::{Login, Rule, SourceSettings};
use fastrand::Rng;
use futures_util::StreamExt as _;
use oci::{Digest, Reference, Repository};
use policy::head_trust::Stakes;
use testkit::{Authority, World, WorldTls, within};
use tokio::task::JoinSet;

use self::generator::{HOSTS, answer};
use self::oracle::{Counts, Origin, Secret, State};
use crate::contract::{BlobRange, Upstream};
use crate::error::Error;
use crate::http::HttpUpstream;
use crate::settings::{ProxySettings, Settings};
use crate::tls::Authorities;

const GRAPHS_DEFAULT: u64 = 200;

/// Graphs that run at the same time.
const CONCURRENT_COUNT: usize = 16;

/// Operations on each graph: the later ones find what the earlier ones learned.
const OPERATION_COUNT: usize = 4;

/// The repositories of the operations. Where there are two accounts, each has one of these.
const REPOSITORIES: [&str; 2] = ["library/alpine", "other/app"];

/// A host that is listed as the upstream's own in half of the graphs.
const TRUSTED: &str = "login.example.org:9443";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s01_s03_s36_no_generated_graph_of_realms_and_redirects_sees_a_credential_that_is_not_for_it() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let mut seeds = match number("WHARF_GRAPH") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WHARF_GRAPHS").unwrap_or(GRAPHS_DEFAULT),
    };
    let is_replay = seeds.end - seeds.start == 1;
    let authority = Authority::new();
    let ground = Ground {
        tls: WorldTls::of(&authority, &generator::certified_names()),
        ca: authority.pem().into_bytes(),
        authorities: Authorities::load(),
    };
    let (mut running, mut total) = (JoinSet::new(), Counts::default());
    loop {
        while running.len() < CONCURRENT_COUNT
            && let Some(seed) = seeds.next()
        {
            running.spawn(explore(seed, ground.clone()));
        }
        let Some(explored) = running.join_next().await else { break };
        total += explored.unwrap();
    }
    println!("{total:?}");
    // Where the login never went anywhere, nothing was tried.
    assert!(is_replay || total.is_worth_something(), "{total:?}");
}

/// The parts that all graphs share.
#[derive(Clone)]
struct Ground {
    tls: WorldTls,
    ca: Vec<u8>,
    authorities: Authorities,
}

/// Pulls through one graph.
async fn explore(seed: u64, ground: Ground) -> Counts {
    let mut rng = Rng::with_seed(seed);
    let home = home(&mut rng);
    let (credentials, logins) = logins(seed, &mut rng);
    let trusted_hosts = if rng.bool() { vec![TRUSTED.to_owned()] } else { Vec::new() };
    let proxy_word = format!("Proxy{seed:x}.word");
    let state = State::new(Origin::of_url(&home), &trusted_hosts, logins, &proxy_word);
    let state = Arc::new(Mutex::new((rng.fork(), state)));
    let seen = Arc::clone(&state);
    let world = World::start(ground.tls, move |request| {
        let (rng, state) = &mut *seen.lock().unwrap_or_else(PoisonError::into_inner);
        state.judge(request);
        answer(rng, state, request)
    })
    .await;
    let mut settings = Settings::new("graph", home.parse().unwrap());
    settings.credentials = credentials;
    settings.trusted_hosts = trusted_hosts;
    settings.ca = vec![ground.ca];
    let proxy = format!("http://proxy-user:{proxy_word}@{}", world.proxy_host());
    settings.proxy = Some(ProxySettings::new(proxy.parse().unwrap()));
    let metrics = telemetry::Metrics::new(&["graph".to_owned()]);
    let upstream = HttpUpstream::new(settings, &ground.authorities, metrics.registry("graph")).unwrap();
    // The names of the world exist in no name server.
    let clients = upstream.addresses.first().transport.connections.clients();
    generator::names().iter().for_each(|name| clients.proxy_names.pretend_public(name));
    for _ in 0..OPERATION_COUNT {
        let repository = rng.usize(..REPOSITORIES.len());
        let failure = operate(&upstream, REPOSITORIES[repository], &mut rng).await;
        let printed = failure.map(|error| {
            let mut text = format!("{error} {error:?}");
            let mut next = error.source();
            while let Some(cause) = next {
                text.push_str(&format!("\n{cause} {cause:?}"));
                next = cause.source();
            }
            text
        });
        let state = &mut state.lock().unwrap_or_else(PoisonError::into_inner).1;
        state.judge_text(&format!("{printed:?} {upstream:?} {}", metrics.encode()));
    }
    let state = &state.lock().unwrap_or_else(PoisonError::into_inner).1;
    assert!(state.faults.is_empty(), "replay with WHARF_GRAPH={seed}:\n{}", state.faults.join("\n"));
    state.counts
}

/// One pull, whatever comes of it.
async fn operate(upstream: &HttpUpstream, repository: &str, rng: &mut Rng) -> Option<Error> {
    let repository: Repository = repository.parse().unwrap();
    let digest: Digest = generator::DIGEST.parse().unwrap();
    let tag: Reference = "latest".parse().unwrap();
    match rng.u8(..4) {
        0 => within("a manifest", upstream.get_manifest(&repository, &tag)).await.err(),
        1 => within("a description", upstream.head_manifest(&repository, &tag, Stakes::Nothing)).await.err(),
        2 => within("a size", upstream.head_blob(&repository, &digest, Stakes::Nothing)).await.err(),
        _ => match within("a blob", upstream.get_blob(&repository, &digest, BlobRange::Whole)).await {
            Ok(mut stream) => loop {
                match within("a chunk", stream.body.next()).await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            },
            Err(error) => Some(error),
        },
    }
}

fn home(rng: &mut Rng) -> String {
    let scheme = if rng.u8(..3) == 0 { "http" } else { "https" };
    let port = if rng.u8(..4) == 0 { ":8443" } else { "" };
    format!("{scheme}://{}{port}", HOSTS[0])
}

/// The accounts of a graph: none, one of each kind, or two.
fn logins(seed: u64, rng: &mut Rng) -> (credentials::Settings, Vec<Secret>) {
    // With characters that every encoding changes.
    let word = |name: &str| format!("{name}{seed:x}/+&=~q");
    let password = |user: &str, word: &str| Login::password(user, word).unwrap();
    let (one, two) = (word("Canary"), word("Second"));
    match rng.u8(..8) {
        0 => (credentials::Settings::default(), Vec::new()),
        1 | 2 => {
            let login = Login::identity_token(&one).unwrap();
            (credentials::Settings::of(login), vec![Secret::identity_token(&one)])
        }
        3 => {
            let login = Login::registry_token(&one).unwrap();
            (credentials::Settings::of(login), vec![Secret::registry_token(&one)])
        }
        4 | 5 => {
            let rule = |pattern: &str, login| Rule {
                pattern: Some(pattern.parse().unwrap()),
                source: SourceSettings::Fixed(login),
            };
            let rules =
                vec![rule("library/*", password("robot", &one)), rule("other/*", password("android", &two))];
            let secrets = vec![Secret::password("robot", &one), Secret::password("android", &two)];
            (credentials::Settings { rules }, secrets)
        }
        _ => (credentials::Settings::of(password("robot", &one)), vec![Secret::password("robot", &one)]),
    }
}
