use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use policy::access::BURST_COUNT;

use super::*;
use crate::memory::REMEMBERED_FOR;
use crate::table::{Access, AccessTable};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn users(people: &[(&str, &str)]) -> Users {
    let line = |(name, password): &(&str, &str)| format!("{name}:{}\n", bcrypt::hash(password, 4).unwrap());
    Users::parse(&people.iter().map(line).collect::<String>()).unwrap()
}

fn logins() -> Arc<Logins> {
    let tokens = Tokens::parse(&format!("ci:{TOKEN}")).unwrap();
    Arc::new(Logins::new(Some(users(&[("alice", "right"), ("bob", "other")])), Some(tokens)))
}

fn basic(user: &str, password: &str) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).into_bytes()
}

fn near() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

async fn verify(logins: &Arc<Logins>, header: &[u8]) -> Verdict {
    logins.verify(header, near(), &Verifier::new()).await
}

fn user(name: &str) -> Verdict {
    Verdict::Proved(Login::User(name.into()))
}

fn token(name: &str) -> Verdict {
    Verdict::Proved(Login::Token(name.into()))
}

#[tokio::test]
async fn a_login_is_proved_by_a_password_or_a_token() {
    let logins = logins();
    let table = [
        (basic("alice", "right"), user("alice")),
        (basic("bob", "other"), user("bob")),
        (basic("alice", "other"), Verdict::Wrong),
        (basic("carol", "right"), Verdict::Wrong),
        (format!("Bearer {TOKEN}").into_bytes(), token("ci")),
        (basic("ci", TOKEN), token("ci")),
        (basic("alice", TOKEN), Verdict::Wrong),
        (b"Bearer alice".to_vec(), Verdict::Wrong),
        (b"Bearer ".to_vec(), Verdict::Wrong),
        (b"Basic Og==".to_vec(), Verdict::Nothing),
        (b"Digest x".to_vec(), Verdict::Wrong),
    ];
    for (header, expected) in table {
        assert_eq!(verify(&logins, &header).await, expected, "{}", String::from_utf8_lossy(&header));
    }
}

#[tokio::test(start_paused = true)]
async fn a_checked_password_is_remembered_for_a_minute() {
    let logins = logins();
    for (header, expected) in
        [(basic("alice", "right"), user("alice")), (basic("alice", "x"), Verdict::Wrong)]
    {
        assert_eq!(logins.recall(&header), None);
        verify(&logins, &header).await;
        assert_eq!(logins.recall(&header), Some(expected));
        tokio::time::advance(REMEMBERED_FOR).await;
        assert_eq!(logins.recall(&header), None);
    }
}

#[tokio::test]
async fn s27_simultaneous_requests_with_one_login_share_a_check() {
    let (logins, verifier, header) = (logins(), Verifier::new(), basic("alice", "right"));
    let requests: Vec<_> = (0..500)
        .map(|_| {
            let (logins, verifier, header) = (Arc::clone(&logins), Arc::clone(&verifier), header.clone());
            tokio::spawn(async move { logins.verify(&header, near(), &verifier).await })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), user("alice"));
    }
    assert!(logins.checks.lock().is_empty());
}

#[tokio::test]
async fn s27_guesses_from_one_address_are_paced_and_a_known_login_is_not() {
    let (logins, verifier, right) = (logins(), Verifier::new(), basic("alice", "right"));
    assert_eq!(logins.verify(&right, near(), &verifier).await, user("alice"));
    let mut paced = 0;
    for guess in 0..BURST_COUNT + 5 {
        match logins.verify(&basic("alice", &guess.to_string()), near(), &verifier).await {
            Verdict::Wrong => {}
            Verdict::Paced(wait) => {
                assert!(wait <= Duration::from_secs(1));
                paced += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(paced > 0);
    assert_eq!(logins.recall(&right), Some(user("alice")));
    let elsewhere = "198.51.100.1".parse().unwrap();
    assert_eq!(logins.verify(&basic("bob", "other"), elsewhere, &verifier).await, user("bob"));
}

#[tokio::test]
async fn a_changed_file_forgets_and_an_unchanged_one_does_not() {
    let table = |logins: Arc<Logins>| AccessTable {
        common: Some(Arc::new(Access { rules: Default::default(), logins: Some(logins) })),
        ..AccessTable::default()
    };
    let own = |table: &AccessTable| Arc::clone(table.common.as_ref().unwrap().logins.as_ref().unwrap());
    let text = format!("alice:{}", bcrypt::hash("right", 4).unwrap());
    let read = |text: &str| Arc::new(Logins::new(Some(Users::parse(text).unwrap()), None));
    let (before, header) = (table(read(&text)), basic("alice", "right"));
    verify(&own(&before), &header).await;
    let same = table(read(&text)).succeeding(&before);
    assert_eq!(own(&same).recall(&header), Some(user("alice")));
    assert!(same == before);
    let without = table(read("")).succeeding(&before);
    assert!(without != before);
    assert_eq!(own(&without).recall(&header), None);
    assert_eq!(verify(&own(&without), &header).await, Verdict::Wrong);
}

#[test]
fn s28_debug_output_of_logins_shows_no_secret() {
    let hash = bcrypt::hash("right", 4).unwrap();
    let logins = Logins::new(
        Some(Users::parse(&format!("alice:{hash}")).unwrap()),
        Some(Tokens::parse(&format!("ci:{TOKEN}")).unwrap()),
    );
    let shown = format!("{logins:?}");
    assert!(!shown.contains(&hash) && !shown.contains(TOKEN), "{shown}");
}
