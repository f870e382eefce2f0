use super::*;

fn variable(name: &str) -> Option<String> {
    match name {
        "USER" => Some("hub".to_owned()),
        "NESTED" => Some("${USER}".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(expand(text, &variable).as_deref(), Ok(expected));
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    assert_eq!(expand(text, &variable).unwrap_err().to_string(), expected);
}

#[test]
fn variables_are_replaced_and_all_else_stays() {
    check("", "");
    check("plain", "plain");
    check("${USER}", "hub");
    check("a-${USER}-${USER}-b", "a-hub-hub-b");
    check("pa$word$", "pa$word$");
    check("$$USER", "$$USER");
    check("${USER}}", "hub}");
}

#[test]
fn a_default_replaces_an_unset_or_empty_variable() {
    check("${UNSET:-fallback}", "fallback");
    check("${EMPTY:-fallback}", "fallback");
    check("${UNSET:-}", "");
    check("${UNSET:-a:-b}", "a:-b");
    check("${USER:-fallback}", "hub");
}

#[test]
fn a_doubled_dollar_keeps_the_brace() {
    check("$${USER}", "${USER}");
    check("a$${b${USER}", "a${bhub");
}

#[test]
fn a_value_is_not_expanded_again() {
    check("${NESTED}", "${USER}");
}

#[test]
fn a_text_that_cannot_be_expanded_gets_advice() {
    check_refused("x${UNSET}", "the environment variable UNSET is not set or empty; set it");
    check_refused("${EMPTY}", "the environment variable EMPTY is not set or empty; set it");
    check_refused("${USER", "\"${\" has no closing \"}\"; add it, or write \"$${\" for the two characters");
    for name in ["", "1A", "A B", "A-B", "Ä"] {
        assert_eq!(expand(&format!("${{{name}}}"), &variable), Err(ExpandError::Name(name.to_owned())));
    }
}
