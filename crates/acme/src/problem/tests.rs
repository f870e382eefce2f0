use super::*;

const ORDER: &str = "accept an order";

fn problem(text: &str) -> Problem {
    serde_json::from_str(text).unwrap()
}

fn names() -> Vec<String> {
    ["a.example", "b.example", "*.c.example"].map(str::to_owned).to_vec()
}

#[test]
fn a_problem_is_told_in_words_and_blames_the_names_that_it_names() {
    for (text, told, blamed) in [
        (
            r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many orders"}"#,
            "too many orders (rateLimited)",
            &[][..],
        ),
        (
            r#"{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "no", "subproblems": [
                {"type": "urn:ietf:params:acme:error:caa", "detail": "CAA forbids it",
                 "identifier": {"type": "dns", "value": "b.example"}}]}"#,
            "no (rejectedIdentifier); b.example: CAA forbids it (caa)",
            &["b.example"],
        ),
        (
            r#"{"type": "urn:ietf:params:acme:error:malformed", "detail": "refused \"a.example\"\nhere"}"#,
            "refused \"a.example\" here (malformed)",
            &["a.example"],
        ),
        (r#"{"detail": "not for \"c.example\""}"#, "not for \"c.example\"", &["*.c.example"]),
        ("{}", "it gave no reason", &[]),
    ] {
        let problem = problem(text);
        assert_eq!(words(&problem), told);
        assert_eq!(culprits(&problem, &names()), blamed);
    }
}

#[test]
fn an_account_is_gone_only_if_the_authority_says_so() {
    let gone = r#"{"type": "urn:ietf:params:acme:error:accountDoesNotExist"}"#;
    let failure = Failure::of_request(ORDER, &Error::Api(problem(gone)), &names());
    assert!(failure.is_account_gone && failure.culprits.is_empty());
    let late = Failure::of_request(ORDER, &Error::Timeout(None), &names());
    assert!(!late.is_account_gone && late.text.contains("took too long"), "{late:?}");
    let other = r#"{"type": "urn:ietf:params:acme:error:unauthorized"}"#;
    assert!(!Failure::of_request(ORDER, &Error::Api(problem(other)), &names()).is_account_gone);
}

#[test]
fn a_long_text_of_an_authority_is_cut() {
    let long = format!("{{\"detail\": \"{}\"}}", "x".repeat(10_000));
    assert_eq!(words(&problem(&long)).len(), TEXT_CHARS_MAX);
}
