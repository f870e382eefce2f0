use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::*;

/// A source that a test scripts. Each question waits for a permit.
#[derive(Debug)]
struct Scripted {
    answers: Mutex<VecDeque<Result<Grant, Failure>>>,
    questions: Mutex<Vec<Question>>,
    gate: Semaphore,
}

#[derive(Debug, Default)]
struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    failing: Mutex<Vec<bool>>,
}

impl Observer for Counts {
    fn asked(&self, succeeded: bool) {
        if succeeded { &self.succeeded } else { &self.failed }.fetch_add(1, Ordering::Relaxed);
    }

    fn failing(&self, is_failing: bool) {
        self.failing.lock().push(is_failing);
    }
}

#[async_trait]
impl Source for Arc<Scripted> {
    async fn ask(&self, question: Question) -> Result<Grant, Failure> {
        self.questions.lock().push(question);
        self.gate.acquire().await.unwrap().forget();
        self.answers.lock().pop_front().expect("another answer is scripted")
    }
}

struct Rig {
    account: Account,
    source: Arc<Scripted>,
    counts: Arc<Counts>,
}

fn rig(answers: impl IntoIterator<Item = Result<Grant, Failure>>) -> Rig {
    let source = Arc::new(Scripted {
        answers: Mutex::new(answers.into_iter().collect()),
        questions: Mutex::default(),
        gate: Semaphore::new(1000),
    });
    let counts = Arc::new(Counts::default());
    let (boxed, observer) = (Box::new(Arc::clone(&source)), Arc::clone(&counts));
    let account = Account::new("ghcr.io", None, "a test".to_owned(), boxed, observer);
    Rig { account, source, counts }
}

fn hour(password: &str) -> Result<Grant, Failure> {
    Grant::lasting(login(password), Duration::from_secs(3600))
}

fn login(password: &str) -> Login {
    Login::password("robot", password).unwrap()
}

fn failure() -> Result<Grant, Failure> {
    Err(Failure::new("is away"))
}

async fn used(account: &Account) -> Login {
    account.login().await.unwrap().unwrap().login.clone()
}

/// Lets tasks in the background go on. Time is paused, so it moves only when every task waits.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn requests_at_the_same_time_share_one_question() {
    let rig = rig([hour("one")]);
    let asked = futures(&rig.account, 20).await;
    assert!(asked.iter().all(|login| *login == self::login("one")));
    assert_eq!(rig.source.questions.lock().len(), 1);
}

async fn futures(account: &Account, count: usize) -> Vec<Login> {
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let account = account.clone();
            tokio::spawn(async move { used(&account).await })
        })
        .collect();
    let mut got = Vec::new();
    for task in tasks {
        got.push(task.await.unwrap());
    }
    got
}

