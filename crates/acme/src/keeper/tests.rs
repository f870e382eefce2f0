mod authority;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use certificates::authority::Authority;
use credentials::{ProcessSettings, Variables};
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, Response};
use parking_lot::Mutex;
use serde_json::json;
use tempfile::TempDir;
use url::Url;

use self::authority::{DIRECTORY, FakeAuthority, Issued, changed, with};
use super::*;
use crate::settings::{Challenge, Dns};
use crate::state::NotedRecord;

/// The name of the orders.
const NAME: &str = "a.example";

/// The path of the answer to the challenge of the first name.
const ANSWER_PATH: &str = "/.well-known/acme-challenge/token-0";

/// The certificates that are shown to clients.
type Shown = Arc<Mutex<Vec<Certificate>>>;

struct Lab {
    keeper: Keeper,
    goals: watch::Sender<Goal>,
    shown: Shown,
    challenges: Arc<Challenges>,
    directory: TempDir,
}

fn goal(names: &[&str], transport: impl Transport, challenge: Challenge) -> Goal {
    let directory = Url::parse(DIRECTORY).unwrap();
    let settings = Settings { directory, contact: Vec::new(), binding: None, challenge };
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Goal { settings, names, transport: Arc::new(transport) }
}

/// A keeper with this goal. `prepare` gets the state before.
fn lab_after(goal: Goal, prepare: impl FnOnce(&AuthorityState)) -> Lab {
    let directory = tempfile::tempdir().unwrap();
    let state = State::open(directory.path()).unwrap();
    prepare(&state.of(&goal.settings.directory).unwrap());
    let shown = Shown::default();
    let showing = Arc::clone(&shown);
    let challenges = Arc::<Challenges>::default();
    let parts = Parts {
        state,
        challenges: Arc::clone(&challenges),
        show: Box::new(move |certificates| *showing.lock() = certificates),
        metrics: Arc::new(Metrics::new(&[])),
    };
    let (goals, receiver) = watch::channel(goal);
    let keeper = Keeper::new(parts, receiver).unwrap();
    Lab { keeper, goals, shown, challenges, directory }
}

/// A keeper that holds a good certificate for [`NAME`] before this authority.
fn lab(transport: impl Transport) -> Lab {
    let made = Authority::make("test", &["example".to_owned()], now()).unwrap();
    let pair = Authority::open(&made, now()).unwrap().sign(&[NAME.to_owned()], now()).unwrap();
    lab_after(goal(&[NAME], transport, Challenge::Http), |state| {
        state.store(&pair.certificate, &pair.key, &[]).unwrap();
    })
}

impl Lab {
    /// Orders a certificate for [`NAME`].
    async fn order(&mut self) -> Result<Stored, (Failure, Option<Duration>)> {
        let keeper = &mut self.keeper;
        let challenge = &keeper.goal.settings.challenge;
        let mut responder = Responder::new(challenge, &keeper.parts.challenges, &keeper.authority);
        let ordered = keeper.try_order(&[NAME.to_owned()], &mut responder).await;
        responder.clean_up().await;
        assert_eq!(self.challenges.http_answer(ANSWER_PATH), None, "the answer is taken back");
        ordered
    }
}

type Tamper = Box<dyn Fn(&str, Response<Bytes>) -> Response<Bytes> + Send + Sync>;

