use super::*;

/// A line for `password`, at the lowest cost.
fn line(scheme: &str, name: &str, password: &str) -> String {
    let hash = bcrypt::hash(password, COST_MIN).unwrap();
    format!("{name}:{}", hash.replacen("$2b$", scheme, 1))
}

#[test]
fn a_password_of_each_bcrypt_scheme_is_checked() {
    for scheme in ["$2a$", "$2b$", "$2y$"] {
        let text = format!("# people\n\n{}\r\n", line(scheme, "alice", "right"));
        let users = Users::parse(&text).unwrap();
        assert_eq!(users.check(b"alice", b"right").as_deref(), Some("alice"), "{scheme}");
        for (name, password) in [("alice", "wrong"), ("alice", ""), ("Alice", "right"), ("", "right")] {
            assert_eq!(users.check(name.as_bytes(), password.as_bytes()), None, "{name} {password}");
        }
        assert_eq!(users.check(b"\xff", b"right"), None);
    }
}

/// Written by Apache's `htpasswd -nbB -C 4 alice "correct horse"`.
#[test]
fn a_line_of_apaches_tool_is_checked() {
    let users = Users::parse(APACHE).unwrap();
    assert_eq!(users.check(b"alice", b"correct horse").as_deref(), Some("alice"));
    assert_eq!(users.check(b"alice", b"correct horsf"), None);
}

const APACHE: &str = "alice:$2y$04$7lNpxr9h5MDziXsrquCbkeZ0Z1UdcErrnssbW3hBLEuBghopUBjsS\n";

#[test]
fn a_line_of_another_scheme_says_how_to_make_a_right_one() {
    let table = [
        ("bob:$apr1$abcdefgh$0123456789abcdefghijkl", "Apache's MD5"),
        ("bob:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "SHA-1"),
        ("bob:$6$salt$hash", "SHA-512"),
        ("bob:$argon2id$v=19$m=65536", "Argon2"),
        ("bob:plaintext", "of an unknown scheme"),
        ("bob:", "of an unknown scheme"),
    ];
    for (text, scheme) in table {
        let errors = Users::parse(text).unwrap_err();
        let shown = errors[0].to_string();
        assert!(shown.contains(scheme) && shown.contains("`htpasswd -nB bob`"), "{shown}");
        let secret = text.split_once(':').unwrap().1;
        assert!(secret.is_empty() || !shown.contains(secret), "{shown}");
    }
}

#[test]
fn every_line_with_a_mistake_is_named() {
    let good = line("$2y$", "alice", "right");
    let cut = &good[..good.len() - 1];
    let costly = good.replacen("$04$", "$20$", 1).replacen("alice", "carol", 1);
    let text = format!("{good}\nno colon\n:{}\n{good}\nbob{}\n{costly}\n", &good[6..], &cut[5..]);
    let errors = Users::parse(&text).unwrap_err();
    let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6]);
    for (error, expected) in errors.iter().zip(["colon", "name", "twice", "complete", "cost 20"]) {
        assert!(error.text.contains(expected), "{error}");
    }
}

#[test]
fn s27_a_check_costs_the_same_for_every_name_of_the_file_and_for_unknown_ones() {
    let costly = bcrypt::hash("other", COST_MIN + 3).unwrap();
    let text = format!("{}\nbob:{costly}\n", line("$2y$", "alice", "right"));
    let users = Users::parse(&text).unwrap();
    // bcrypt does 2^cost rounds.
    let rounds = |hash: &String| 2_u64.pow(hash[4..6].parse().unwrap());
    for known in [users.users.get("alice"), users.users.get("bob"), None] {
        let work = users.work_of(known);
        assert_eq!(work.iter().map(rounds).sum::<u64>(), 2_u64.pow(COST_MIN + 3));
        // A hash that bcrypt cannot read would cost nothing.
        assert!(work.iter().all(|hash| bcrypt::verify("x", hash).is_ok()), "{work:?}");
    }
    assert_eq!(users.check(b"alice", b"right").as_deref(), Some("alice"));
    assert_eq!(users.check(b"bob", b"other").as_deref(), Some("bob"));
}
