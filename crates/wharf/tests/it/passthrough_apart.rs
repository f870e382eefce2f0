//! `auth = "passthrough"`: no login gets what another one may read, in any form of request, also while the
//! other one fetches it.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use testkit::client::{self, Connection, Response};
use testkit::{
    Account, Artifact, Auth, Behaviour, Endpoint, FakeRegistry, Fault, Gate, Image, Kind, Referrers, Rule,
    within,
};

use crate::passthrough::{PASSTHROUGH, alice, bearer, bob, fake, get, login, manifest, start};
use crate::program::{Program, registry};

const HOST: &str = "fake.test.localhost";

/// Requests for an image, its referrers and its lists through one repository.
struct Requests {
    targets: Vec<String>,
    blob: String,
}

impl Requests {
    fn put(fake: &FakeRegistry, repository: &str) -> Self {
        let image = Image::small(repository);
        fake.put_artifact(repository, &Artifact::about(&image.manifest, "application/spdx+json", b"{}"));
        let mut targets = vec![
            manifest(repository),
            format!("/v2/{repository}/manifests/{}", image.digest()),
            format!("/v2/{repository}/tags/list"),
            format!("/v2/{repository}/referrers/{}", image.digest()),
        ];
        targets.extend(image.blobs().map(|blob| format!("/v2/{repository}/blobs/{}", blob.digest)));
        let blob = format!("/v2/{repository}/blobs/{}", image.config.digest);
        Self { targets, blob }
    }