#[tokio::test(start_paused = true)]
async fn a_login_is_renewed_in_the_background_while_the_old_one_is_used() {
    let rig = rig([hour("one"), hour("two")]);
    assert_eq!(used(&rig.account).await, login("one"));
    pass(3600 - 720 + 1).await;
    assert_eq!(used(&rig.account).await, login("one"), "no request waits for the renewal");
    pass(1).await;
    assert_eq!(used(&rig.account).await, login("two"));
    assert_eq!(rig.counts.succeeded.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_keeps_the_last_login_until_it_ends() {
    let rig = rig([hour("one"), failure(), failure(), failure(), hour("two")]);
    assert_eq!(used(&rig.account).await, login("one"));
    pass(3600 - 720 + 1).await;
    assert_eq!(used(&rig.account).await, login("one"));
    pass(600).await;
    assert_eq!(used(&rig.account).await, login("one"));
    assert_eq!(rig.account.status().state, State::Failing);
    assert_eq!(*rig.counts.failing.lock(), [true], "the failure is news once");
    pass(200).await;
    let error = rig.account.login().await.unwrap_err();
    assert_eq!(error.to_string(), "is away");
    let asked = rig.source.questions.lock().len();
    assert_eq!(rig.account.login().await.unwrap_err().to_string(), "is away");
    assert_eq!(rig.source.questions.lock().len(), asked, "the source is left alone for a moment");
    pass(60).await;
    assert_eq!(used(&rig.account).await, login("two"));
    assert_eq!(*rig.counts.failing.lock(), [true, false]);
    assert_eq!(rig.account.status().state, State::Held);
}

#[tokio::test(start_paused = true)]
async fn a_question_goes_on_when_the_request_that_caused_it_leaves() {
    let rig = rig([hour("one")]);
    rig.source.gate.forget_permits(1000);
    let impatient = rig.account.login();
    assert!(tokio::time::timeout(Duration::from_secs(1), impatient).await.is_err());
    rig.source.gate.add_permits(1);
    pass(1).await;
    assert_eq!(used(&rig.account).await, login("one"));
    assert_eq!(rig.source.questions.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers_fails_in_the_end() {
    let rig = rig([]);
    rig.source.gate.forget_permits(1000);
    let error = rig.account.login().await.unwrap_err();
    assert!(error.to_string().contains("gave no answer within 60 s"), "{error}");
}

/// Each question to a dead network file system holds a thread. Its end is the only way to free that.
#[tokio::test(start_paused = true)]
async fn a_question_that_never_ends_is_the_only_one_and_its_late_answer_counts() {
    let rig = rig([hour("late")]);
    rig.source.gate.forget_permits(1000);
    rig.account.login().await.unwrap_err();
    for _ in 0..20 {
        pass(100).await;
        let before = Instant::now();
        let error = rig.account.login().await.unwrap_err();
        assert!(error.to_string().contains("gave no answer within 60 s"), "{error}");
        assert_eq!(before.elapsed(), Duration::ZERO, "no request waits for it any more");
    }
    assert_eq!(rig.source.questions.lock().len(), 1);
    rig.source.gate.add_permits(1);
    pass(1).await;
    assert_eq!(used(&rig.account).await, login("late"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_is_replaced_at_once_and_once_per_interval() {
    let rig = rig([hour("one"), hour("two"), hour("two"), hour("three")]);
    let held = rig.account.login().await.unwrap().unwrap();
    assert!(rig.account.refused(&held).await, "there is another login");
    assert!(rig.account.refused(&held).await, "a second request with the old login finds the new one");
    assert_eq!(*rig.source.questions.lock(), [Question::Due, Question::Refused]);
    let second = rig.account.login().await.unwrap().unwrap();
    assert!(!rig.account.refused(&second).await);
    assert_eq!(rig.source.questions.lock().len(), 2, "the source was asked a moment ago");
    pass(30).await;
    assert!(!rig.account.refused(&second).await, "the source gave the same login again");
    pass(30).await;
    assert!(rig.account.refused(&second).await);
    assert_eq!(used(&rig.account).await, login("three"));
}

#[tokio::test(start_paused = true)]
async fn the_same_login_again_keeps_its_generation() {
    let again = || Ok(Grant::until_next_look(Some(login("one")), Duration::from_secs(5)));
    let rig = rig([again(), again()]);
    let first = rig.account.login().await.unwrap().unwrap();
    pass(6).await;
    rig.account.login().await.unwrap();
    pass(1).await;
    let second = rig.account.login().await.unwrap().unwrap();
    assert_eq!(rig.source.questions.lock().len(), 2);
    assert_eq!(first.generation, second.generation);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_loses_its_login_fails_and_one_that_never_had_any_does_not() {
    let none = || Ok(Grant::until_next_look(None, Duration::from_secs(5)));
    let lost = rig([Ok(Grant::until_next_look(Some(login("one")), Duration::from_secs(5))), none()]);
    assert_eq!(used(&lost.account).await, login("one"));
    pass(6).await;
    lost.account.login().await.unwrap();
    pass(1).await;
    assert_eq!(used(&lost.account).await, login("one"));
    assert_eq!(lost.account.status().state, State::Failing);

    let never = rig([none()]);
    assert!(never.account.login().await.unwrap().is_none());
    assert_eq!(never.account.status().state, State::None);
}

#[tokio::test(start_paused = true)]
async fn s28_no_debug_output_shows_a_login() {
    let rig = rig([hour("canary-word")]);
    let held = rig.account.login().await.unwrap();
    assert!(!format!("{:?} {held:?} {:?}", rig.account, rig.account.status()).contains("canary-word"));
}