/// Changes the answers to requests of `at`.
fn at(
    at: &'static str,
    change: impl Fn(Response<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
) -> Tamper {
    Box::new(move |path, answer| if path == at { change(answer) } else { answer })
}

fn honest() -> Tamper {
    Box::new(|_, answer| answer)
}

/// Orders at an authority with this fault. The failure must contain `expected`, and the certificate in use
/// must stay.
async fn check_refused(expected: &str, issued: Issued, tamper: Tamper) -> Option<Duration> {
    let mut lab = lab(FakeAuthority::new(issued, tamper));
    let before = lab.shown.lock().clone();
    let file = lab.keeper.held[0].stored.path.clone();
    let content = fs::read(&file).unwrap();
    let (failure, pause) = lab.order().await.expect_err(expected);
    assert!(failure.text.contains(expected), "{expected:?} is not in {:?}", failure.text);
    assert!(failure.text.len() < 1000, "{}", failure.text.len());
    assert!(!failure.text.contains(char::is_control), "{:?}", failure.text);
    lab.keeper.fail(&[NAME.to_owned()], &failure, pause);
    let waits = lab.keeper.failures.ready_at(NAME).saturating_sub(now());
    assert!((1..=24 * 3600).contains(&waits), "{expected}: {waits} s");
    assert_eq!(*lab.shown.lock(), before, "{expected}");
    assert_eq!(fs::read(&file).unwrap(), content, "{expected}");
    assert_eq!(lab.keeper.authority.certificates().len(), 1, "{expected}");
    pause
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_follows_the_protocol_replaces_the_certificate() {
    let mut lab = lab(FakeAuthority::new(Issued::default(), honest()));
    let before = lab.keeper.held[0].stored.clone();
    let stored = lab.order().await.map_err(|(failure, _)| failure.text).unwrap();
    assert_eq!(stored.path, before.path);
    assert_ne!(stored.certificate, before.certificate);
    lab.keeper.succeed(&[NAME.to_owned()], stored.clone());
    assert_eq!(*lab.shown.lock(), [stored.certificate]);
}

#[tokio::test(start_paused = true)]
async fn an_authority_whose_answers_are_none_is_told_in_words() {
    let html = || "<html><body>It works!</body></html>";
    let page = |path| at(path, move |answer| with(answer, 200, html()));
    for (expected, tamper) in [
        ("what it answers is no directory of ACME; check the URL", page("/dir")),
        ("its answer is none of ACME: ", page("/order")),
        ("its answer is none of ACME: ", page("/authorization/0")),
        ("its answer is none of ACME: ", page("/challenge/0")),
        ("its answer is none of ACME: ", page("/order/1")),
        ("its answer is none of ACME: ", page("/finalize")),
        ("the authority's chain: ", page("/certificate")),
        ("ca.example answered 500", at("/order", move |answer| with(answer, 500, html()))),
        ("answered 302 Found, and wharf follows no redirect", at("/order", |it| with(it, 302, ""))),
        (
            "answered 308 Permanent Redirect, and wharf follows no redirect",
            at("/dir", |it| with(it, 308, "")),
        ),
        ("an answer of more than 262144 bytes", at("/order", |it| with(it, 201, vec![b' '; 300_000]))),
        (
            "an answer of more than 262144 bytes",
            at("/certificate", |it| with(it, 200, vec![b'A'; 1_000_000])),
        ),
    ] {
        check_refused(expected, Issued::default(), tamper).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_authority_leads_to_no_other_names_and_to_no_plain_address() {
    let directory =
        |key: &'static str, url: &'static str| at("/dir", move |it| changed(it, |it| it[key] = url.into()));
    let name = |value: &'static str| {
        at("/authorization/0", move |it| changed(it, |it| it["identifier"]["value"] = value.into()))
    };
    let token = |text: &'static str| {
        at("/authorization/0", move |it| changed(it, |it| it["challenges"][0]["token"] = text.into()))
    };
    for (expected, tamper) in [
        ("without https", directory("newOrder", "http://169.254.169.254/latest")),
        ("without https", directory("newAccount", "/account")),
        ("gave a directory whose newNonce is no address", directory("newNonce", "no address\n")),
        ("gave a directory whose newNonce is no address", directory("newNonce", "")),
        ("validates \"other.example\", which the order does not name", name("other.example")),
        ("validates \"x  y\", which the order does not name", name("x\n\u{1b}y")),
        ("the authority's token for a.example is none", token("../../v2/")),
        ("the authority's token for a.example is none", token("<script>")),
        ("the authority's token for a.example is none", token("")),
    ] {
        check_refused(expected, Issued::default(), tamper).await;
    }
    let address = json!({"type": "ip", "value": "127.0.0.1"});
    let tamper = at("/authorization/0", move |it| changed(it, |it| it["identifier"] = address.clone()));
    check_refused("validates \"127.0.0.1\", which the order does not name", Issued::default(), tamper).await;
}

#[tokio::test(start_paused = true)]
async fn an_authority_gets_a_bounded_share_of_time_and_memory() {
    let retry_after = |text: &'static str, path: &'static str, status: &'static str| {
        at(path, move |answer| {
            let mut answer = changed(answer, |it| it["status"] = status.into());
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(text));
            answer
        })
    };
    let processing = at("/order/1", |it| changed(it, |it| it["status"] = "processing".into()));
    let pending = at("/order/1", |it| changed(it, |it| it["status"] = "pending".into()));
    let old_nonce = "{\"type\": \"urn:ietf:params:acme:error:badNonce\", \"detail\": \"old\"}";
    let no_nonce: Tamper = Box::new(|_, mut answer| {
        answer.headers_mut().remove("replay-nonce");
        answer
    });
    let many = |count: usize| {
        at("/order", move |it| {
            changed(it, |it| it["authorizations"] = vec!["https://ca.example/x"; count].into())
        })
    };
    let challenges = at("/authorization/0", |it| {
        changed(it, |it| {
            let one = it["challenges"][0].clone();
            it["challenges"] = vec![one; 17].into();
        })
    });
    for (expected, tamper) in [
        ("the authority took too long to validate the names", processing),
        ("the authority took too long to validate the names", pending),
        (
            "the authority took too long to validate the names",
            retry_after("31536000", "/order/1", "processing"),
        ),
        (
            "the authority took too long to validate the names",
            retry_after("18446744073709551615", "/order/1", "processing"),
        ),
        ("(badNonce)", at("/order", move |it| with(it, 400, old_nonce))),
        ("no nonce found", no_nonce),
        ("the authority asks for 101 validations", many(101)),
        ("the authority asks for 10000 validations", many(10_000)),
        ("the authority offers 17 challenges for a.example", challenges),
    ] {
        check_refused(expected, Issued::default(), tamper).await;
    }
    let limited = at("/order", |it| {
        let mut answer = with(it, 429, "{\"detail\": \"too many orders\"}");
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("31536000"));
        answer
    });
    let pause = check_refused("too many orders", Issued::default(), limited).await;
    assert_eq!(pause, Some(Duration::from_secs(31_536_000)), "the pause of a failure has its own bound");
}

