use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::HeaderValue;
use url::Url;

use super::{Attempted, CHALLENGE_COUNT_MAX, Credential, DemandKind, Facts, Step};
use crate::auth::token_cache::{CachedToken, Token, TokenCache, TokenKey};
use crate::error::{Error, ErrorKind};

fn key(scope: &str) -> TokenKey {
    let url = Url::parse("https://registry.example/token").unwrap();
    TokenKey { host: url.origin(), realm: url, service: None, scope: scope.to_owned(), login: None }
}

async fn held(has_worked: bool) -> Arc<CachedToken> {
    let token = async {
        let lifetime = Duration::from_secs(3600);
        Ok::<_, Error>(Token { header: HeaderValue::from(1), lifetime, with_login: false })
    };
    let (held, _) = TokenCache::default().get(&key("a"), token).await.unwrap();
    if has_worked {
        held.note_success();
    }
    held
}

fn facts(status: u16) -> Facts {
    let status = StatusCode::from_u16(status).unwrap();
    Facts { status, may_login: false, is_known: true, may_ask_root: false }
}

fn wants(scope: &str, is_scope_lacking: bool) -> DemandKind {
    DemandKind::Token { key: Box::new(key(scope)), is_scope_lacking }
}

/// A letter for a step: what a table can hold.
fn letter(step: &Step) -> char {
    match step {
        Step::Conclude => 'c',
        Step::Bare(None) => 'b',
        Step::Bare(Some(_)) => 'B',
        Step::Basic => 'l',
        Step::Token(_, None) => 't',
        Step::Token(_, Some(_)) => 'T',
        Step::Known => 'k',
        Step::Root => 'r',
        Step::Refused(_) | Step::WrongLogin => 'x',
    }
}

#[tokio::test(start_paused = true)]
async fn k2_k3_t23_what_a_refused_token_leads_to() {
    // Whether it worked before and was fetched for this request; the status; what is wanted; the step.
    let cases = [
        (true, false, 401, DemandKind::Nothing, 'B'),
        (true, false, 401, DemandKind::Basic, 'B'),
        (true, false, 401, wants("a", false), 'T'),
        (true, false, 401, wants("a", true), 'T'),
        (true, false, 401, wants("b", false), 't'),
        (true, false, 403, DemandKind::Nothing, 'B'),
        (true, false, 403, wants("a", true), 'T'),
        (true, false, 403, wants("b", true), 't'),
        (true, false, 404, DemandKind::Nothing, 'c'),
        // New, and refused at once: another would be no better.
        (false, false, 401, DemandKind::Nothing, 'b'),
        (false, false, 401, wants("a", false), 'c'),
        (false, false, 401, wants("a", true), 'c'),
        (false, false, 403, DemandKind::Nothing, 'c'),
        (false, false, 403, wants("a", true), 'c'),
        (false, false, 403, wants("b", true), 't'),
        (true, true, 401, wants("a", false), 'c'),
        (true, true, 401, DemandKind::Nothing, 'b'),
        (true, true, 403, DemandKind::Nothing, 'c'),
        (true, true, 403, wants("b", true), 't'),
    ];
    for (has_worked, is_fresh, status, wanted, expected) in cases {
        let credential = Credential::token(key("a"), held(has_worked).await, is_fresh);
        let step = Attempted::default().next(&wanted, &credential, facts(status));
        assert_eq!(letter(&step), expected, "{has_worked} {is_fresh} {status} {wanted:?}");
    }
}

#[test]
fn k6_what_a_bare_request_leads_to() {
    let login = |status, is_known| Facts { may_login: true, is_known, may_ask_root: true, ..facts(status) };
    for status in [401, 403, 404, 410] {
        let cases = [
            (DemandKind::Nothing, login(status, false), 'r'),
            (DemandKind::Nothing, login(status, true), 'k'),
            (DemandKind::Nothing, Facts { may_ask_root: false, ..login(status, false) }, 'c'),
            (DemandKind::Nothing, Facts { is_known: false, ..facts(status) }, 'c'),
            (DemandKind::Basic, login(status, false), 'l'),
            (DemandKind::Basic, Facts { is_known: false, ..facts(status) }, 'c'),
            (wants("a", false), login(status, true), 't'),
        ];
        for (wanted, facts, expected) in cases {
            let step = Attempted::default().next(&wanted, &Credential::default(), facts);
            assert_eq!(letter(&step), expected, "{wanted:?} {facts:?}");
        }
        let error = Error::new(ErrorKind::Denied, "auth.example", "refused");
        let refused = |with_login| Credential::refused(Some(key("a")), with_login, error.clone());
        let step = Attempted::default().next(&DemandKind::Nothing, &refused(true), login(status, true));
        assert_eq!(letter(&step), 'x', "the login was not accepted: the answer without says nothing");
        let step = Attempted::default().next(&DemandKind::Nothing, &refused(false), login(status, true));
        assert_eq!(letter(&step), 'c');
        let step = Attempted::default().next(&wants("a", false), &refused(false), login(status, true));
        assert_eq!(letter(&step), 'x', "the same token was asked for a moment ago");
    }
}

/// Whatever a host says, it is asked a bounded number of times.
#[tokio::test(start_paused = true)]
async fn k2_every_dialogue_ends() {
    let answers =
        [DemandKind::Nothing, DemandKind::Basic, wants("a", false), wants("b", true), wants("c", false)];
    let seed = std::iter::successors(Some(7_u64), |seed| {
        Some(seed.wrapping_mul(6364136223846793005).wrapping_add(1))
    });
    let mut numbers = seed.map(|number| usize::try_from(number >> 33).unwrap());
    for _ in 0..2000 {
        let (mut attempted, mut credential, mut count) = (Attempted::default(), Credential::default(), 0);
        loop {
            attempted.note(&credential);
            let wanted = &answers[numbers.next().unwrap() % answers.len()];
            let status = [401, 403, 404, 410][numbers.next().unwrap() % 4];
            let known = numbers.next().unwrap() % 2 == 0;
            let facts = Facts { may_login: false, is_known: known, ..facts(status) };
            count += 1;
            let has_worked = numbers.next().unwrap() % 2 == 0;
            credential = match attempted.next(wanted, &credential, facts) {
                Step::Token(key, _) => Credential::token(key, held(has_worked).await, has_worked),
                Step::Known => Credential::token(key("k"), held(has_worked).await, false),
                Step::Bare(_) => Credential::none_after(&credential),
                Step::Basic | Step::Root => unreachable!("there is no login"),
                Step::Conclude | Step::Refused(_) | Step::WrongLogin => break,
            };
        }
        assert!(count <= 1 + CHALLENGE_COUNT_MAX + 2, "{count}");
    }
}
