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
    verify_by(logins, header, near(), &Verifier::new()).await
}

async fn verify_by(
    logins: &Arc<Logins>,
    header: &[u8],
    address: IpAddr,
    verifier: &Arc<Verifier>,
) -> Verdict {
    match logins.prove(header) {
        Ok(verdict) => verdict,
        Err(unchecked) => logins.check(unchecked, address, verifier).await,
    }
}

/// The verdict without a check.
fn recall(logins: &Logins, header: &[u8]) -> Option<Verdict> {
    logins.prove(header).ok()
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
        assert_eq!(recall(&logins, &header), None);
        verify(&logins, &header).await;
        assert_eq!(recall(&logins, &header), Some(expected));
        tokio::time::advance(REMEMBERED_FOR).await;
        assert_eq!(recall(&logins, &header), None);
    }
}

#[tokio::test]
async fn s27_simultaneous_requests_with_one_login_share_a_check() {
    let (logins, verifier, header) = (logins(), Verifier::new(), basic("alice", "right"));
    let requests: Vec<_> = (0..500)
        .map(|_| {
            let (logins, verifier, header) = (Arc::clone(&logins), Arc::clone(&verifier), header.clone());
            tokio::spawn(async move { verify_by(&logins, &header, near(), &verifier).await })
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
    assert_eq!(verify_by(&logins, &right, near(), &verifier).await, user("alice"));
    let mut paced = 0;
    for guess in 0..BURST_COUNT + 5 {
        match verify_by(&logins, &basic("alice", &guess.to_string()), near(), &verifier).await {
            Verdict::Wrong => {}
            Verdict::Paced(wait) => {
                assert!(wait <= Duration::from_secs(1));
                paced += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(paced > 0);
    assert_eq!(recall(&logins, &right), Some(user("alice")));
    let elsewhere = "198.51.100.1".parse().unwrap();
    assert_eq!(verify_by(&logins, &basic("bob", "other"), elsewhere, &verifier).await, user("bob"));
}

#[tokio::test]
async fn s27_one_password_costs_one_check_in_whatever_form_it_is_sent() {
    let long = "p".repeat(PASSWORD_BYTES_MAX);
    let logins = Arc::new(Logins::new(Some(users(&[("alice", "right"), ("bob", &long)])), None));
    assert_eq!(verify(&logins, &basic("alice", "right")).await, user("alice"));
    let text = STANDARD.encode("alice:right");
    for form in [format!("BASIC {text}"), format!("bAsIc   {text}"), format!("Basic {text}  ")] {
        assert_eq!(recall(&logins, form.as_bytes()), Some(user("alice")), "{form}");
    }
    // bcrypt reads 72 bytes, so a longer password is the same one.
    assert_eq!(verify(&logins, &basic("bob", &long)).await, user("bob"));
    assert_eq!(recall(&logins, &basic("bob", &format!("{long}more"))), Some(user("bob")));
    // bcrypt repeats a password with a NUL at its end, so these would be right, and endlessly many.
    assert_eq!(verify(&logins, &basic("alice", "right\0right")).await, Verdict::Wrong);
    assert_eq!(recall(&logins, &basic("alice", "right\0")), Some(Verdict::Wrong));
    // A shorter one is another, and so is one whose bytes belong to another user.
    for other in [basic("bob", &long[1..]), basic("alice", "righ"), basic("alic", "e:right")] {
        assert_eq!(recall(&logins, &other), None);
    }
}

#[tokio::test(start_paused = true)]
async fn s27_a_flood_of_guesses_shuts_out_no_login_that_was_right_before() {
    let (logins, verifier, right) = (logins(), Verifier::new(), basic("alice", "right"));
    assert_eq!(verify_by(&logins, &right, near(), &verifier).await, user("alice"));
    tokio::time::advance(REMEMBERED_FOR).await;
    assert_eq!(recall(&logins, &right), None, "the time to check it again");
    // Checks from many addresses take every place, and wait.
    let turns: Vec<_> = (0..10_000_u32)
        .map_while(|number| verifier.take_turn(IpAddr::from(number.to_be_bytes())).ok())
        .collect();
    assert!(turns.len() < 1000);
    let guess = verify_by(&logins, &basic("bob", "guess"), "198.51.100.1".parse().unwrap(), &verifier).await;
    assert!(matches!(guess, Verdict::Busy(_)), "{guess:?}");
    assert_eq!(verify_by(&logins, &right, near(), &verifier).await, user("alice"));
    drop(turns);
    // The same if all guesses come from the client's own address.
    tokio::time::advance(REMEMBERED_FOR).await;
    while verifier.take_turn(near()).is_ok() {}
    assert!(matches!(verifier.take_turn(near()).unwrap_err(), Postponed::Paced(_)));
    assert_eq!(verify_by(&logins, &right, near(), &verifier).await, user("alice"));
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
    assert_eq!(recall(&own(&same), &header), Some(user("alice")));
    assert!(same == before);
    let without = table(read("")).succeeding(&before);
    assert!(without != before);
    assert_eq!(recall(&own(&without), &header), None);
    assert_eq!(verify(&own(&without), &header).await, Verdict::Wrong);
}

#[tokio::test]
async fn a_changed_file_costs_no_check_of_the_users_that_stay_the_same() {
    let line = |name: &str, password| format!("{name}:{}\n", bcrypt::hash(password, 4).unwrap());
    let table = |text: &str| {
        let logins = Arc::new(Logins::new(Some(Users::parse(text).unwrap()), None));
        let access = Arc::new(Access { rules: Default::default(), logins: Some(logins) });
        let registries = ["quay.io", "ghcr.io"].map(|name| (name.to_owned(), Arc::new((*access).clone())));
        AccessTable { registries: registries.into(), ..AccessTable::default() }
    };
    let own = |table: &AccessTable| Arc::clone(table.of("quay.io").unwrap().logins.as_ref().unwrap());
    let (alice, bob) = (line("alice", "right"), line("bob", "other"));
    let before = table(&format!("{alice}{bob}"));
    for (name, password) in [("alice", "right"), ("bob", "other"), ("carol", "new")] {
        verify(&own(&before), &basic(name, password)).await;
    }
    assert_eq!(recall(&own(&before), &basic("carol", "new")), Some(Verdict::Wrong));

    let after =
        table(&format!("{alice}{}{}", line("bob", "changed"), line("carol", "new"))).succeeding(&before);
    assert_eq!(recall(&own(&after), &basic("alice", "right")), Some(user("alice")));
    assert_eq!(recall(&own(&after), &basic("bob", "other")), None);
    assert_eq!(verify(&own(&after), &basic("bob", "other")).await, Verdict::Wrong);
    assert_eq!(recall(&own(&after), &basic("carol", "new")), None, "a wrong login can be right now");
    let other = after.of("ghcr.io").unwrap().logins.as_ref().unwrap();
    assert!(Arc::ptr_eq(&own(&after), other), "registries with the same files share a check");
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