#[tokio::test(start_paused = true)]
async fn no_certificate_that_clients_cannot_use_takes_the_place_of_a_good_one() {
    for (expected, issued) in [
        (
            "does not cover a.example",
            Issued { names: Some(vec!["b.example".to_owned()]), ..Issued::default() },
        ),
        ("does not cover a.example", Issued { names: Some(Vec::new()), ..Issued::default() }),
        ("it is not valid now", Issued { age: 100 * 86_400, left: -60, ..Issued::default() }),
        ("it is not valid now", Issued { age: -3600, ..Issued::default() }),
        ("it ends within the hour", Issued { left: 60, ..Issued::default() }),
        ("cannot be used together", Issued { is_for_the_key: false, ..Issued::default() }),
        ("it has 11 certificates", Issued { others: 10, ..Issued::default() }),
        ("an answer of more than 262144 bytes", Issued { others: 3000, ..Issued::default() }),
    ] {
        check_refused(expected, issued, honest()).await;
    }
}

/// An authority that gives no answer to some requests.
struct Silent {
    authority: FakeAuthority,
    path: &'static str,
}

#[async_trait::async_trait]
impl Transport for Silent {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        if request.uri().path().starts_with(self.path) {
            std::future::pending::<()>().await;
        }
        self.authority.send(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_says_nothing_holds_up_an_order_and_a_question_for_a_bounded_time() {
    let silent = |path| Silent { authority: FakeAuthority::new(Issued::default(), honest()), path };
    let mut lab = lab(silent("/finalize"));
    lab.keeper.order(vec![NAME.to_owned()], &CancellationToken::new()).await;
    assert_eq!(lab.keeper.failures.authority_count(), 1);
    // A question for a window, and one for the directory before it.
    for path in ["/renewal", "/dir"] {
        let mut lab = self::lab(silent(path));
        let before = now();
        lab.keeper.ask_for_windows().await;
        let wait = lab.keeper.held[0].ask_at - before;
        assert!((SLEEP_SECONDS_MAX..SLEEP_SECONDS_MAX + 60).contains(&wait), "{path}: {wait} s");
    }
}

/// Names come and go with reloads, and the certificates of those that went stay a while.
#[tokio::test(start_paused = true)]
async fn the_certificates_of_one_process_have_a_bound() {
    let authority = || FakeAuthority::new(Issued::default(), honest());
    let mut lab = lab_after(goal(&["first.example"], authority(), Challenge::Http), |_| {});
    let shutdown = CancellationToken::new();
    for number in 0..CERTIFICATE_COUNT_MAX + 5 {
        let name = format!("n{number}.example");
        lab.goals.send(goal(&[&name], authority(), Challenge::Http)).unwrap();
        lab.keeper.follow_goal();
        lab.keeper.drop_obsolete();
        lab.keeper.order(vec![name.clone()], &shutdown).await;
        assert!(lab.shown.lock().last().unwrap().dns_names().contains(&name), "{number}");
    }
    assert_eq!(lab.keeper.held.len(), CERTIFICATE_COUNT_MAX);
    assert_eq!(lab.keeper.authority.certificates().len(), CERTIFICATE_COUNT_MAX);
    assert_eq!(lab.shown.lock().len(), CERTIFICATE_COUNT_MAX);

    // Certificates that are all wanted stay, and there is no room for another.
    let wanted: Vec<String> =
        lab.keeper.held.iter().flat_map(|kept| kept.stored.certificate.dns_names().to_vec()).collect();
    let more: Vec<&str> = wanted.iter().map(String::as_str).chain([NAME]).collect();
    lab.goals.send(goal(&more, authority(), Challenge::Http)).unwrap();
    lab.keeper.follow_goal();
    lab.keeper.drop_obsolete();
    let (failure, _) = lab.order().await.expect_err("there is no room");
    assert!(failure.text.starts_with("wharf has 200 certificates of this authority"), "{}", failure.text);
    assert_eq!(lab.keeper.authority.certificates().len(), CERTIFICATE_COUNT_MAX);
}

/// A hook that notes its calls, and the note of the state at each of them.
fn hook(directory: &TempDir, note: &std::path::Path, end: &str) -> Challenge {
    let program = directory.path().join("hook");
    let calls = directory.path().join("calls");
    let script = format!("#!/bin/sh\necho \"$1 $2 $3: $(cat {note:?} 2>&1)\" >> {calls:?}\n{end}\n");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let variables = Variables::of_a_program([], |_| Some("/usr/bin:/bin".to_owned()));
    let timeout = Duration::from_secs(20);
    let by = Dns::Hook(ProcessSettings { program, arguments: Vec::new(), variables, timeout });
    Challenge::Dns { by, wait: Duration::ZERO }
}

#[tokio::test]
async fn a_record_is_noted_before_it_is_made_and_until_it_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let dns = |_: &str, answer: Response<Bytes>| {
        answer.map(|body| String::from_utf8_lossy(&body).replace("http-01", "dns-01").into())
    };
    let authority = || FakeAuthority::new(Issued::default(), Box::new(dns));
    let mut lab = lab_after(goal(&[NAME], authority(), Challenge::Http), |_| {});
    let note = lab.directory.path().join("ca.example-dir/records");
    for (end, is_made) in [("exit 0", true), ("[ $1 = cleanup ]", false)] {
        let challenge = hook(&directory, &note, end);
        lab.goals.send(goal(&[NAME], authority(), challenge)).unwrap();
        lab.keeper.follow_goal();
        let ordered = lab.order().await.map_err(|(failure, _)| failure.text);
        assert_eq!(ordered.is_ok(), is_made, "{:?}", ordered.err());
        let calls = fs::read_to_string(directory.path().join("calls")).unwrap();
        let [present, cleanup] = calls.lines().collect::<Vec<_>>()[..] else { panic!("{calls}") };
        let (record, noted) = present.strip_prefix("present ").unwrap().split_once(": ").unwrap();
        assert_eq!(noted, record, "it is noted while it is made");
        assert_eq!(cleanup, format!("cleanup {record}: {record}"), "also where the making failed");
        assert_eq!(lab.keeper.authority.records(), [], "it is noted no longer");
        fs::remove_file(directory.path().join("calls")).unwrap();
    }
}

#[tokio::test]
async fn a_process_removes_the_records_that_the_one_before_it_left_in_the_dns() {
    let directory = tempfile::tempdir().unwrap();
    let record = |name: &str| NotedRecord { name: format!("_acme-challenge.{name}."), value: "v".to_owned() };
    let authority = FakeAuthority::new(Issued::default(), honest());
    // One of the two cannot be removed.
    let challenge = hook(&directory, directory.path(), "[ $2 != _acme-challenge.bad.example. ]");
    let mut lab = lab_after(goal(&[NAME], authority, challenge), |state| {
        for name in ["bad.example", NAME] {
            state.note_record(&record(name)).unwrap();
        }
    });
    lab.keeper.remove_left_behind().await;
    assert_eq!(lab.keeper.authority.records(), [record("bad.example")], "it stays noted");
    let calls = || fs::read_to_string(directory.path().join("calls")).unwrap().lines().count();
    assert_eq!(calls(), 2);
    lab.keeper.remove_left_behind().await;
    assert_eq!(calls(), 2, "once in each process");
}
