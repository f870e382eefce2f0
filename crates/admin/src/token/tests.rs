use super::*;

fn check(authorization: Option<&str>, expected: bool) {
    let token = Token::new(&Secret::new("correct horse".to_owned()));
    let header = authorization.map(|text| text.parse().unwrap());
    assert_eq!(token.is_given(header.as_ref()), expected, "{authorization:?}");
}

#[test]
fn only_the_whole_token_in_a_bearer_header_matches() {
    check(Some("Bearer correct horse"), true);
    check(Some("bearer correct horse"), true);
    check(None, false);
    check(Some(""), false);
    check(Some("Bearer"), false);
    check(Some("Bearer "), false);
    check(Some("Bearer correct"), false);
    check(Some("Bearer correct horses"), false);
    check(Some("Bearer Correct horse"), false);
    check(Some("Basic correct horse"), false);
    check(Some("correct horse"), false);
}

#[test]
fn debug_output_hides_the_token() {
    let token = Token::new(&Secret::new("correct horse".to_owned()));
    assert_eq!(format!("{token:?}"), "***");
}