    /// The statuses of the answers to all of them, by GET, by HEAD and by ranges.
    async fn statuses(&self, program: &Program, login: Option<&str>) -> BTreeSet<u16> {
        let own: Vec<_> = login.map(|value| ("Authorization", value)).into_iter().collect();
        let mut statuses = BTreeSet::new();
        for target in &self.targets {
            for method in ["HEAD", "GET"] {
                if method == "HEAD" && (target.contains("/tags/") || target.contains("/referrers/")) {
                    continue;
                }
                let asked = client::request(method, program.address, HOST, target, &own);
                statuses.insert(within(target, asked).await.unwrap().status);
            }
        }
        for range in ["bytes=1-3", "bytes=-5", "bytes=1-2,5-6"] {
            let headers: Vec<_> = own.iter().copied().chain([("Range", range)]).collect();
            let asked = client::get(program.address, HOST, &self.blob, &headers);
            statuses.insert(within(range, asked).await.unwrap().status);
        }
        statuses
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_with_passthrough_no_form_of_request_gives_a_login_what_it_may_not_read() {
    let fake = fake(bearer()).await;
    fake.change(|behaviour| behaviour.referrers = Referrers::Filtered);
    let requests = Requests::put(&fake, "team/alice");
    let program = start(&fake, "");
    let refused = [(bob(), 403), (Some(login("alice", "canary-wrong")), 403), (None, 401)];
    // Before it is stored, and afterwards.
    for round in 0..2 {
        for (login, status) in &refused {
            let statuses = requests.statuses(&program, login.as_deref()).await;
            assert_eq!(statuses, BTreeSet::from([*status]), "{round} {login:?}");
        }
        let statuses = requests.statuses(&program, alice().as_deref()).await;
        assert_eq!(statuses, BTreeSet::from([200, 206]), "{round}");
    }
    assert_eq!(fake.log().refused_credentials(), 0, "the content network sees no login");
}

/// The requests of one login must not become answers to another one that comes while they run.
#[tokio::test(flavor = "multi_thread")]
async fn s14_with_passthrough_a_login_joins_no_fetch_of_what_it_may_not_read() {
    let fake = fake(bearer()).await;
    let image = Image::small("team/alice");
    let content: Vec<u8> = (0..2_000_000).map(|at| u8::try_from(at % 239).unwrap()).collect();
    let blob = fake.put_blob_in("team/alice", content.clone());
    let program = start(&fake, "");
    let by_digest = format!("/v2/team/alice/manifests/{}", image.digest());
    let blob_target = format!("/v2/team/alice/blobs/{blob}");
    let gate = Gate::new();
    fake.script(Rule::new(Kind::GetManifest, Fault::Stall(gate.clone())).reference(image.digest()));
    fake.script(Rule::new(Kind::GetBlob, Fault::PauseAt(1_000_000, gate.clone())).reference(&blob));
    let (own, mut reader) = (alice().unwrap(), Connection::open(program.address).await.unwrap());
    reader.request("GET", HOST, &blob_target, &[("Authorization", own.as_str())]).await.unwrap();
    assert_eq!(within("a head", reader.read_head("GET")).await.unwrap().status, 200);
    let pulling = get(&program, &by_digest, Some(own.as_str()));
    let others = async {
        gate.reached(2).await;
        let through_bob = format!("/v2/team/bob/blobs/{blob}");
        let table = [
            (bob(), &by_digest, 403),
            (bob(), &blob_target, 403),
            (bob(), &through_bob, 404),
            (Some(login("alice", "canary-wrong")), &blob_target, 403),
            (None, &by_digest, 401),
            (None, &blob_target, 401),
        ];
        for (login, target, status) in table {
            let other = within("an answer to another login", get(&program, target, login.as_deref())).await;
            assert_eq!(other.status, status, "{login:?} {target}: {}", other.text());
        }
        gate.release();
    };
    let (pulled, ()) = tokio::join!(pulling, others);
    assert_eq!((pulled.status, pulled.body), (200, image.manifest.bytes()));
    let (body, end) = within("the rest of the blob", reader.read_rest()).await;
    assert!(end.is_ok() && body == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn s36_with_passthrough_logins_that_differ_in_case_or_in_a_part_are_different_clients() {
    for auth in [bearer(), Auth::basic("nobody", "canary-nobody")] {
        let accounts = vec![
            Account::new("alice", "canary-one", &["team/lower"]),
            Account::new("Alice", "canary-one", &["team/upper"]),
            Account::new("alice", "Canary-one", &["team/other"]),
        ];
        let fake = FakeRegistry::start_with(Behaviour { auth, accounts, ..Behaviour::default() }).await;
        let repositories = ["team/lower", "team/upper", "team/other"];
        for name in repositories {
            fake.put_image(name, "1", &Image::small(name));
        }
        let program = start(&fake, "");
        let logins = [("alice", "canary-one"), ("Alice", "canary-one"), ("alice", "Canary-one")];
        for _ in 0..2 {
            for (own, (user, password)) in logins.iter().enumerate() {
                for (at, repository) in repositories.iter().enumerate() {
                    let answer = get(&program, &manifest(repository), Some(&login(user, password))).await;
                    let expected = if at == own { 200 } else { 403 };
                    assert_eq!(answer.status, expected, "{user} {password} {repository}: {}", answer.text());
                }
            }
        }
        // A login with an empty part is no login, and goes nowhere.
        let requests = fake.requests().len();
        for (user, password) in [("alice", ""), ("", "canary-one")] {
            for target in [manifest("team/lower"), "/v2/".to_owned()] {
                let answer = get(&program, &target, Some(&login(user, password))).await;
                assert_eq!(answer.status, 401, "{user:?} {password:?}: {}", answer.text());
            }
        }
        assert_eq!(fake.requests().len(), requests);
    }
}

/// A registry limits each account apart.
#[tokio::test(flavor = "multi_thread")]
async fn f10_with_passthrough_a_rate_limit_of_one_login_holds_up_no_other() {
    let limited = |kind| Rule::new(kind, Fault::Status(429)).user("alice").before_auth();
    let of_basic = [Kind::HeadManifest, Kind::GetManifest, Kind::HeadBlob, Kind::GetBlob].map(limited);
    let basic = (Auth::basic("nobody", "canary-nobody"), of_basic.to_vec());
    for (auth, rules) in [basic, (bearer(), vec![limited(Kind::Token)])] {
        let fake = fake(auth).await;
        fake.change(|behaviour| {
            behaviour.retry_after = Some("60".to_owned());
            behaviour.redirects = false;
            behaviour.accounts[0].repositories.push("team/bob".to_owned());
        });
        for rule in rules {
            fake.script(rule);
        }
        let program = start(&fake, "");
        let blob = format!("/v2/team/both/blobs/{}", Image::small("team/both").config.digest);
        for repository in ["team/both", "team/bob", "team/alice"] {
            let own = get(&program, &manifest(repository), alice().as_deref()).await;
            assert_eq!(own.status, 429, "{repository}: {}", own.text());
        }
        let requests = fake.requests().len();
        let again = get(&program, &manifest("team/both"), alice().as_deref()).await;
        assert_eq!((again.status, fake.requests().len()), (429, requests), "its own requests pause");
        for target in [manifest("team/both"), manifest("team/bob"), blob] {
            let other = get(&program, &target, bob().as_deref()).await;
            assert_eq!(other.status, 200, "{target}: {}", other.text());
        }
    }
}

/// The logins of the burst.
const LOGIN_COUNT: usize = 10_000;
/// The connections that send them.
const CONNECTION_COUNT: usize = 32;
/// Every login of this distance is a right one.
const RIGHT_EVERY: usize = 500;
/// The most requests that a wrong login may cost at the upstream: the token, a check of the login, and the
/// request itself with its challenge.
const REQUESTS_PER_LOGIN_MAX: usize = 5;
/// The most memory that the burst may leave behind, in bytes.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// Resident memory of the program, in bytes.
fn resident_bytes(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn s27_with_passthrough_ten_thousand_logins_at_once_cost_bounded_memory_and_mix_nothing() {
    let right = |number: usize| number.is_multiple_of(RIGHT_EVERY);
    let repository = |number: usize| format!("team/r{number}");
    let accounts = (0..LOGIN_COUNT).filter(|number| right(*number)).map(|number| {
        Account::new(&format!("user{number}"), &format!("word{number}"), &[&repository(number)])
    });
    let behaviour = Behaviour { auth: bearer(), accounts: accounts.collect(), ..Behaviour::default() };
    let fake = FakeRegistry::start_with(behaviour).await;
    for number in (0..LOGIN_COUNT).filter(|number| right(*number)) {
        fake.put_image(&repository(number), "1", &Image::small(&repository(number)));
    }
    // Each login comes from an address of its own, so that none is paced.
    let listen = "listen = \"127.0.0.1:0\"\n";
    let registry = registry("fake.test", &fake);
    let program = Program::start(&format!(
        "[server]\n{listen}trusted_proxies = [\"127.0.0.1\"]\n[admin]\n{listen}{registry}{PASSTHROUGH}"
    ));
    let before = resident_bytes(&program);
    let work = |connection: usize| {
        let program = &program;
        async move {
            let mut client = Connection::open(program.address).await.unwrap();
            for number in (connection..LOGIN_COUNT).step_by(CONNECTION_COUNT) {
                let authorization = login(&format!("user{number}"), &format!("word{number}"));
                let address = format!("10.{}.{}.7", number / 250, number % 250);
                let headers = [("Authorization", authorization.as_str()), ("X-Forwarded-For", &address)];
                // A right login asks for its own repository, and a wrong one for that of a right one.
                let own = number - number % RIGHT_EVERY;
                let target = manifest(&repository(own));
                client.request("GET", HOST, &target, &headers).await.unwrap();
                let answer: Response = within("an answer", client.read_response("GET")).await.unwrap();
                let expected = if right(number) { 200 } else { 403 };
                assert_eq!(answer.status, expected, "{number}: {}", answer.text());
            }
        }
    };
    join_all((0..CONNECTION_COUNT).map(work)).await;
    let growth = resident_bytes(&program).saturating_sub(before);
    assert!(growth <= GROWTH_BYTES_MAX, "{} MiB more", growth >> 20);
    let requests = fake.requests().len();
    assert!(requests <= REQUESTS_PER_LOGIN_MAX * LOGIN_COUNT, "{requests} requests");
    let gets = fake.log().count_where(|it| it.kind == Kind::GetManifest && it.endpoint == Endpoint::Registry);
    assert!(gets <= 3 * LOGIN_COUNT / RIGHT_EVERY, "{gets} manifests");
    // The burst may displace a right login while its first request runs. The next one makes it known.
    let mut asked = 0;
    for round in 0..2 {
        for number in (0..LOGIN_COUNT).filter(|number| right(*number)) {
            let authorization = login(&format!("user{number}"), &format!("word{number}"));
            let answer = get(&program, &manifest(&repository(number)), Some(&authorization)).await;
            assert_eq!(answer.status, 200, "{round} {number}: {}", answer.text());
        }
        let before = std::mem::replace(&mut asked, fake.count(Kind::Token));
        assert!(round == 0 || asked == before, "a right login is not known after the burst");
    }
}
